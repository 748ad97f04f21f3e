// The decision: key level against threshold, presence, hysteresis, hold; twin of gate/control.py.
#pragma once

#include <algorithm>
#include <cstdint>

namespace gate {

enum class Reason { open, held, below_threshold, target_absent, bypass, detector_failed };

class Control {
 public:
  bool is_open = false;
  Reason reason = Reason::below_threshold;

  void configure(double threshold_db, double hysteresis_db, double presence_threshold,
                 double presence_hysteresis) {
    open_db_ = threshold_db;
    stay_db_ = threshold_db - hysteresis_db;
    open_presence_ = presence_threshold;
    stay_presence_ = presence_threshold - presence_hysteresis;
  }

  void reset() {
    is_open = false;
    open_until_ = 0;
    reason = Reason::below_threshold;
  }

  // Decide for the samples from `now` to `until`, the next decision: how many of them the gate is
  // open; the rest follow shut.
  int process(int64_t now, int64_t until, double key_level_dbfs, double presence,
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

 private:
  double open_db_ = 0.0, stay_db_ = 0.0, open_presence_ = 0.0, stay_presence_ = 0.0;
  int64_t open_until_ = 0;
};

}  // namespace gate
