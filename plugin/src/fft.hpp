// A real FFT of any even length; lengths with small factors (all usual rates) are fast.
// Stockham's autosort algorithm, decimation in frequency; all memory is taken at construction.
#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include "kernels.hpp"
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
      stages_.push_back({radix, rest, Parts(rest, rest), Parts(radix, radix)});
      rest /= radix;
    }
    for (int k = 0; k <= half_; ++k) split_.push_back(root(k, length));
  }

  // `length` samples in, length / 2 + 1 bins out.
  void forward(const float* in, Complex* out) {
    for (int i = 0; i < half_; ++i) x_.re[i] = in[2 * i], x_.im[i] = in[2 * i + 1];
    transform();
    for (int k = 0; k <= half_; ++k) {
      const Complex a = x_.at(k == half_ ? 0 : k), b = conj(x_.at(k == 0 ? 0 : half_ - k));
      const Complex odd = times_minus_i((a - b) * split_[k]);
      out[k] = {0.5f * (a.re + b.re + odd.re), 0.5f * (a.im + b.im + odd.im)};
    }
  }

  // The inverse, scaled: forward followed by inverse gives the samples back.
  void inverse(const Complex* in, float* out) {
    for (int k = 0; k < half_; ++k) {
      const Complex a = in[k], b = conj(in[half_ - k]);
      const Complex even = a + b, odd = (a - b) * conj(split_[k]);
      x_.re[k] = even.im + odd.re;  // parts swapped: a forward transform inverts
      x_.im[k] = even.re - odd.im;
    }
    transform();
    const float scale = 0.5f / half_;
    for (int i = 0; i < half_; ++i) {
      out[2 * i] = x_.im[i] * scale;
      out[2 * i + 1] = x_.re[i] * scale;
    }
  }

 private:
  // Real and imaginary parts apart, as vector code likes them.
  struct Parts {
    std::vector<float> re, im;

    explicit Parts(int n) : re(n), im(n) {}
    Parts(int length, int n) : Parts(n) {
      for (int i = 0; i < n; ++i) re[i] = root(i, length).re, im[i] = root(i, length).im;
    }
    Complex at(int i) const { return {re[i], im[i]}; }
  };

  struct Stage {
    int radix, length;
    Parts twiddle, root;
  };

  static Complex root(int i, int length) {
    const double angle = -2.0 * pi * i / length;
    return {static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))};
  }

  // x_ becomes its transform; y_ is scratch.
  void transform() {
    int stride = 1;
    for (const Stage& stage : stages_) {
      if (stage.radix == 4) {
        fft_radix_4(x_.re.data(), x_.im.data(), y_.re.data(), y_.im.data(), stage.length / 4,
                    stride, stage.twiddle.re.data(), stage.twiddle.im.data());
      } else {
        radix_any(stage, stride);
      }
      std::swap(x_, y_);
      stride *= stage.radix;
    }
  }

  void radix_any(const Stage& stage, int stride) {
    const int r = stage.radix, m = stage.length / r;
    for (int p = 0; p < m; ++p) {
      for (int k = 0; k < r; ++k) {
        const Complex w = stage.twiddle.at(p * k);
        for (int q = 0; q < stride; ++q) {
          Complex sum{};
          for (int j = 0; j < r; ++j) {
            sum = sum + x_.at(q + stride * (p + m * j)) * stage.root.at(j * k % r);
          }
          sum = sum * w;
          y_.re[q + stride * (r * p + k)] = sum.re;
          y_.im[q + stride * (r * p + k)] = sum.im;
        }
      }
    }
  }

  int half_;
  Parts x_, y_;
  std::vector<Complex> split_;
  std::vector<Stage> stages_;
};

}  // namespace gate
