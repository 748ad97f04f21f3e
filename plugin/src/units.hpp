// Decibels, times and samples; twin of gate/units.py.
#pragma once

#include <algorithm>
#include <cmath>

namespace gate {

constexpr double pi = 3.14159265358979323846;
constexpr double min_dbfs = -140.0;  // level reported for digital silence

inline double db_to_gain(double db) { return std::pow(10.0, db / 20.0); }

inline double gain_to_db(double gain) { return 20.0 * std::log10(std::max(gain, 1e-7)); }

inline double mean_square_dbfs(double power) { return 10.0 * std::log10(std::max(power, 1e-14)); }

// Halves go to the even neighbour, as Python's round.
inline int ms_to_samples(double ms, int sample_rate) {
  return static_cast<int>(std::nearbyint(ms * 1e-3 * sample_rate));
}

}  // namespace gate
