// A real FFT of any even length; lengths with small factors (all usual rates) are fast.
// Stockham's autosort algorithm, decimation in frequency; all memory is taken at construction.
#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include "units.hpp"

namespace gate {

struct Complex {
  float re = 0.0f, im = 0.0f;
};

inline Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
inline Complex operator-(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
inline Complex operator*(Complex a, Complex b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
inline Complex conj(Complex a) { return {a.re, -a.im}; }
inline Complex times_minus_i(Complex a) { return {a.im, -a.re}; }

class RealFft {
 public:
  explicit RealFft(int length) : half_(length / 2), x_(half_), y_(half_) {
    for (int rest = half_; rest > 1;) {
      int radix = rest % 4 == 0 ? 4 : 2;
      while (rest % radix != 0) ++radix;
      stages_.push_back({radix, rest, twiddles(rest, rest), twiddles(radix, radix)});
      rest /= radix;
    }
    split_ = twiddles(length, half_ + 1);
  }

  // `length` samples in, length / 2 + 1 bins out.
  void forward(const float* in, Complex* out) {
    for (int i = 0; i < half_; ++i) x_[i] = {in[2 * i], in[2 * i + 1]};
    transform();
    for (int k = 0; k <= half_; ++k) {
      const Complex a = x_[k % half_], b = conj(x_[(half_ - k) % half_]);
      const Complex odd = times_minus_i((a - b) * split_[k]);
      out[k] = {0.5f * (a.re + b.re + odd.re), 0.5f * (a.im + b.im + odd.im)};
    }
  }

  // The inverse, scaled: forward followed by inverse gives the samples back.
  void inverse(const Complex* in, float* out) {
    for (int k = 0; k < half_; ++k) {
      const Complex a = in[k], b = conj(in[half_ - k]);
      const Complex even = a + b, odd = (a - b) * conj(split_[k]);
      x_[k] = {even.im + odd.re, even.re - odd.im};  // parts swapped: a forward transform inverts
    }
    transform();
    const float scale = 0.5f / half_;
    for (int i = 0; i < half_; ++i) {
      out[2 * i] = x_[i].im * scale;
      out[2 * i + 1] = x_[i].re * scale;
    }
  }

 private:
  struct Stage {
    int radix, length;
    std::vector<Complex> twiddle, root;
  };

  static std::vector<Complex> twiddles(int length, int n) {
    std::vector<Complex> w(n);
    for (int i = 0; i < n; ++i) {
      const double angle = -2.0 * pi * i / length;
      w[i] = {static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))};
    }
    return w;
  }

  // x_ becomes its transform; y_ is scratch.
  void transform() {
    int stride = 1;
    for (const Stage& stage : stages_) {
      if (stage.radix == 4) {
        radix_4(stage, stride);
      } else {
        radix_any(stage, stride);
      }
      std::swap(x_, y_);
      stride *= stage.radix;
    }
  }

  void radix_4(const Stage& stage, int stride) {
    const int m = stage.length / 4;
    const Complex* w = stage.twiddle.data();
    for (int p = 0; p < m; ++p) {
      const Complex w1 = w[p], w2 = w[2 * p], w3 = w[3 * p];
      const Complex* x = x_.data() + stride * p;
      Complex* y = y_.data() + stride * 4 * p;
      for (int q = 0; q < stride; ++q) {
        const Complex a = x[q], b = x[q + stride * m];
        const Complex c = x[q + stride * 2 * m], d = x[q + stride * 3 * m];
        const Complex sum = a + c, difference = a - c;
        const Complex other = b + d, turned = times_minus_i(b - d);
        y[q] = sum + other;
        y[q + stride] = (difference + turned) * w1;
        y[q + stride * 2] = (sum - other) * w2;
        y[q + stride * 3] = (difference - turned) * w3;
      }
    }
  }

  void radix_any(const Stage& stage, int stride) {
    const int r = stage.radix, m = stage.length / r;
    for (int p = 0; p < m; ++p) {
      for (int k = 0; k < r; ++k) {
        const Complex w = stage.twiddle[p * k];
        for (int q = 0; q < stride; ++q) {
          Complex sum{};
          for (int j = 0; j < r; ++j) {
            sum = sum + x_[q + stride * (p + m * j)] * stage.root[j * k % r];
          }
          y_[q + stride * (r * p + k)] = sum * w;
        }
      }
    }
  }

  int half_;
  std::vector<Complex> x_, y_, split_;
  std::vector<Stage> stages_;
};

}  // namespace gate
