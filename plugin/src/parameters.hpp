// The parameters as hosts see them: names, units and ranges of config.yaml, and how their values
// become settings.
#pragma once

#include "detector.hpp"
#include "lane.hpp"
#include "settings.hpp"

namespace gate {

enum ParameterId {
  p_threshold_db, p_range_db, p_hysteresis_db, p_lookahead_ms, p_target,
  p_attack_mode, p_attack_ms, p_hold_mode, p_hold_ms, p_release_mode, p_release_ms,
  p_key, p_key_low_hz, p_key_high_hz, p_key_listen,
  p_presence_mode, p_presence_threshold, p_presence_hysteresis, p_mode, p_bypass, p_second_ear, p_profile,
  n_inputs,
  m_input_dbfs = n_inputs, m_key_level_dbfs, m_presence, m_gain_db, m_open,
  m_attack_ms, m_hold_ms, m_release_ms, m_key_low_hz, m_key_high_hz, m_evidence, m_ears,
  n_parameters
};

struct Parameter {
  const char *symbol, *name, *unit, *description;
  double low, high, initial;
  const char* choices[3];  // of an enumeration; targets are the detector's own
};

constexpr Parameter parameters[n_parameters] = {
    {"threshold_db", "Threshold", "dB", "Key level in dBFS that opens the gate",
     threshold_db_range.low, threshold_db_range.high, -60.0, {}},
    {"range_db", "Range", "dB", "Gain of the closed gate", range_db_range.low, range_db_range.high,
     -60.0, {}},
    {"hysteresis_db", "Hysteresis", "dB", "How far below the threshold an open gate stays open",
     hysteresis_db_range.low, hysteresis_db_range.high, 6.0, {}},
    {"lookahead_ms", "Lookahead", "ms", "Delay of the audio, reported to the host",
     lookahead_ms_range.low, lookahead_ms_range.high, 0.0, {}},
    {"target", "Target", "", "What is wanted", 0.0, 0.0, 0.0, {}},
    {"attack_mode", "Attack mode", "", "Learned, or pinned to the time below", 0.0, 1.0, 0.0,
     {"Learned", "Pinned"}},
    {"attack_ms", "Attack", "ms", "Time to cover 63 % of the way to open",
     attack_ms_range.low, attack_ms_range.high, 2.0, {}},
    {"hold_mode", "Hold mode", "", "As long as the evidence lasts, or pinned to the time below", 0.0, 1.0, 0.0,
     {"Learned", "Pinned"}},
    {"hold_ms", "Hold", "ms", "How long the gate stays open after its condition has ended",
     hold_ms_range.low, hold_ms_range.high, 200.0, {}},
    {"release_mode", "Release mode", "", "Learned, or pinned to the time below", 0.0, 1.0, 0.0,
     {"Learned", "Pinned"}},
    {"release_ms", "Release", "ms", "Time to cover 63 % of the way to closed",
     release_ms_range.low, release_ms_range.high, 100.0, {}},
    {"key", "Key", "", "What the threshold is applied to", 0.0, 2.0, 0.0,
     {"Learned", "Off", "Band"}},
    {"key_low_hz", "Key low", "Hz", "Lower edge of the key where it is a band", 0.0, 8000.0, 125.0,
     {}},
    {"key_high_hz", "Key high", "Hz", "Upper edge of the key where it is a band", 0.0, 8000.0,
     7500.0, {}},
    {"key_listen", "Key listen", "", "Hear what the key lets through", 0.0, 1.0, 0.0,
     {"Off", "On"}},
    {"presence_mode", "Presence mode", "", "Learned, or pinned to the values below", 0.0, 1.0, 0.0,
     {"Learned", "Pinned"}},
    {"presence_threshold", "Presence threshold", "",
     "Probability that speaks neither for nor against the target; 0 makes it a level gate", 0.0, 1.0, 0.5, {}},
    {"presence_hysteresis", "Presence hysteresis", "",
     "With a pinned hold: how far below its threshold the presence keeps the gate open", 0.0, 1.0, 0.15, {}},
    {"mode", "Mode", "", "Duck turns the target down and passes the rest", 0.0, 1.0, 0.0,
     {"Gate", "Duck"}},
    {"bypass", "Bypass", "", "Pass everything; the gate goes on listening", 0.0, 1.0, 0.0,
     {"Off", "On"}},
    {"second_ear", "Second ear", "", "Hear with the detector's second ear too, where it is built in",
     0.0, 1.0, 1.0, {"Off", "On"}},
    {"profile", "Profile", "", "A taught gate of the user's folder of profiles", 0.0, 126.0, 0.0, {}},
    {"input_dbfs", "Input", "dBFS", "Level of the key input", min_dbfs, 12.0, min_dbfs, {}},
    {"key_level_dbfs", "Key level", "dBFS", "Level that is compared with the threshold", min_dbfs,
     12.0, min_dbfs, {}},
    {"presence_now", "Presence now", "", "Probability that the target sounds", 0.0, 1.0, 0.0, {}},
    {"gain_db", "Gain", "dB", "Gain at the end of the last hop", min_dbfs, 0.0, min_dbfs, {}},
    {"open", "Open", "", "Whether the gate is open", 0.0, 1.0, 0.0, {"Shut", "Open"}},
    {"attack_now_ms", "Attack now", "ms", "Attack in force", 0.0, attack_ms_range.high, 0.0, {}},
    {"hold_now_ms", "Hold now", "ms", "Hold in force", 0.0, hold_ms_range.high, 0.0, {}},
    {"release_now_ms", "Release now", "ms", "Release in force", 0.0, release_ms_range.high, 0.0,
     {}},
    {"key_low_now_hz", "Key low now", "Hz", "Lower edge of the key in force", 0.0, 8000.0, 0.0,
     {}},
    {"key_high_now_hz", "Key high now", "Hz", "Upper edge of the key in force", 0.0, 8000.0,
     8000.0, {}},
    {"evidence_now", "Evidence now", "", "What was heard for the target in nats; above 0 it is present",
     -64.0, 64.0, 0.0, {}},
    {"ears_now", "Second ears now", "", "How many second ears were heard", 0.0, 1.0, 0.0, {}},
};

// The largest value of a parameter: the last of the detector's targets for the target.
inline double highest(int id) {
  return id == p_target ? detector_info.n_targets - 1.0 : parameters[id].high;
}

// Settings of host values, each bounded to its range; a value that is no number is the default.
template <class Value>
GateSettings settings_of(const Value* values) {
  const auto number = [values](int id) {
    const double value = values[id];
    if (!(std::abs(value) < 1e9)) return parameters[id].initial;
    return std::clamp(value, parameters[id].low, highest(id));
  };
  const auto choice = [&number](int id) { return static_cast<int>(std::lround(number(id))); };
  const auto pinned = [&](int mode, int id) {
    return choice(mode) == 1 ? std::optional<double>(number(id)) : std::nullopt;
  };
  GateSettings s;
  s.threshold_db = number(p_threshold_db);
  s.range_db = number(p_range_db);
  s.hysteresis_db = number(p_hysteresis_db);
  s.lookahead_ms = number(p_lookahead_ms);
  s.target = choice(p_target);
  s.attack_ms = pinned(p_attack_mode, p_attack_ms);
  s.hold_ms = pinned(p_hold_mode, p_hold_ms);
  s.release_ms = pinned(p_release_mode, p_release_ms);
  s.key.kind = static_cast<Key::Kind>(choice(p_key));
  s.key.low_hz = std::min(number(p_key_low_hz), 7999.0);
  s.key.high_hz = std::max(number(p_key_high_hz), s.key.low_hz + 1.0);
  s.key_listen = choice(p_key_listen) == 1;
  s.presence_threshold = pinned(p_presence_mode, p_presence_threshold);
  s.presence_hysteresis = pinned(p_presence_mode, p_presence_hysteresis);
  s.duck = choice(p_mode) == 1;
  s.bypass = choice(p_bypass) == 1;
  s.second_ear = choice(p_second_ear) == 1;
  return s;
}

// Value of an output parameter.
inline float meter_value(const Meters& m, int id) {
  switch (id) {
    case m_input_dbfs: return static_cast<float>(m.input_dbfs);
    case m_key_level_dbfs: return static_cast<float>(m.key_level_dbfs);
    case m_presence: return std::isfinite(m.presence) ? static_cast<float>(m.presence) : 0.0f;
    case m_gain_db: return static_cast<float>(m.gain_db);
    case m_open: return static_cast<float>(m.open);
    case m_attack_ms: return static_cast<float>(m.attack_ms);
    case m_hold_ms: return static_cast<float>(m.hold_ms);
    case m_release_ms: return static_cast<float>(m.release_ms);
    case m_key_low_hz: return static_cast<float>(m.key_low_hz);
    case m_key_high_hz: return static_cast<float>(m.key_high_hz);
    case m_evidence: return static_cast<float>(m.evidence);
    case m_ears: return static_cast<float>(m.ears);
    default: return 0.0f;
  }
}

}  // namespace gate
