// Key listen: hear what the threshold is applied to; twin of gate/listen.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "fft.hpp"

namespace gate {

// Frames of 20 ms, half overlapped, square-root Hann before and after, the key's weights on the
// bins; 20 ms late.
class KeyListen {
 public:
  KeyListen(int sample_rate, int n_bins, int key_rate)
      : hop_(std::max(1, static_cast<int>(std::nearbyint(0.010 * sample_rate)))), n_bins_(n_bins),
        bin_step_((n_bins - 1) * 2.0 / key_rate * sample_rate / (2.0 * hop_)), fft_(2 * hop_),
        window_(2 * hop_), in_(2 * hop_), out_(2 * hop_), frame_(2 * hop_), ready_(hop_),
        spectrum_(hop_ + 1) {
    for (int i = 0; i < 2 * hop_; ++i) {
      window_[i] = static_cast<float>(std::sin(pi * (i + 0.5) / (2 * hop_)));
    }
  }

  void reset() {
    for (auto* buffer : {&in_, &out_, &ready_}) std::fill(buffer->begin(), buffer->end(), 0.0f);
    fill_ = 0;
  }

  // Filter one sample by the bin weights in force.
  float process(float sample, const float* bin_weights) {
    const float heard = ready_[fill_];
    in_[hop_ + fill_] = sample;
    if (++fill_ == hop_) {
      filter(bin_weights);
      fill_ = 0;
    }
    return heard;
  }

 private:
  void filter(const float* bin_weights) {
    for (int i = 0; i < 2 * hop_; ++i) frame_[i] = in_[i] * window_[i];
    fft_.forward(frame_.data(), spectrum_.data());
    for (int k = 0; k <= hop_; ++k) {
      const double at = k * bin_step_;
      const int bin = static_cast<int>(at);
      float weight = 0.0f;
      if (at == n_bins_ - 1) {
        weight = bin_weights[n_bins_ - 1];
      } else if (bin < n_bins_ - 1) {
        const float share = static_cast<float>(at - bin);
        weight = bin_weights[bin] * (1.0f - share) + bin_weights[bin + 1] * share;
      }
      spectrum_[k].re *= weight;
      spectrum_[k].im *= weight;
    }
    fft_.inverse(spectrum_.data(), frame_.data());
    for (int i = 0; i < 2 * hop_; ++i) out_[i] += frame_[i] * window_[i];
    std::copy(out_.begin(), out_.begin() + hop_, ready_.begin());
    std::copy(out_.begin() + hop_, out_.end(), out_.begin());
    std::fill(out_.begin() + hop_, out_.end(), 0.0f);
    std::copy(in_.begin() + hop_, in_.end(), in_.begin());
  }

  int hop_, n_bins_;
  double bin_step_;
  RealFft fft_;
  std::vector<float> window_, in_, out_, frame_, ready_;
  std::vector<Complex> spectrum_;
  int fill_ = 0;
};

}  // namespace gate
