// The key: which part of the spectrum the threshold is applied to; twin of gate/key.py.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "features.hpp"
#include "kernels.hpp"
#include "settings.hpp"

namespace gate {

// Mel triangles scaled so that a bin's weights over all bands sum to 1.
inline std::vector<double> band_partition(const MelSettings& mel) {
  std::vector<double> weights = mel_filterbank(mel);
  for (int bin = 0; bin < mel.n_bins(); ++bin) {
    double total = 0.0;
    for (int band = 0; band < mel.n_mels; ++band) total += weights[band * mel.n_bins() + bin];
    if (total <= 0.0) continue;
    for (int band = 0; band < mel.n_mels; ++band) weights[band * mel.n_bins() + bin] /= total;
  }
  return weights;
}

// Level of a power spectrum, weighted by the learned key, by a fixed band, or not at all.
class KeyLevel {
 public:
  explicit KeyLevel(const MelSettings& mel)
      : mel_(mel), partition_(band_partition(mel), mel.n_mels), fixed_(mel.n_bins()),
        bin_weights_(mel.n_bins()), band_power_(mel.n_mels) {
    for (double edge : mel_edges(mel)) edges_hz_.push_back(mel_to_hz(edge));
  }

  void configure(const Key& key) {
    key_ = key;
    const double spacing = static_cast<double>(mel_.sample_rate) / mel_.n_fft;
    for (int bin = 0; bin < mel_.n_bins(); ++bin) {
      // A bin counts by the share of its width that lies in the band.
      const double hz = bin * spacing;
      const double low = std::clamp((hz + spacing / 2 - key.low_hz) / spacing, 0.0, 1.0);
      const double high = std::clamp((key.high_hz - hz + spacing / 2) / spacing, 0.0, 1.0);
      fixed_[bin] = key.kind == Key::band ? static_cast<float>(std::min(low, high)) : 1.0f;
    }
  }

  // Key level in dBFS of one hop: power (n_bins), learned weights (n_mels).
  double process(const float* power, const float* weights) {
    if (key_.kind != Key::learned) {
      return mean_square_dbfs(dot(fixed_.data(), power, mel_.n_bins()));
    }
    partition_.bands(power, band_power_.data());
    return mean_square_dbfs(dot(band_power_.data(), weights, mel_.n_mels));
  }

  // Weights a bin in force, (n_bins).
  const float* bin_weights(const float* weights) {
    if (key_.kind != Key::learned) return fixed_.data();
    std::fill(bin_weights_.begin(), bin_weights_.end(), 0.0f);
    partition_.add_bins(weights, bin_weights_.data());
    return bin_weights_.data();
  }

  // Edges in Hz of the part where the key is above half its maximum.
  std::pair<double, double> band_hz(const float* weights) const {
    if (key_.kind == Key::band) return {key_.low_hz, key_.high_hz};
    if (key_.kind == Key::off) return {0.0, 8000.0};
    const float half = 0.5f * *std::max_element(weights, weights + mel_.n_mels);
    int first = 0, last = mel_.n_mels - 1;
    while (first < last && !(weights[first] >= half)) ++first;
    while (last > first && !(weights[last] >= half)) --last;
    return {edges_hz_[first], edges_hz_[last + 2]};
  }

 private:
  MelSettings mel_;
  Key key_;
  BandedMatrix partition_;
  std::vector<float> fixed_, bin_weights_, band_power_;
  std::vector<double> edges_hz_;
};

}  // namespace gate
