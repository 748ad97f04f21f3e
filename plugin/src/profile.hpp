// A profile made by gate-learn: what it teaches a detector. Twin of realtime/learn/profile.py and
// realtime/learn/profile_detector.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "decision.hpp"
#include "detector.hpp"
#include "kernels.hpp"

namespace gate {

struct Profile {
  double presence_threshold = 0.5, presence_hysteresis = 0.0;  // of the classic rule
  DecisionRule rule{};
  double attack_ms = 0.0, hold_ms = 0.0, release_ms = 0.0;
  double bias = 0.0;
  std::vector<float> key;            // empty: the detector's
  std::vector<double> decays;        // of the running means, a hop
  std::vector<float> rows;           // [1 + means][embedding, log-mel]
};

// The running means of a profile's head, taken of its projections: it is linear.
class ProfileHead {
 public:
  void reset() { started_ = false; }

  double process(const Profile& profile, const float* embedding, const float* log_mel) {
    const int n_embedding = detector_info.embedding_size, n_mels = detector_info.n_mels;
    const float* row = profile.rows.data();
    double score = profile.bias;
    for (size_t k = 0; k <= profile.decays.size(); ++k, row += n_embedding + n_mels) {
      const double part = dot(row, embedding, n_embedding) + dot(row + n_embedding, log_mel, n_mels);
      if (k == 0) {
        score += part;
        continue;
      }
      double& mean = means_[k - 1];
      mean = started_ ? part + profile.decays[k - 1] * (mean - part) : part;
      score += mean;
    }
    started_ = true;
    return 1.0 / (1.0 + std::exp(-score));
  }

  static constexpr size_t most_means = 8;

 private:
  double means_[most_means] = {};
  bool started_ = false;
};

// Reads the text of a NAME.gate.yaml as gate-learn writes it: top-level names at the start of a
// line, everything below them indented. Throws std::runtime_error with one line that says why not.
class ProfileReader {
 public:
  explicit ProfileReader(const std::string& text) : text_("\n" + text) {}

  std::unique_ptr<Profile> read() const {
    need(word(section("format"), "format") == "exemplar-gate-profile", "is not a profile");
    const std::string version = word(section("format_version"), "format_version");
    need(version == "1" || version == "2", "is of another version");
    need(word(section("detector"), "sha256") == detector_info.sha256,
         "was taught on another detector");
    auto profile = std::make_unique<Profile>();
    const std::string gate = section("gate"), head = section("head"), key = section("key");
    profile->presence_threshold = number(gate, "presence_threshold", 0.0, 1.0);
    profile->presence_hysteresis = number(gate, "presence_hysteresis", 0.0, 1.0);
    profile->attack_ms = number(gate, "attack_ms", 0.05, 500.0);
    profile->hold_ms = number(gate, "hold_ms", 0.0, 5000.0);
    profile->release_ms = number(gate, "release_ms", 1.0, 5000.0);
    if (version != "1") read_rule(*profile);
    profile->bias = number(head, "bias", -1e6, 1e6);
    if (word(key, "key") != "null") {
      profile->key = numbers(key, "key");
      need(profile->key.size() == static_cast<size_t>(detector_info.n_mels), "key has a wrong size");
      for (float weight : profile->key) need(weight >= 0.0f && weight <= 1.0f, "key is not 0 to 1");
    }
    for (float tau_s : numbers(head, "taus_s")) {
      need(tau_s > 0.0f, "taus_s must be > 0");
      // In float32, as the engine keeps it.
      profile->decays.push_back(static_cast<float>(std::exp(-0.01 / tau_s)));
    }
    need(profile->decays.size() <= ProfileHead::most_means, "has too many running means");
    arrange(head, *profile);
    return profile;
  }

 private:
  static void need(bool condition, const char* what) {
    if (!condition) throw std::runtime_error(what);
  }

  // How presence decides; where the profile does not tell, by the classic rule.
  void read_rule(Profile& profile) const {
    const std::string decision = section("decision");
    if (word(decision, "decision") == "null") return;
    DecisionRule& rule = profile.rule;
    rule.by_evidence = true;
    rule.threshold = number(decision, "threshold", 0.0, 1.0);
    rule.open_cost = number(decision, "open_cost", 0.0, 64.0);
    rule.shut_cost = number(decision, "shut_cost", 0.0, 64.0);
    rule.shut_margin = number(decision, "shut_margin", 0.0, rule.open_cost);
  }

  // Rows of the head over embedding and log-mel.
  static void arrange(const std::string& head, Profile& profile) {
    const size_t n_embedding = detector_info.embedding_size, n_mels = detector_info.n_mels;
    const size_t n_rows = 1 + profile.decays.size();
    profile.rows = floats(word(head, "coefficients_float32_base64"));
    need(profile.rows.size() == n_rows * (n_embedding + n_mels), "head has a wrong size");
    for (float value : profile.rows) need(std::isfinite(value), "head is not finite");
    // The head takes the log-mel less its mean; here the mean is taken from the weights.
    for (size_t r = 0; r < n_rows; ++r) {
      float* weights = profile.rows.data() + r * (n_embedding + n_mels) + n_embedding;
      double mean = 0.0;
      for (size_t i = 0; i < n_mels; ++i) mean += weights[i];
      mean /= static_cast<double>(n_mels);
      for (size_t i = 0; i < n_mels; ++i) weights[i] = static_cast<float>(weights[i] - mean);
    }
  }

  std::string section(const std::string& name) const {
    const size_t at = text_.find("\n" + name + ":");
    if (at == std::string::npos) throw std::runtime_error(name + " is missing");
    size_t end = at;
    do {
      end = text_.find('\n', end + 1);
    } while (end != std::string::npos && end + 1 < text_.size() &&
             std::strchr(" -", text_[end + 1]) != nullptr);
    return text_.substr(at, end == std::string::npos ? end : end - at);
  }

  // Where the value of a name begins.
  static size_t value_at(const std::string& section, const std::string& name) {
    for (size_t at = section.find(name + ":"); at != std::string::npos;
         at = section.find(name + ":", at + 1)) {
      if (at == 0 || std::strchr(" \n{,", section[at - 1]) == nullptr) continue;
      const size_t value = section.find_first_not_of(" \n'\"", at + name.size() + 1);
      if (value != std::string::npos) return value;
    }
    throw std::runtime_error(name + " is missing");
  }

  static std::string word(const std::string& section, const std::string& name) {
    const size_t at = value_at(section, name);
    return section.substr(at, section.find_first_of(" \n,}'\"", at) - at);
  }

  static double number(const std::string& section, const std::string& name, double low,
                       double high) {
    const std::string text = word(section, name);
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (end == text.c_str() || !(value >= low && value <= high)) {
      throw std::runtime_error(name + "=" + text + " is out of its range");
    }
    return value;
  }

  static std::vector<float> numbers(const std::string& section, const std::string& name) {
    const size_t at = value_at(section, name);
    need(section[at] == '[', "a list is missing");
    std::vector<float> values;
    const char* next = section.c_str() + at + 1;
    for (;;) {
      next += std::strspn(next, " \n,");
      char* end = nullptr;
      const float value = std::strtof(next, &end);
      if (end == next) break;
      values.push_back(value);
      next = end;
    }
    need(*next == ']', "a list is damaged");
    return values;
  }

  // Little-endian float32 from base64.
  static std::vector<float> floats(const std::string& text) {
    static const std::string digits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::vector<uint8_t> bytes;
    uint32_t bits = 0;
    int n_bits = 0;
    for (char c : text) {
      if (c == '=') break;
      const size_t digit = digits.find(c);
      need(digit != std::string::npos, "head is not base64");
      bits = bits << 6 | static_cast<uint32_t>(digit);
      if ((n_bits += 6) >= 8) bytes.push_back(static_cast<uint8_t>(bits >> (n_bits -= 8)));
    }
    need(bytes.size() % 4 == 0, "head has a wrong size");
    std::vector<float> values(bytes.size() / 4);
    if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }

  std::string text_;
};

}  // namespace gate
