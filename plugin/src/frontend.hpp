// What turns key samples of any rate into what a detector hears, a hop at a time; twin of
// gate/frontend.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "decimator.hpp"
#include "features.hpp"
#include "linked.hpp"

namespace gate {

// One key channel, or two that are heard as one: their number may change between calls.
class Frontend {
 public:
  Frontend(int sample_rate, const MelSettings& mel)
      : mel_(mel), decimator_(sample_rate, mel.sample_rate, mel.hop_length), log_mel_(mel),
        pair_(sample_rate), power_(mel.n_bins()),
        longest_hop_(1 + static_cast<int>(std::ceil((mel.hop_length + 2.0) * sample_rate /
                                                        mel.sample_rate +
                                                    2.0 * decimator_.latency_samples()))),
        left_(longest_hop_), right_(longest_hop_), mono_(longest_hop_) {}

  void reset() {
    decimator_.reset();
    log_mel_.reset();
    pair_.reset();
    position_ = 0;
    filled_ = 0;
  }

  int longest_hop() const { return longest_hop_; }

  // Samples taken since the reset.
  int64_t position() const { return position_; }

  // Samples until the next hop is ready.
  int needed() const { return decimator_.needed() - filled_; }

  // Append n samples of one or two channels, at most needed().
  void push(const float* const* channels, int n_channels, int n) {
    if (n_channels != n_channels_) fit(n_channels);
    position_ += n;
    if (n_channels == 1) {
      decimator_.push(channels[0], n);
      return;
    }
    std::copy(channels[0], channels[0] + n, left_.begin() + filled_);
    std::copy(channels[1], channels[1] + n, right_.begin() + filled_);
    filled_ += n;
  }

  // Take the hop for which needed() has become 0: its samples at 16 kHz, valid until the next call.
  const float* take() {
    double ratio = 1.0;
    if (n_channels_ == 2) {
      ratio = pair_.process(left_.data(), right_.data(), filled_, mono_.data());
      decimator_.push(mono_.data(), filled_);
      filled_ = 0;
    }
    float* samples = decimator_.process();
    for (int i = 0; i < mel_.hop_length; ++i) {
      samples[i] = std::min(std::max(samples[i], -clip_), clip_);
    }
    log_mel_.process(samples);
    const float scale = static_cast<float>(ratio);
    for (int i = 0; i < mel_.n_bins(); ++i) power_[i] = log_mel_.power()[i] * scale;
    return samples;
  }

  const float* log_mel() const { return log_mel_.log_mel(); }

  // Mean square a bin; of two channels it is at the louder one's level.
  const float* power() const { return power_.data(); }

  // The i-th of some key samples, as it was heard last.
  float mix(const float* const* channels, int n_channels, int i) const {
    return n_channels == 1 ? channels[0][i] : pair_.mix(channels[0][i], channels[1][i]);
  }

 private:
  static constexpr float clip_ = 16.0f;  // a wild sample must not reach the detector's state

  void fit(int n_channels) {
    for (int i = 0; i < filled_; ++i) mono_[i] = pair_.mix(left_[i], right_[i]);
    decimator_.push(mono_.data(), filled_);
    filled_ = 0;
    pair_.reset();
    n_channels_ = n_channels;
  }

  MelSettings mel_;
  Decimator decimator_;
  LogMel log_mel_;
  LinkedPair pair_;
  std::vector<float> power_;
  int longest_hop_;
  std::vector<float> left_, right_, mono_;
  int n_channels_ = 1, filled_ = 0;
  int64_t position_ = 0;
};

}  // namespace gate
