// Everything that a user can set; twin of gate/settings.py.
#pragma once

#include <optional>

namespace gate {

struct Key {
  enum Kind { learned, off, band };
  Kind kind = learned;
  double low_hz = 0.0, high_hz = 8000.0;
};

// An empty optional leaves the value to the detector.
struct GateSettings {
  double threshold_db = -60.0, range_db = -60.0, hysteresis_db = 6.0;
  std::optional<double> attack_ms, hold_ms, release_ms;
  Key key;
  bool key_listen = false;
  int target = 0;  // index into the detector's targets
  std::optional<double> presence_threshold, presence_hysteresis;
  double lookahead_ms = 0.0;
  bool duck = false;
  bool bypass = false;
  bool second_ear = true;
};

struct Range {
  double low, high;
};

constexpr Range threshold_db_range{-100.0, 0.0}, range_db_range{-100.0, 0.0};
constexpr Range hysteresis_db_range{0.0, 24.0};
constexpr Range attack_ms_range{0.05, 500.0}, hold_ms_range{0.0, 5000.0};
constexpr Range release_ms_range{1.0, 5000.0};
constexpr Range lookahead_ms_range{0.0, 100.0};

}  // namespace gate
