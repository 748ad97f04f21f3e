// The inner loops that carry the cost. On x86-64 Linux each is compiled for AVX2 and for the
// baseline, and the loader picks; elsewhere the compiler's baseline (NEON, SSE2) is what runs.
#pragma once

#include <cstddef>

namespace gate {

constexpr int dense_tile = 64;  // outputs that dense() computes side by side

// y = b + W x. `packed` holds W as [tile][input][dense_tile]; y and b reach to a whole tile.
void dense(const float* packed, const float* b, const float* x, int n_in, int n_out, float* y);

// The same for several inputs at once, the i-th at x + i apart: y is [input][n_out], `packed` holds W
// as [tile][input][dense_tile / columns]. A convolution is such a product.
template <int columns>
void dense_columns(const float* packed, const float* b, const float* x, int apart, int n_in,
                   int n_out, float* y);

void sigmoid_many(const float* x, int n, float* y);
void tanh_many(const float* x, int n, float* y);
void exp_many(const float* x, int n, float* y);

// A hop of the decimator: 8 outputs a group, coefficients [group][span][8].
void fir_groups(const float* samples, const int* starts, const float* coefs, int n_groups, int span,
                float* out);

// One radix-4 stage of a Stockham FFT over separate real and imaginary parts: `m` groups of four
// inputs `stride * m` apart, twiddles w[p], w[2 p], w[3 p].
void fft_radix_4(const float* x_re, const float* x_im, float* y_re, float* y_im, int m, int stride,
                 const float* w_re, const float* w_im);

float dot(const float* a, const float* b, int n);

// y = x g, sample by sample.
void multiply(const float* x, const float* g, int n, float* y);

}  // namespace gate
