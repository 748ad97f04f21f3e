// The decision, once a hop: loud, and present by evidence or by the classic rule; twin of
// gate/control.py.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "decision.hpp"
#include "settings.hpp"
#include "units.hpp"

namespace gate {

enum class Reason { open, held, below_threshold, target_absent, bypass, detector_failed };

class Control {
 public:
  bool is_open = false;
  Reason reason = Reason::below_threshold;

  // Change thresholds, rule and lag and keep the state.
  void configure(double threshold_db, double hysteresis_db, const DecisionRule& rule, int lag) {
    open_db_ = threshold_db;
    stay_db_ = threshold_db - hysteresis_db;
    open_presence_ = rule.threshold;
    stay_presence_ = rule.threshold - rule.hysteresis;
    evidence_.configure(rule);
    if (rule.by_evidence && !by_evidence_) evidence_.reset();
    by_evidence_ = rule.by_evidence;
    lag_ = std::min(lag, most_lag);
    keep_levels(lag_);
  }

  void reset() {
    is_open = false;
    open_until_ = 0;
    reason = Reason::below_threshold;
    evidence_.reset();
    loud_left_ = 0;
    n_levels_ = 0;
    keep_levels(lag_);
  }

  // What there is, clipped, and its bounds, in nats; null under the classic rule.
  const Evidence* evidence() const { return by_evidence_ ? &evidence_ : nullptr; }

  // Decide for the samples from `now` to `until`, the next decision: how many of them the gate is
  // open; the rest follow shut. Only the classic rule holds.
  int process(int64_t now, int64_t until, double key_level_dbfs, double presence,
              int64_t hold_samples) {
    if (!by_evidence_) return classic(now, until, key_level_dbfs, presence, hold_samples);
    evidence_.process(presence);
    // Dips inside words are no ends: an open gate stays loud for some hops.
    const double level = loudest(key_level_dbfs);
    const bool stays = level > stay_db_ || loud_left_ > 0;
    loud_left_ = level > stay_db_ ? loud_hold_hops_ : std::max(loud_left_ - 1, 0);
    const bool loud = is_open ? stays : level > open_db_;
    is_open = loud && evidence_.present(lag_);
    if (is_open) {
      open_until_ = until;  // so that a change to the classic rule goes on from here
      reason = evidence_.sounding(lag_) ? Reason::open : Reason::held;
      return static_cast<int>(until - now);
    }
    reason = loud ? Reason::target_absent : Reason::below_threshold;
    return 0;
  }

  // Take a hop of which nothing is known, so that the lag stays right.
  void miss() {
    if (!by_evidence_) return;
    evidence_.miss();
    loudest(min_dbfs);
  }

 private:
  static constexpr int loud_hold_hops_ = 5;
  static constexpr int most_lag = static_cast<int>(lookahead_ms_range.high / 10.0);

  int classic(int64_t now, int64_t until, double key_level_dbfs, double presence,
              int64_t hold_samples) {
    const bool loud = key_level_dbfs > (is_open ? stay_db_ : open_db_);
    const bool present = presence >= (is_open ? stay_presence_ : open_presence_);
    if (loud && present) {
      is_open = true;
      open_until_ = std::max(open_until_, until + hold_samples);
      reason = Reason::open;
      return static_cast<int>(until - now);
    }
    const int64_t held = std::min(open_until_, until) - now;
    if (held > 0) {
      reason = Reason::held;
      is_open = open_until_ > until;
      return static_cast<int>(held);
    }
    is_open = false;
    reason = loud ? Reason::target_absent : Reason::below_threshold;
    return 0;
  }

  // Remember the hop's level; the largest of it and of the `lag_` hops before it.
  double loudest(double key_level_dbfs) {
    keep_levels(lag_ + 1);
    for (int i = lag_; i > 0; --i) levels_[i] = levels_[i - 1];
    levels_[0] = key_level_dbfs;
    return *std::max_element(levels_.begin(), levels_.begin() + lag_ + 1);
  }

  // The last n levels; what was before them, where there are fewer, was silence.
  void keep_levels(int n) {
    for (int i = n_levels_; i < n; ++i) levels_[i] = min_dbfs;
    n_levels_ = n;
  }

  double open_db_ = 0.0, stay_db_ = 0.0, open_presence_ = 0.0, stay_presence_ = 0.0;
  bool by_evidence_ = false;
  Evidence evidence_;
  int lag_ = 0, n_levels_ = 0, loud_left_ = 0;
  std::array<double, most_lag + 2> levels_{};  // newest first
  int64_t open_until_ = 0;
};

}  // namespace gate
