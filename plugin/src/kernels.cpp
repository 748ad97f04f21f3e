#include "kernels.hpp"

#include <cstdint>
#include <cstring>

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define GATE_CLONES __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define GATE_CLONES
#endif
#define GATE_INLINE inline __attribute__((always_inline))

namespace gate {
namespace {

typedef float Float8 __attribute__((vector_size(32), aligned(4), may_alias));

// exp(x) = 2^k exp(f), |f| <= ln 2 / 2, the rest by its Taylor series to the 7th power: within
// 2e-7 of the exact value, no branches, so that the loop becomes vector code.
GATE_INLINE float fast_exp(float x) {
  x = x > -87.0f ? x : -87.0f;
  x = x < 88.0f ? x : 88.0f;
  const float shifted = x * 1.44269504f + 12582912.0f;  // rounds to the nearest whole number
  const float k = shifted - 12582912.0f;
  const float f = (x - k * 0.693359375f) + k * 2.12194440e-4f;
  float p = 1.98412698e-4f;
  p = p * f + 1.38888889e-3f;
  p = p * f + 8.33333333e-3f;
  p = p * f + 4.16666667e-2f;
  p = p * f + 1.66666667e-1f;
  p = p * f + 0.5f;
  p = p * f + 1.0f;
  p = p * f + 1.0f;
  const int32_t bits = (static_cast<int32_t>(k) + 127) << 23;
  float scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return p * scale;
}

// A NaN passes fast_exp's bounds, and must stay one: the lane looks for it.
GATE_INLINE float keep_nan(float x, float y) { return x == x ? y : x; }

// Eight sums of eight at any time, whatever the number of columns.
template <int columns>
GATE_INLINE void product_columns(const float* packed, const float* b, const float* x, int apart,
                                 int n_in, int n_out, float* y) {
  constexpr int vectors = 8 / columns, tile = 8 * vectors;
  for (int at = 0; at < n_out; at += tile) {
    Float8 sums[columns][vectors];
    for (int c = 0; c < columns; ++c) {
      for (int v = 0; v < vectors; ++v) {
        sums[c][v] = reinterpret_cast<const Float8*>(b + at)[v];
      }
    }
    for (int i = 0; i < n_in; ++i, packed += tile) {
      const Float8* w = reinterpret_cast<const Float8*>(packed);
      for (int c = 0; c < columns; ++c) {
        for (int v = 0; v < vectors; ++v) sums[c][v] += w[v] * x[c * apart + i];
      }
    }
    for (int c = 0; c < columns; ++c) {
      for (int v = 0; v < vectors; ++v) {
        reinterpret_cast<Float8*>(y + c * n_out + at)[v] = sums[c][v];
      }
    }
  }
}

}  // namespace

template <>
GATE_CLONES void dense_columns<2>(const float* packed, const float* b, const float* x, int apart,
                                  int n_in, int n_out, float* y) {
  product_columns<2>(packed, b, x, apart, n_in, n_out, y);
}

template <>
GATE_CLONES void dense_columns<4>(const float* packed, const float* b, const float* x, int apart,
                                  int n_in, int n_out, float* y) {
  product_columns<4>(packed, b, x, apart, n_in, n_out, y);
}

GATE_CLONES void dense(const float* packed, const float* b, const float* x, int n_in, int n_out,
                       float* y) {
  for (int tile = 0; tile < n_out; tile += dense_tile) {
    const Float8* bias = reinterpret_cast<const Float8*>(b + tile);
    Float8 a0 = bias[0], a1 = bias[1], a2 = bias[2], a3 = bias[3];
    Float8 a4 = bias[4], a5 = bias[5], a6 = bias[6], a7 = bias[7];
    for (int i = 0; i < n_in; ++i, packed += dense_tile) {
      const Float8* w = reinterpret_cast<const Float8*>(packed);
      const float v = x[i];
      a0 += w[0] * v, a1 += w[1] * v, a2 += w[2] * v, a3 += w[3] * v;
      a4 += w[4] * v, a5 += w[5] * v, a6 += w[6] * v, a7 += w[7] * v;
    }
    Float8* out = reinterpret_cast<Float8*>(y + tile);
    out[0] = a0, out[1] = a1, out[2] = a2, out[3] = a3;
    out[4] = a4, out[5] = a5, out[6] = a6, out[7] = a7;
  }
}

GATE_CLONES void sigmoid_many(const float* x, int n, float* y) {
  for (int i = 0; i < n; ++i) y[i] = keep_nan(x[i], 1.0f / (1.0f + fast_exp(-x[i])));
}

GATE_CLONES void tanh_many(const float* x, int n, float* y) {
  for (int i = 0; i < n; ++i) {
    y[i] = keep_nan(x[i], 1.0f - 2.0f / (1.0f + fast_exp(2.0f * x[i])));
  }
}

GATE_CLONES void exp_many(const float* x, int n, float* y) {
  for (int i = 0; i < n; ++i) y[i] = keep_nan(x[i], fast_exp(x[i]));
}

GATE_CLONES void fir_groups(const float* samples, const int* starts, const float* coefs,
                            int n_groups, int span, float* out) {
  for (int g = 0; g < n_groups; ++g) {
    const float* x = samples + starts[g];
    const Float8* c = reinterpret_cast<const Float8*>(coefs) + static_cast<size_t>(g) * span;
    Float8 a0 = {}, a1 = {}, a2 = {}, a3 = {};
    int k = 0;
    for (; k + 4 <= span; k += 4) {
      a0 += c[k] * x[k], a1 += c[k + 1] * x[k + 1];
      a2 += c[k + 2] * x[k + 2], a3 += c[k + 3] * x[k + 3];
    }
    for (; k < span; ++k) a0 += c[k] * x[k];
    reinterpret_cast<Float8*>(out)[g] = (a0 + a1) + (a2 + a3);
  }
}

GATE_CLONES void fft_radix_4(const float* __restrict x_re, const float* __restrict x_im,
                             float* __restrict y_re, float* __restrict y_im, int m, int stride,
                             const float* __restrict w_re, const float* __restrict w_im) {
  const int apart = stride * m;
  for (int p = 0; p < m; ++p) {
    const float w1r = w_re[p], w1i = w_im[p], w2r = w_re[2 * p], w2i = w_im[2 * p];
    const float w3r = w_re[3 * p], w3i = w_im[3 * p];
    const float *xr = x_re + stride * p, *xi = x_im + stride * p;
    float *yr = y_re + stride * 4 * p, *yi = y_im + stride * 4 * p;
    for (int q = 0; q < stride; ++q) {
      const float ar = xr[q], ai = xi[q], br = xr[q + apart], bi = xi[q + apart];
      const float cr = xr[q + 2 * apart], ci = xi[q + 2 * apart];
      const float dr = xr[q + 3 * apart], di = xi[q + 3 * apart];
      const float sr = ar + cr, si = ai + ci, tr = ar - cr, ti = ai - ci;
      const float ur = br + dr, ui = bi + di, vr = bi - di, vi = dr - br;  // v = -i (b - d)
      const float er = tr + vr, ei = ti + vi, fr = sr - ur, fi = si - ui;
      const float gr = tr - vr, gi = ti - vi;
      yr[q] = sr + ur, yi[q] = si + ui;
      yr[q + stride] = er * w1r - ei * w1i, yi[q + stride] = er * w1i + ei * w1r;
      yr[q + 2 * stride] = fr * w2r - fi * w2i, yi[q + 2 * stride] = fr * w2i + fi * w2r;
      yr[q + 3 * stride] = gr * w3r - gi * w3i, yi[q + 3 * stride] = gr * w3i + gi * w3r;
    }
  }
}

GATE_CLONES float dot(const float* a, const float* b, int n) {
  Float8 sum = {};
  int i = 0;
  for (; i + 8 <= n; i += 8) {
    sum += *reinterpret_cast<const Float8*>(a + i) * *reinterpret_cast<const Float8*>(b + i);
  }
  float tail = 0.0f;
  for (; i < n; ++i) tail += a[i] * b[i];
  for (int lane = 0; lane < 8; ++lane) tail += sum[lane];
  return tail;
}

GATE_CLONES void multiply(const float* x, const float* g, int n, float* y) {
  for (int i = 0; i < n; ++i) y[i] = x[i] * g[i];
}

}  // namespace gate
