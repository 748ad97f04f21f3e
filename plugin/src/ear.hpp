// The second ear: Silero VAD's 16 kHz network, heard beside the log-mel; twin of realtime/ears.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "fft.hpp"
#include "kernels.hpp"

namespace gate {

// What the generated file holds of the ear. Weights are packed for dense_columns() and dense().
struct EarNetwork {
  int column = -1;  // of the detector's input `ears`; below 0 there is no ear
  double level_decay = 0.0, level_gain = 1.0;  // of the running mean square a chunk; its target
  float scale = 1.0f, clip = 1.0f;
  const float* window = nullptr;  // of the transform
  const float *conv_0 = nullptr, *bias_0 = nullptr, *conv_1 = nullptr, *bias_1 = nullptr;
  const float *conv_2 = nullptr, *bias_2 = nullptr, *conv_3 = nullptr, *bias_3 = nullptr;
  const float *lstm_input = nullptr, *lstm_state = nullptr, *lstm_bias = nullptr;
  const float* out = nullptr;
  float out_bias = 0.0f;
};

extern const EarNetwork speech_ear;

// Speech probability of every chunk of 512 samples, heard with the 64 before it and at a level of
// its own: a running mean square is brought to a fixed one.
class SpeechEar {
 public:
  SpeechEar()
      : fft_(window_), samples_(context_ + chunk_), heard_(context_ + chunk_ + reflected_),
        frame_(window_), spectrum_(n_bins_), magnitude_((columns_ + 2) * n_bins_),
        layer_0_((columns_ + 1) * wide_), layer_1_(2 * narrow_), layer_2_(narrow_),
        layer_3_(wide_), gates_(4 * wide_), h_(wide_), c_(wide_) {
    if (!present()) return;
    std::vector<float> silence(2 * chunk_, 0.0f);  // touches every weight once
    process(silence.data(), 2 * chunk_);
    reset();
  }

  static bool present() { return speech_ear.column >= 0; }

  void reset() {
    for (auto* state : {&samples_, &h_, &c_}) std::fill(state->begin(), state->end(), 0.0f);
    fill_ = context_;
    level_ = level_weight_ = 0.0;
    value_ = 0.0f;
    prepared_ = false;
  }

  // What can be done of the next chunk before its sound has come: the gates' recurrent part.
  void prepare() {
    if (prepared_) return;
    dense(speech_ear.lstm_state, speech_ear.lstm_bias, h_.data(), wide_, 4 * wide_, gates_.data());
    prepared_ = true;
  }

  // Hear the next n samples at 16 kHz.
  void process(const float* samples, int n) {
    while (n > 0) {
      const int step = std::min(n, context_ + chunk_ - fill_);
      std::copy(samples, samples + step, samples_.begin() + fill_);
      fill_ += step, samples += step, n -= step;
      if (fill_ == context_ + chunk_) hear();
    }
  }

  // Logit of the last whole chunk's probability, scaled and clipped; 0 before the first.
  float value() const { return value_; }

 private:
  static constexpr int context_ = 64, chunk_ = 512, reflected_ = 64;
  static constexpr int window_ = 256, stride_ = 128, n_bins_ = 129, columns_ = 4;
  static constexpr int wide_ = 128, narrow_ = 64;  // units of the layers

  void hear() {
    prepare();
    take_level();
    transform();
    // Three taps a convolution: with a column of zeros before the first (and after the last), the
    // inputs of an output lie side by side.
    float* x_0 = layer_0_.data() + wide_;
    dense_columns<4>(speech_ear.conv_0, speech_ear.bias_0, magnitude_.data(), n_bins_,
                     3 * n_bins_, wide_, x_0);
    rectify(x_0, columns_ * wide_);
    dense_columns<2>(speech_ear.conv_1, speech_ear.bias_1, layer_0_.data(), 2 * wide_, 3 * wide_,
                     narrow_, layer_1_.data());
    rectify(layer_1_.data(), 2 * narrow_);
    // From here on there is one output; the taps that would see zeros are left out.
    dense(speech_ear.conv_2, speech_ear.bias_2, layer_1_.data(), 2 * narrow_, narrow_,
          layer_2_.data());
    rectify(layer_2_.data(), narrow_);
    dense(speech_ear.conv_3, speech_ear.bias_3, layer_2_.data(), narrow_, wide_, layer_3_.data());
    rectify(layer_3_.data(), wide_);
    remember();
    std::copy(h_.begin(), h_.end(), layer_3_.begin());
    rectify(layer_3_.data(), wide_);
    const float logit = speech_ear.out_bias + dot(speech_ear.out, layer_3_.data(), wide_);
    value_ = std::clamp(logit * speech_ear.scale, -speech_ear.clip, speech_ear.clip);

    std::copy(samples_.begin() + chunk_, samples_.end(), samples_.begin());
    fill_ = context_;
  }

  // The window at the level that the network knows best, its end reflected.
  void take_level() {
    double sum = 0.0;
    for (int i = context_; i < context_ + chunk_; ++i) sum += double(samples_[i]) * samples_[i];
    const double mean_square = sum / chunk_, d = speech_ear.level_decay;
    level_ = d * level_ + (1.0 - d) * mean_square;
    level_weight_ = d * level_weight_ + (1.0 - d);
    const double level = std::max(level_ / level_weight_, mean_square / 10.0);
    const float gain = static_cast<float>(speech_ear.level_gain / std::sqrt(level + 1e-9));
    const int end = context_ + chunk_;
    for (int i = 0; i < end; ++i) heard_[i] = gain * samples_[i];
    for (int i = 0; i < reflected_; ++i) heard_[end + i] = heard_[end - 2 - i];
  }

  void transform() {
    for (int column = 0; column < columns_; ++column) {
      multiply(heard_.data() + column * stride_, speech_ear.window, window_, frame_.data());
      fft_.forward(frame_.data(), spectrum_.data());
      float* magnitude = magnitude_.data() + (1 + column) * n_bins_;
      for (int k = 0; k < n_bins_; ++k) {
        const float re = spectrum_[k].re, im = spectrum_[k].im;
        magnitude[k] = std::sqrt(re * re + im * im);
      }
    }
  }

  // A step of the LSTM: gates in, forget, new, out.
  void remember() {
    const int n = wide_;
    float* gates = gates_.data();
    dense(speech_ear.lstm_input, gates, layer_3_.data(), n, 4 * n, gates);
    sigmoid_many(gates, 2 * n, gates);
    tanh_many(gates + 2 * n, n, gates + 2 * n);
    sigmoid_many(gates + 3 * n, n, gates + 3 * n);
    for (int i = 0; i < n; ++i) c_[i] = gates[n + i] * c_[i] + gates[i] * gates[2 * n + i];
    tanh_many(c_.data(), n, h_.data());
    for (int i = 0; i < n; ++i) h_[i] *= gates[3 * n + i];
    prepared_ = false;
  }

  static void rectify(float* x, int n) {
    for (int i = 0; i < n; ++i) x[i] = x[i] < 0.0f ? 0.0f : x[i];
  }

  RealFft fft_;
  std::vector<float> samples_, heard_, frame_;
  std::vector<Complex> spectrum_;
  std::vector<float> magnitude_, layer_0_, layer_1_, layer_2_, layer_3_, gates_, h_, c_;
  int fill_ = context_;
  double level_ = 0.0, level_weight_ = 0.0;
  bool prepared_ = false;
  float value_ = 0.0f;
};

}  // namespace gate
