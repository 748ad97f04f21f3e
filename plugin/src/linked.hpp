// How two channels are heard as one: the sum with the signs that lose nothing; twin of
// gate/linked.py, where the rule is told.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "units.hpp"

namespace gate {

class LinkedPair {
 public:
  explicit LinkedPair(int sample_rate)
      : apart_(std::max(1, static_cast<int>(std::nearbyint(sample_rate / 8000.0)))),
        fade_(std::max(1, ms_to_samples(5.0, sample_rate))) {
    for (auto& tail : tails_) tail.resize(apart_);
    reset();
  }

  void reset() {
    for (auto& tail : tails_) std::fill(tail.begin(), tail.end(), 0.0f);
    power_0_ = power_1_ = shared_ = 0.0;
    powers_ = {};
    weights_ = {0.5f, 0.5f};
  }

  // In force at the end of the last hop.
  const std::array<float, 2>& weights() const { return weights_; }

  // Mix a hop: all n input samples that came since the last one. Returns the power of the louder
  // channel over that of what is written to `mono`, over the last three hops.
  double process(const float* left, const float* right, int n, float* mono) {
    double now_0 = 0.0, now_1 = 0.0, both = 0.0;
    for (int i = 0; i < n; ++i) {
      const double a = rise(left, tails_[0], i), b = rise(right, tails_[1], i);
      now_0 += a * a, now_1 += b * b, both += a * b;
    }
    keep(left, n, tails_[0]);
    keep(right, n, tails_[1]);
    const double most = wild_ * n;
    if (now_0 + now_1 > most) {
      const double scale = most / (now_0 + now_1);
      now_0 *= scale, now_1 *= scale, both *= scale;
    }
    power_0_ = kept_ * power_0_ + now_0;
    power_1_ = kept_ * power_1_ + now_1;
    shared_ = kept_ * shared_ + both;
    // Channels in opposite phase: the second one changes its sign.
    const double sign = weights_[1] < 0.0f ? -1.0 : 1.0;
    const bool turns = shared_ * sign < disagrees_ * std::sqrt(power_0_ * power_1_);
    const float before = weights_[1];
    if (turns) weights_[1] = -before;
    for (int i = 0; i < n; ++i) mono[i] = left[i] * weights_[0] + right[i] * weights_[1];
    for (int i = 0; turns && i < std::min(n, fade_); ++i) {
      const float old = left[i] * weights_[0] + right[i] * before;
      mono[i] = old + static_cast<float>(i + 1) / static_cast<float>(fade_) * (mono[i] - old);
    }
    return ratio(now_0, now_1, both);
  }

  // Mix as the last hop was mixed.
  float mix(float left, float right) const { return left * weights_[0] + right * weights_[1]; }

 private:
  static constexpr double kept_ = 0.9;        // of the covariance from hop to hop: 95 ms
  static constexpr double disagrees_ = -0.25; // correlation from which the sign changes
  static constexpr double wild_ = 1024.0;     // power from which a wild sample counts no more

  // Difference of samples 125 us apart: leaves out offsets and rumble.
  double rise(const float* x, const std::vector<float>& tail, int i) const {
    return static_cast<double>(x[i]) - (i < apart_ ? tail[i] : x[i - apart_]);
  }

  void keep(const float* x, int n, std::vector<float>& tail) const {
    const int old = std::max(apart_ - n, 0);
    std::copy(tail.end() - old, tail.end(), tail.begin());
    std::copy(x + n - (apart_ - old), x + n, tail.begin() + old);
  }

  double ratio(double now_0, double now_1, double both) {
    powers_[0] = powers_[1], powers_[1] = powers_[2];
    const double sign = weights_[1] < 0.0f ? -1.0 : 1.0;
    powers_[2] = {now_0, now_1, 0.25 * (now_0 + now_1 + 2.0 * sign * both)};
    std::array<double, 3> sums{};
    for (const auto& hop : powers_) {
      for (int i = 0; i < 3; ++i) sums[i] += hop[i];
    }
    constexpr double most = 4.0 * 2 * 2;
    const double loudest = std::max(sums[0], sums[1]);
    if (loudest < most * sums[2]) return loudest / sums[2];
    return loudest > 0.0 ? most : 1.0;
  }

  int apart_, fade_;
  std::array<std::vector<float>, 2> tails_;
  double power_0_ = 0.0, power_1_ = 0.0, shared_ = 0.0;
  std::array<std::array<double, 3>, 3> powers_{};  // of the last hops: each channel's, the sum's
  std::array<float, 2> weights_{};
};

}  // namespace gate
