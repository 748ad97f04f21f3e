// The lookahead: a delay whose length can change without a click; twin of gate/delay.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace gate {

// A change cross-fades from the old to the new tap in 10 ms; a change in a fade waits for its end.
class DelayLine {
 public:
  DelayLine(int sample_rate, int channels, int max_delay_samples)
      : fade_length_(std::max(1, static_cast<int>(std::nearbyint(0.010 * sample_rate)))),
        max_delay_(max_delay_samples), size_(max_delay_samples + 1),
        rings_(channels, std::vector<float>(size_)) {}

  void reset() {
    for (std::vector<float>& ring : rings_) std::fill(ring.begin(), ring.end(), 0.0f);
    write_ = fade_left_ = 0;
    delay_ = next_ = target_;
  }

  int latency_samples() const { return target_; }
  void set_delay(int delay_samples) { target_ = std::min(delay_samples, max_delay_); }

  // Delay n samples of every channel in place.
  void process(float* const* audio, int n) {
    for (int i = 0; i < n; ++i) {
      if (fade_left_ == 0 && target_ != delay_) fade_left_ = fade_length_, next_ = target_;
      if (fade_left_ == 0 && delay_ == 0) {
        for (size_t c = 0; c < rings_.size(); ++c) rings_[c][write_] = audio[c][i];
      } else {
        const float in = static_cast<float>(fade_length_ - fade_left_ + 1) / fade_length_;
        for (size_t c = 0; c < rings_.size(); ++c) {
          rings_[c][write_] = audio[c][i];
          const float old = rings_[c][tap(delay_)];
          audio[c][i] = fade_left_ == 0 ? old : rings_[c][tap(next_)] * in + old * (1.0f - in);
        }
        if (fade_left_ > 0 && --fade_left_ == 0) delay_ = next_;
      }
      if (++write_ == size_) write_ = 0;
    }
  }

 private:
  int tap(int delay) const { return write_ >= delay ? write_ - delay : write_ - delay + size_; }

  int fade_length_, max_delay_, size_;
  std::vector<std::vector<float>> rings_;
  int write_ = 0, fade_left_ = 0, delay_ = 0, next_ = 0, target_ = 0;
};

}  // namespace gate
