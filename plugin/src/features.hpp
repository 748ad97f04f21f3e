// Log-mel features with VGGish's parameters, a hop at a time; twin of gate/features.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "fft.hpp"
#include "kernels.hpp"
#include "units.hpp"

namespace gate {

struct MelSettings {
  int sample_rate = 16000;
  int window_length = 400, hop_length = 160, n_fft = 512;
  int n_mels = 64;
  double low_hz = 125.0, high_hz = 7500.0;
  double log_offset = 1e-5;

  int n_bins() const { return n_fft / 2 + 1; }
};

inline double hz_to_mel(double hz) { return 1127.0 * std::log1p(hz / 700.0); }
inline double mel_to_hz(double mel) { return 700.0 * std::expm1(mel / 1127.0); }

// Edges of the triangles in mel: band b rises from edge b to b + 1 and falls to b + 2.
inline std::vector<double> mel_edges(const MelSettings& mel) {
  const double low = hz_to_mel(mel.low_hz), high = hz_to_mel(mel.high_hz);
  std::vector<double> edges(mel.n_mels + 2);
  for (int i = 0; i < mel.n_mels + 2; ++i) edges[i] = low + (high - low) * i / (mel.n_mels + 1);
  return edges;
}

// Triangular mel weights, [band][bin]; the DC bin has none.
inline std::vector<double> mel_filterbank(const MelSettings& mel) {
  const std::vector<double> edges = mel_edges(mel);
  std::vector<double> weights(mel.n_mels * mel.n_bins(), 0.0);
  for (int band = 0; band < mel.n_mels; ++band) {
    const double low = edges[band], centre = edges[band + 1], high = edges[band + 2];
    for (int bin = 1; bin < mel.n_bins(); ++bin) {
      const double at = hz_to_mel(bin * 0.5 * mel.sample_rate / (mel.n_bins() - 1));
      const double weight = std::min((at - low) / (centre - low), (high - at) / (high - centre));
      weights[band * mel.n_bins() + bin] = std::max(0.0, weight);
    }
  }
  return weights;
}

// A (bands, bins) matrix of which each row is a short run of non-zeros; twin of gate/banded.py.
class BandedMatrix {
 public:
  BandedMatrix(const std::vector<double>& matrix, int n_bands) {
    const int n_bins = static_cast<int>(matrix.size()) / n_bands;
    for (int band = 0; band < n_bands; ++band) {
      const double* row = matrix.data() + band * n_bins;
      int first = 0, end = n_bins;
      while (first < n_bins && row[first] == 0.0) ++first;
      while (end > first && row[end - 1] == 0.0) --end;
      rows_.push_back({first, end - first, static_cast<int>(weights_.size())});
      weights_.insert(weights_.end(), row + first, row + end);
    }
  }

  void bands(const float* spectrum, float* out) const {
    for (const Row& row : rows_) {
      float sum = 0.0f;
      for (int i = 0; i < row.n; ++i) sum += weights_[row.at + i] * spectrum[row.first + i];
      *out++ = sum;
    }
  }

  // Transposed matrix times band weights, added to `bins`.
  void add_bins(const float* bands, float* bins) const {
    for (const Row& row : rows_) {
      const float weight = *bands++;
      for (int i = 0; i < row.n; ++i) bins[row.first + i] += weights_[row.at + i] * weight;
    }
  }

 private:
  struct Row {
    int first, n, at;
  };
  std::vector<Row> rows_;
  std::vector<float> weights_;
};

// Causal: hop k's window ends with the hop's last sample; silence before the first.
class LogMel {
 public:
  explicit LogMel(const MelSettings& mel)
      : mel_(mel), filterbank_(mel_filterbank(mel), mel.n_mels), fft_(mel.n_fft),
        window_(mel.window_length), frame_(mel.window_length), padded_(mel.n_fft, 0.0f),
        spectrum_(mel.n_bins()), magnitude_(mel.n_bins()), log_mel_(mel.n_mels),
        power_(mel.n_bins()) {
    double energy = 0.0;
    for (int i = 0; i < mel.window_length; ++i) {
      const double w = 0.5 - 0.5 * std::cos(2.0 * pi * i / mel.window_length);
      window_[i] = static_cast<float>(w);
      energy += w * w;
    }
    edge_scale_ = static_cast<float>(1.0 / (mel.n_fft * energy));
    bin_scale_ = static_cast<float>(2.0 / (mel.n_fft * energy));
    reset();
  }

  void reset() { std::fill(frame_.begin(), frame_.end(), 0.0f); }

  // Analyse the next hop of samples; log_mel() and power() hold what was found.
  void process(const float* samples) {
    const int hop = mel_.hop_length, kept = mel_.window_length - hop;
    std::memmove(frame_.data(), frame_.data() + hop, kept * sizeof(float));
    std::memcpy(frame_.data() + kept, samples, hop * sizeof(float));
    multiply(frame_.data(), window_.data(), mel_.window_length, padded_.data());
    fft_.forward(padded_.data(), spectrum_.data());
    const int last = mel_.n_bins() - 1;
    for (int i = 0; i <= last; ++i) {
      const float square =
          spectrum_[i].re * spectrum_[i].re + spectrum_[i].im * spectrum_[i].im;
      magnitude_[i] = std::sqrt(square);
      power_[i] = square * bin_scale_;
    }
    power_[0] *= edge_scale_ / bin_scale_;
    power_[last] *= edge_scale_ / bin_scale_;
    filterbank_.bands(magnitude_.data(), log_mel_.data());
    for (float& value : log_mel_) value = std::log(value + static_cast<float>(mel_.log_offset));
  }

  const float* log_mel() const { return log_mel_.data(); }

  // Mean square a bin; a full-scale sine sums to 0.5.
  const float* power() const { return power_.data(); }

 private:
  MelSettings mel_;
  BandedMatrix filterbank_;
  RealFft fft_;
  std::vector<float> window_, frame_, padded_;
  std::vector<Complex> spectrum_;
  std::vector<float> magnitude_, log_mel_, power_;
  float edge_scale_ = 0.0f, bin_scale_ = 0.0f;
};

}  // namespace gate
