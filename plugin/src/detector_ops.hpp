// What the generated detector calls: recurrent layers for one hop.
#pragma once

#include "kernels.hpp"

namespace gate {

// y = b + W x for a handful of outputs; W is [output][input].
inline void dense_rows(const float* w, const float* b, const float* x, int n_in, int n_out,
                       float* y) {
  for (int o = 0; o < n_out; ++o) y[o] = b[o] + dot(w + o * n_in, x, n_in);
}

// ONNX GRU, linear_before_reset = 1, gates in the order update, reset, new. `input` is packed for
// dense(), `recurrent` is what the state adds to the three gates, `scratch` holds the gates.
inline void gru_step(const float* input, const float* bias, const float* recurrent, const float* x,
                     int n_in, const float* h, int n, float* scratch, float* y) {
  float* a = scratch;
  dense(input, bias, x, n_in, 3 * n, a);
  for (int i = 0; i < 2 * n; ++i) a[i] += recurrent[i];
  sigmoid_many(a, 2 * n, a);
  for (int i = 0; i < n; ++i) a[2 * n + i] += a[n + i] * recurrent[2 * n + i];
  tanh_many(a + 2 * n, n, a + 2 * n);
  for (int i = 0; i < n; ++i) y[i] = a[2 * n + i] + a[i] * (h[i] - a[2 * n + i]);
}

// ONNX RNN with the Relu activation; a few units.
inline void rnn_relu_step(const float* input, const float* recurrent, const float* bias,
                          const float* x, int n_in, const float* h, int n, float* y) {
  for (int o = 0; o < n; ++o) {
    const float sum = bias[o] + dot(input + o * n_in, x, n_in) + dot(recurrent + o * n, h, n);
    y[o] = sum < 0.0f ? 0.0f : sum;  // a NaN stays
  }
}

}  // namespace gate
