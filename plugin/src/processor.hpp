// The gate for blocks of any size, one decision for all channels; twin of gate/processor.py.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "delay.hpp"
#include "lane.hpp"
#include "listen.hpp"
#include "settings.hpp"

#if defined(__SSE__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

namespace gate {

// Denormals cost a hundredfold in long silences: flushed while one of these lives.
class DenormalsFlushed {
 public:
#if defined(__SSE__) || defined(_M_X64)
  DenormalsFlushed() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040u); }
  ~DenormalsFlushed() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#elif defined(__aarch64__)
  DenormalsFlushed() {
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    asm volatile("msr fpcr, %0" : : "r"(before_ | (1ull << 24)));
  }
  ~DenormalsFlushed() { asm volatile("msr fpcr, %0" : : "r"(before_)); }

 private:
  unsigned long long before_;
#endif
};

// Everything is allocated by the constructor; process() only computes.
class GateProcessor {
 public:
  void (*on_hop)(const Meters&) = nullptr;
  float* gains = nullptr;  // where the next samples' gains go too, or null

  GateProcessor(const GateSettings& settings, int sample_rate, int channels)
      : settings_(settings), sample_rate_(sample_rate), channels_(channels),
        lane_(sample_rate, settings),
        delay_(sample_rate, channels, ms_to_samples(lookahead_ms_range.high, sample_rate)),
        listener_(sample_rate, lane_.mel.n_bins(), lane_.mel.sample_rate),
        fade_step_(1.0 / std::max(1, ms_to_samples(10.0, sample_rate))),
        audio_(channels, std::vector<float>(piece_)), keys_(2, std::vector<float>(piece_)),
        key_(piece_), rows_(channels) {
    for (int c = 0; c < channels; ++c) rows_[c] = audio_[c].data();
    for (int c = 0; c < 2; ++c) key_rows_[c] = keys_[c].data();
    delay_.set_delay(ms_to_samples(settings.lookahead_ms, sample_rate));
    reset();
  }

  // Forget all sound and all counts; settings stay.
  void reset() {
    lane_.reset();
    delay_.reset();
    listener_.reset();
    listen_mix_ = settings_.key_listen ? 1.0 : 0.0;
  }

  // Between blocks, at any time: nothing clicks, nothing is reset.
  void configure(const GateSettings& settings) {
    settings_ = settings;
    lane_.configure(settings);
    delay_.set_delay(ms_to_samples(settings.lookahead_ms, sample_rate_));
  }

  int latency_samples() const { return delay_.latency_samples(); }
  Lane& lane() { return lane_; }

  // Gate n samples of one or two channels. `key` is an external key input of n_keys channels, one or
  // two, or null; `out` may be `in`.
  void process(const float* const* in, const float* const* key, int n_keys, float* const* out,
               int n) {
    const DenormalsFlushed flushed;
    for (int done = 0; done < n;) {
      const int step = std::min({n - done, lane_.needed(), piece_});
      for (int c = 0; c < channels_; ++c) repair(in[c] + done, step, rows_[c]);
      const int n_heard = key == nullptr ? channels_ : n_keys;
      for (int c = 0; key != nullptr && c < n_keys; ++c) {
        repair(key[c] + done, step, key_rows_[c]);
      }
      const float* const* heard = key == nullptr ? rows_.data() : key_rows_.data();
      const float* curve = lane_.curve();
      if (gains != nullptr) gains = std::copy(curve, curve + step, gains);
      const bool passes = lane_.passes(), listens = settings_.key_listen || listen_mix_ > 0.0;
      lane_.push(heard, n_heard, step);
      for (int i = 0; listens && i < step; ++i) key_[i] = lane_.mix(heard, n_heard, i);
      delay_.process(rows_.data(), step);
      for (int c = 0; c < channels_; ++c) {
        if (passes) {  // a product would lose denormal samples
          std::copy(rows_[c], rows_[c] + step, out[c] + done);
        } else {
          multiply(rows_[c], curve, step, out[c] + done);
        }
      }
      if (listens) listen(out, done, step);
      done += step;
      if (lane_.needed() == 0) {
        lane_.end_hop();
        if (on_hop != nullptr) on_hop(lane_.meters());
      }
    }
  }

 private:
  static constexpr int piece_ = 512;

  // What is not finite becomes silence and is counted.
  void repair(const float* in, int n, float* out) {
    for (int i = 0; i < n; ++i) {
      const bool finite = std::abs(in[i]) <= 3.402823466e38f;
      out[i] = finite ? in[i] : 0.0f;
      lane_.counters.nonfinite_samples += !finite;
    }
  }

  // Fade between the gated sound and what the key lets through.
  void listen(float* const* out, int done, int n) {
    const float* weights = lane_.bin_weights();
    const double step = settings_.key_listen ? fade_step_ : -fade_step_;
    for (int i = done; i < done + n; ++i) {
      listen_mix_ = std::clamp(listen_mix_ + step, 0.0, 1.0);
      const float heard = listener_.process(key_[i - done], weights);
      const float share = static_cast<float>(listen_mix_);
      for (int c = 0; c < channels_; ++c) out[c][i] += share * (heard - out[c][i]);
    }
    if (listen_mix_ == 0.0) listener_.reset();  // nothing old is heard next time
  }

  GateSettings settings_;
  int sample_rate_, channels_;
  Lane lane_;
  DelayLine delay_;
  KeyListen listener_;
  double fade_step_, listen_mix_ = 0.0;
  std::vector<std::vector<float>> audio_, keys_;
  std::vector<float> key_;
  std::vector<float*> rows_;
  std::array<float*, 2> key_rows_{};
};

}  // namespace gate
