// The gain of every sample: a one-pole towards open or shut; twin of gate/envelope.py.
#pragma once

#include <algorithm>
#include <cmath>

namespace gate {

// g[n] = target + (g[n-1] - target) exp(-1 / (tau sample_rate)): 63 % of the way in tau seconds.
class Envelope {
 public:
  double gain = 1.0;

  explicit Envelope(int sample_rate) : sample_rate_(sample_rate) {}

  void set_initial_gain(double initial) { initial_gain_ = initial; }
  void reset() { gain = initial_gain_; }

  void process(float* out, int n, double target, double time_constant_s) {
    if (n == 0) return;
    double distance = gain - target;
    if (std::abs(distance) < 1e-6) {  // -120 dB: at the target
      gain = target;
      std::fill(out, out + n, static_cast<float>(target));
      return;
    }
    const double rate = -1.0 / (time_constant_s * sample_rate_);
    const double step = std::exp(rate);
    gain = target + distance * std::exp(n * rate);
    // Four interleaved recursions: one alone waits for its own product.
    const double step_4 = step * step * step * step;
    double d[4] = {distance * step, distance * step * step, distance * step * step * step,
                   distance * step_4};
    int i = 0;
    for (; i + 4 <= n; i += 4) {
      for (int k = 0; k < 4; ++k) {
        out[i + k] = static_cast<float>(target + d[k]);
        d[k] *= step_4;
      }
    }
    for (int k = 0; i < n && k < 4; ++i, ++k) out[i] = static_cast<float>(target + d[k]);
  }

 private:
  int sample_rate_;
  double initial_gain_ = 1.0;
};

}  // namespace gate
