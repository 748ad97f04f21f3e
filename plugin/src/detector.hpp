// The detector: what was generated from models/voice.onnx, with its state. Contract: the ONNX
// file's; twin of realtime/onnx_detector.py.
#pragma once

#include <algorithm>
#include <vector>

#include "decision.hpp"

namespace gate {

struct Target {
  const char* name;
  int n_columns;
  int columns[8];  // of presence; the largest counts
  double presence_threshold, presence_hysteresis;  // of the classic rule
  DecisionRule rule;                               // by evidence, where the detector brings it
};

struct DetectorInfo {
  const char *name, *sha256;
  double log_offset;
  int n_mels, n_classes, embedding_size, state_size, n_ears;
  int n_targets;
  const Target* targets;
  int work_size, embedding_at, presence_at, key_at, ballistics_at, state_out_at;
};

// All are defined in the generated file.
extern const DetectorInfo detector_info;
void detector_prepare(const float* state, float* work);
void detector_step(const float* features, const float* ears, const float* state, float* work);

struct Detection {
  const float *embedding, *presence, *key, *ballistics;
};

class Detector {
 public:
  const DetectorInfo& info = detector_info;

  Detector() : work_(detector_info.work_size), state_(detector_info.state_size) {
    // Touches every weight once, so that no page is missing when sound comes.
    std::vector<float> silence(info.n_mels + info.n_ears, 0.0f);
    process(silence.data(), silence.data());
    reset();
  }

  void reset() {
    std::fill(state_.begin(), state_.end(), 0.0f);
    prepared_ = false;
  }

  // What can be done of the next hop before its sound has come: so no block has to do it all.
  void prepare() {
    if (!prepared_) detector_prepare(state_.data(), work_.data());
    prepared_ = true;
  }

  // Classify the next hop: log-mel (n_mels), what the other ears say (n_ears). The result holds
  // until the next call.
  Detection process(const float* log_mel, const float* ears) {
    prepare();
    prepared_ = false;
    float* work = work_.data();
    detector_step(log_mel, ears, state_.data(), work);
    std::copy(work + info.state_out_at, work + info.state_out_at + info.state_size,
              state_.begin());
    return {work + info.embedding_at, work + info.presence_at, work + info.key_at,
            work + info.ballistics_at};
  }

 private:
  std::vector<float> work_, state_;
  bool prepared_ = false;
};

}  // namespace gate
