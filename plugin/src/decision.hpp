// How presence decides: by added-up evidence, or by a threshold with hysteresis; twin of
// gate/decision.py, where the rules are told.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace gate {

// Logits and costs lie on a grid of 2^-16 nats: their sums are exact.
inline double on_grid(double nats) { return std::nearbyint(nats * 65536.0) / 65536.0; }

// Logit of a presence, within 12 nats.
inline double presence_logit(double presence) {
  constexpr double most = 12.0;
  static const double least = 1.0 / (1.0 + std::exp(most));
  if (presence <= least) return -most;
  if (presence >= 1.0 - least) return most;
  return on_grid(std::log(presence / (1.0 - presence)));
}

// Logit of a presence threshold; 0 means always present, 1 never.
inline double threshold_logit(double threshold) {
  constexpr double sure = 1024.0;  // beyond every cost and logit
  if (threshold <= 0.0 || threshold >= 1.0) return threshold <= 0.0 ? -sure : sure;
  return on_grid(std::clamp(std::log(threshold / (1.0 - threshold)), -sure, sure));
}

// One of two rules: evidence, with its costs in nats, or the classic one, with a hysteresis.
struct DecisionRule {
  bool by_evidence;
  double threshold, hysteresis, open_cost, shut_cost, shut_margin;
};

// How many hops after a hop its state is read, for a lookahead.
inline int lag_hops(double lookahead_ms) {
  return std::max(0, static_cast<int>(std::floor(lookahead_ms / 10.0 + 1e-9)) - 1);
}

// Adds up what is heard for and against the target, and reads decisions back with a lag.
class Evidence {
 public:
  // Change the rule and keep the state.
  void configure(const DecisionRule& rule) {
    b_ = threshold_logit(rule.threshold);
    low_ = -on_grid(rule.open_cost);
    high_ = on_grid(rule.shut_cost);
    margin_ = on_grid(rule.shut_margin);
  }

  void reset() {
    value_ = low_;
    is_open_ = false;
    undecided_ = 0;
    decided_ = sounding_ = 0;
  }

  // Take a hop's presence.
  void process(double presence) { add(presence_logit(presence) - b_); }

  // Take a hop of which nothing is known.
  void miss() { add(0.0); }

  double low() const { return low_; }
  double high() const { return high_; }
  double meter() const { return std::clamp(value_, low_, high_); }

  // State of the hop `lag` hops ago, 0 to 63, on the best path that ends now.
  bool present(int lag) const {
    if (lag < undecided_) return is_open_;
    return decided_ >> (lag - undecided_) & 1;
  }

  // Whether the hop `lag` hops ago spoke for the target by itself.
  bool sounding(int lag) const { return sounding_ >> lag & 1; }

 private:
  void add(double logit) {
    value_ = std::clamp(value_, low_, high_) + logit;
    is_open_ = value_ > (is_open_ ? -margin_ : 0.0);
    sounding_ = sounding_ << 1 | (logit > 0.0 ? 1 : 0);
    ++undecided_;
    if (low_ <= value_ && value_ <= high_) return;
    // A sure hop settles what every hop in doubt before it was.
    const uint64_t all = ~uint64_t{0};
    const uint64_t kept = undecided_ < 64 ? decided_ << undecided_ : 0;
    const uint64_t settled = undecided_ < 64 ? ~(all << undecided_) : all;
    decided_ = kept | (value_ > high_ ? settled : 0);
    undecided_ = 0;
  }

  double b_ = 0.0, low_ = 0.0, high_ = 0.0, margin_ = 0.0, value_ = 0.0;
  bool is_open_ = false;
  int64_t undecided_ = 0;
  uint64_t decided_ = 0, sounding_ = 0;  // bits, newest lowest; `decided_` of older hops only
};

}  // namespace gate
