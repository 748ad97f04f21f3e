// From one key signal to one gain curve: hear, detect, measure, decide, smooth; twin of
// gate/lane.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "control.hpp"
#include "detector.hpp"
#include "ear.hpp"
#include "envelope.hpp"
#include "frontend.hpp"
#include "key.hpp"
#include "profile.hpp"
#include "settings.hpp"

namespace gate {

// What the lane knew and did on its last hop; times in ms, levels in dBFS.
struct Meters {
  double time_s = 0.0, input_dbfs = min_dbfs, key_level_dbfs = min_dbfs, presence = 0.0;
  double open = 0.0, gain_db = 0.0, attack_ms = 0.0, hold_ms = 0.0, release_ms = 0.0;
  double key_low_hz = 0.0, key_high_hz = 8000.0, reason = 0.0;
  double evidence = 0.0, evidence_low = 0.0, evidence_high = 0.0;  // in nats; 0: the classic rule
  double ears = 0.0;  // second ears that were heard
};

struct Counters {
  int64_t hops = 0, open_hops = 0, opens = 0, failed_hops = 0, detector_failures = 0;
  int64_t nonfinite_samples = 0;
};

inline MelSettings detector_mel() {
  MelSettings mel;
  mel.log_offset = detector_info.log_offset;
  mel.n_mels = detector_info.n_mels;
  return mel;
}

class Lane {
 public:
  const MelSettings mel = detector_mel();
  Counters counters;

  Lane(int sample_rate, const GateSettings& settings)
      : sample_rate_(sample_rate), frontend_(sample_rate, mel), key_level_(mel),
        envelope_(sample_rate), ears_(detector_info.n_ears), key_weights_(mel.n_mels),
        curve_(frontend_.longest_hop()) {
    configure(settings);
    reset();
  }

  // Take new settings and keep all state.
  void configure(const GateSettings& settings) {
    const Target& target = detector_info.targets[settings.target];
    target_ = &target;
    const DecisionRule decides = rule(settings);
    presence_threshold_ = decides.threshold;
    control_.configure(settings.threshold_db, settings.hysteresis_db, decides,
                       lag_hops(settings.lookahead_ms));
    if (settings.second_ear && !settings_.second_ear) ear_.reset();
    settings_ = settings;
    key_level_.configure(settings.key);
    const double reduced = db_to_gain(settings.range_db);
    open_gain_ = settings.duck ? reduced : 1.0;
    shut_gain_ = settings.duck ? 1.0 : reduced;
    // A gate that starts bypassed passes its first sample as it is.
    envelope_.set_initial_gain(settings.bypass ? 1.0 : shut_gain_);
    if (frontend_.position() == 0) begin();
  }

  // Take a profile, which must outlive its use, or null: the taught sound is the target then.
  void set_profile(const Profile* profile) {
    profile_ = profile;
    head_.reset();
    configure(settings_);
  }

  void reset() {
    frontend_.reset();
    detector_.reset();
    ear_.reset();
    std::fill(ears_.begin(), ears_.end(), 0.0f);
    head_.reset();
    control_.reset();
    now_ = 0;
    retry_in_ = 0;
    retry_hops_ = 1;
    counters = Counters{};
    meters_ = Meters{};
    opened_ = false;
    std::fill(key_weights_.begin(), key_weights_.end(), 1.0f);
    begin();
    meters_.gain_db = gain_to_db(envelope_.gain);
    describe();
  }

  // Input samples until the hop ends.
  int needed() const { return frontend_.needed(); }

  // Gains of the next needed() samples, and whether they are all exactly 1.
  const float* curve() const { return curve_.data() + length_ - needed(); }
  bool passes() const { return passes_; }

  // Append n key samples of one or two channels, at most needed().
  void push(const float* const* channels, int n_channels, int n) {
    frontend_.push(channels, n_channels, n);
    detector_.prepare();
    if (hears()) ear_.prepare();
  }

  // Decide: call when needed() is 0. Afterwards curve() holds the gains that follow.
  void end_hop() {
    now_ += length_;
    const float* samples = frontend_.take();
    if (hears()) {
      ear_.process(samples, mel.hop_length);
      ears_[speech_ear.column] = ear_.value();
    } else {
      std::fill(ears_.begin(), ears_.end(), 0.0f);
    }
    float power = 0.0f;
    for (int i = 0; i < mel.n_bins(); ++i) power += frontend_.power()[i];
    length_ = needed();
    meters_.input_dbfs = mean_square_dbfs(power);
    apply(detect());
    describe();
  }

  // The i-th of some key samples, as the detector heard the last ones.
  float mix(const float* const* channels, int n_channels, int i) const {
    return frontend_.mix(channels, n_channels, i);
  }

  const float* bin_weights() { return key_level_.bin_weights(key_weights_.data()); }
  const Meters& meters() const { return meters_; }

  // The presence threshold in force, set or learned.
  double presence_threshold() const { return presence_threshold_; }

  // For tests: the next detection is made to fail.
  void spoil_next_detection() { spoil_ = true; }

 private:
  struct Reading {
    bool valid = false;
    double level = 0.0, presence = 0.0, attack_s = 0.0, hold_s = 0.0, release_s = 0.0;
  };

  static constexpr double click_free_s_ = 0.005;  // time constant of bypass and of failing open
  static constexpr int max_retry_hops_ = 64;

  // The gain until the first hop has ended.
  void begin() {
    envelope_.reset();
    length_ = needed();
    std::fill(curve_.begin(), curve_.begin() + length_, static_cast<float>(envelope_.gain));
    passes_ = curve_[0] == 1.0f;
  }

  bool hears() const { return SpeechEar::present() && settings_.second_ear; }

  Reading detect() {
    if (retry_in_ > 0) {
      --retry_in_;
      return {};
    }
    const Detection found = detector_.process(frontend_.log_mel(), ears_.data());
    Reading r{true};
    r.presence = found.presence[target_->columns[0]];
    for (int i = 1; i < target_->n_columns; ++i) {
      r.presence = std::max<double>(r.presence, found.presence[target_->columns[i]]);
    }
    const float* key = found.key;
    r.attack_s = found.ballistics[0];
    r.hold_s = found.ballistics[1];
    r.release_s = found.ballistics[2];
    if (profile_ != nullptr) {
      r.presence = head_.process(*profile_, found.embedding, frontend_.log_mel());
      if (!profile_->key.empty()) key = profile_->key.data();
      r.attack_s = profile_->attack_ms * 1e-3;
      r.hold_s = profile_->hold_ms * 1e-3;
      r.release_s = profile_->release_ms * 1e-3;
    }
    if (spoil_) r.presence = std::numeric_limits<double>::quiet_NaN();
    spoil_ = false;
    std::copy(key, key + mel.n_mels, key_weights_.begin());
    r.level = key_level_.process(frontend_.power(), key_weights_.data());
    if (!std::isfinite(r.level + r.presence + r.attack_s + r.hold_s + r.release_s)) {
      fail();
      return {};
    }
    retry_hops_ = 1;
    return r;
  }

  // Count, forget the detector's state, and wait before it is asked again.
  void fail() {
    ++counters.detector_failures;
    retry_in_ = retry_hops_ - 1;
    retry_hops_ = std::min(2 * retry_hops_, max_retry_hops_);
    std::fill(key_weights_.begin(), key_weights_.end(), 1.0f);
    detector_.reset();
    head_.reset();
  }

  // Decide on one hop's reading and write the gains of the samples that follow it.
  void apply(const Reading& r) {
    meters_.gain_db = gain_to_db(envelope_.gain);
    write(r);
    const auto end = curve_.begin() + length_;
    passes_ = std::all_of(curve_.begin(), end, [](float gain) { return gain == 1.0f; });
  }

  void write(const Reading& r) {
    ++counters.hops;
    float* curve = curve_.data();
    if (!r.valid) {
      ++counters.failed_hops;
      meters_.key_level_dbfs = meters_.input_dbfs;
      meters_.presence = std::numeric_limits<double>::quiet_NaN();
      control_.miss();
      control_.reason = Reason::detector_failed;
      envelope_.process(curve, length_, 1.0, click_free_s_);
      return;
    }
    meters_.key_level_dbfs = r.level;
    meters_.presence = r.presence;
    const double attack_s = bounded(settings_.attack_ms, attack_ms_range, r.attack_s);
    const double hold_s = bounded(settings_.hold_ms, hold_ms_range, r.hold_s);
    const double release_s = bounded(settings_.release_ms, release_ms_range, r.release_s);
    meters_.attack_ms = attack_s * 1e3;
    meters_.hold_ms = hold_s * 1e3;
    meters_.release_ms = release_s * 1e3;
    const int64_t hold_samples = std::llrint(hold_s * sample_rate_);
    const int n_open = control_.process(now_, now_ + length_, r.level, r.presence, hold_samples);
    counters.open_hops += n_open > 0;
    counters.opens += n_open > 0 && !opened_;
    opened_ = n_open > 0;
    if (settings_.bypass) {
      control_.reason = Reason::bypass;
      envelope_.process(curve, length_, 1.0, click_free_s_);
      return;
    }
    envelope_.process(curve, n_open, open_gain_, attack_s);
    envelope_.process(curve + n_open, length_ - n_open, shut_gain_, release_s);
  }

  // How presence decides: a pinned hold asks for the classic rule.
  DecisionRule rule(const GateSettings& settings) const {
    DecisionRule r = profile_ ? profile_->rule : target_->rule;
    if (settings.hold_ms) r.by_evidence = false;
    if (!r.by_evidence) {
      r.threshold = profile_ ? profile_->presence_threshold : target_->presence_threshold;
      r.hysteresis = profile_ ? profile_->presence_hysteresis : target_->presence_hysteresis;
    }
    r.threshold = settings.presence_threshold.value_or(r.threshold);
    r.hysteresis = settings.presence_hysteresis.value_or(r.hysteresis);
    return r;
  }

  // Seconds: the pinned value, or the learned one within the setting's range.
  static double bounded(const std::optional<double>& pinned_ms, Range range, double learned_s) {
    if (pinned_ms) return *pinned_ms * 1e-3;
    return std::clamp(learned_s, range.low * 1e-3, range.high * 1e-3);
  }

  void describe() {
    const auto [low_hz, high_hz] = key_level_.band_hz(key_weights_.data());
    const Reason reason = control_.reason;
    meters_.time_s = static_cast<double>(now_) / sample_rate_;
    meters_.open = reason != Reason::below_threshold && reason != Reason::target_absent;
    meters_.key_low_hz = low_hz;
    meters_.key_high_hz = high_hz;
    meters_.reason = static_cast<double>(reason);
    const Evidence* evidence = control_.evidence();
    meters_.evidence = evidence ? evidence->meter() : 0.0;
    meters_.evidence_low = evidence ? evidence->low() : 0.0;
    meters_.evidence_high = evidence ? evidence->high() : 0.0;
    meters_.ears = hears() ? 1.0 : 0.0;
  }

  int sample_rate_;
  GateSettings settings_;
  const Target* target_ = nullptr;
  const Profile* profile_ = nullptr;
  ProfileHead head_;
  Frontend frontend_;
  Detector detector_;
  SpeechEar ear_;
  KeyLevel key_level_;
  Control control_;
  Envelope envelope_;
  std::vector<float> ears_, key_weights_, curve_;
  int length_ = 0;
  int64_t now_ = 0;
  int retry_in_ = 0, retry_hops_ = 1;
  double open_gain_ = 1.0, shut_gain_ = 1.0;
  double presence_threshold_ = 0.0;
  bool passes_ = false, opened_ = false;
  Meters meters_;
  bool spoil_ = false;
};

}  // namespace gate
