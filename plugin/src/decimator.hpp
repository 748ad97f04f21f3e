// Any device rate to the detector's 16 kHz, a hop at a time; twin of gate/decimator.py.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <vector>

#include "kernels.hpp"
#include "units.hpp"

namespace gate {

// Windowed-sinc FIR of about one millisecond to either side (Kaiser, beta 5.65). The caller
// appends samples with push() up to needed(), then takes the hop with process().
class Decimator {
 public:
  Decimator(int sample_rate, int output_rate, int hop_length)
      : sample_rate_(sample_rate), hop_length_(hop_length),
        hops_per_second_(output_rate / hop_length) {
    const double ratio = static_cast<double>(sample_rate) / output_rate;
    const bool same = sample_rate == output_rate;
    half_ = same ? 1 : std::max(12, static_cast<int>(std::ceil(1e-3 * sample_rate)));
    latency_samples_ = same ? 0 : half_;
    n_phases_ = hops_per_second_ / std::gcd(sample_rate, hops_per_second_);
    n_groups_ = hop_length / group_;
    span_ = static_cast<int>(std::floor((group_ - 1) * ratio)) + 2 * half_ + 2;
    design(ratio, 0.48 * std::min(1.0, 1.0 / ratio));
    const int longest = (sample_rate + hops_per_second_ - 1) / hops_per_second_ + 1;
    buffer_.resize(2 * (longest + span_) + 2 * half_);
    out_.resize(hop_length);
    reset();
  }

  void reset() {
    hop_ = 0;
    base_ = 1 - half_;  // input index of buffer_[0]
    std::fill(buffer_.begin(), buffer_.end(), 0.0f);
    fill_ = half_ - 1;  // silence before the first sample
    count_needed();
  }

  int latency_samples() const { return latency_samples_; }

  // Input samples still missing from the next hop.
  int needed() const { return needed_; }

  void push(const float* samples, int n) {
    std::memcpy(buffer_.data() + fill_, samples, n * sizeof(float));
    fill_ += n;
    needed_ -= n;
  }

  // The hop for which needed() has become 0; valid until the next call.
  float* process() {
    const int phase = static_cast<int>(hop_ % n_phases_);
    const size_t size = static_cast<size_t>(n_groups_) * span_ * group_;
    fir_groups(buffer_.data(), starts_.data() + phase * n_groups_, coefs_.data() + phase * size,
               n_groups_, span_, out_.data());
    ++hop_;
    const int64_t base = hop_start(hop_) - half_ + 1;
    const int drop = static_cast<int>(base - base_);
    std::memmove(buffer_.data(), buffer_.data() + drop, (fill_ - drop) * sizeof(float));
    fill_ -= drop;
    base_ = base;
    count_needed();
    return out_.data();
  }

 private:
  static constexpr int group_ = 8;  // outputs that share one stretch of input

  // Modified Bessel function of the first kind, order 0.
  static double bessel_i0(double x) {
    double sum = 1.0, term = 1.0;
    for (int k = 1; term > 1e-17 * sum; ++k) sum += term *= (x / (2 * k)) * (x / (2 * k));
    return sum;
  }

  static double prototype(double offset, double half_width, double cutoff) {
    const double inside = 1.0 - (offset / half_width) * (offset / half_width);
    if (inside <= 0.0) return 0.0;
    const double angle = pi * 2.0 * cutoff * offset;
    const double sinc = angle == 0.0 ? 1.0 : std::sin(angle) / angle;
    return bessel_i0(5.65 * std::sqrt(inside)) * 2.0 * cutoff * sinc;
  }

  void design(double ratio, double cutoff) {
    starts_.resize(n_phases_ * n_groups_);
    coefs_.assign(static_cast<size_t>(n_phases_) * n_groups_ * span_ * group_, 0.0f);
    std::vector<double> taps(span_);
    for (int row = 0; row < n_phases_ * n_groups_; ++row) {
      const int phase = row / n_groups_, first = row % n_groups_ * group_;
      const double fraction = static_cast<double>(
          static_cast<int64_t>(phase) * sample_rate_ % hops_per_second_) / hops_per_second_;
      starts_[row] = static_cast<int>(std::floor(fraction + first * ratio));
      for (int i = 0; i < group_; ++i) {
        const double position = fraction + (first + i) * ratio;
        for (int k = 0; k < span_; ++k) {
          const int tap = starts_[row] - half_ + 1 + k;
          taps[k] = latency_samples_ == 0 ? double(tap == starts_[row] + i)
                                          : prototype(tap - position, half_, cutoff);
        }
        const double sum = std::accumulate(taps.begin(), taps.end(), 0.0);
        for (int k = 0; k < span_; ++k) {
          coefs_[(static_cast<size_t>(row) * span_ + k) * group_ + i] =
              static_cast<float>(taps[k] / sum);
        }
      }
    }
  }

  int64_t hop_start(int64_t hop) const { return hop * sample_rate_ / hops_per_second_; }

  // Input samples that must have come before the hop can be computed.
  int64_t hop_end(int64_t hop) const {
    const int64_t last = ((hop + 1) * hop_length_ - 1) * sample_rate_;
    return last / (static_cast<int64_t>(hops_per_second_) * hop_length_) + half_ + 1;
  }

  void count_needed() { needed_ = static_cast<int>(hop_end(hop_) - base_ - fill_); }

  int sample_rate_, hop_length_, hops_per_second_;
  int half_, latency_samples_, n_phases_, n_groups_, span_;
  std::vector<int> starts_;
  std::vector<float> coefs_, buffer_, out_;
  int64_t hop_ = 0, base_ = 0;
  int fill_ = 0, needed_ = 0;
};

}  // namespace gate
