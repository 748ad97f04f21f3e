// The core behind a C interface: for the Python engine `native`, tests and benchmarks.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "parameters.hpp"
#include "processor.hpp"

#define GATE_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

struct Handle {
  double values[gate::n_inputs];
  gate::GateProcessor* processor;
  std::unique_ptr<gate::Profile> profile;
};

int find(const char* symbol) {
  for (int id = 0; id < gate::n_inputs; ++id) {
    if (std::strcmp(symbol, gate::parameters[id].symbol) == 0) return id;
  }
  return -1;
}

}  // namespace

// One or two channels; null for others.
GATE_EXPORT Handle* gate_new(int sample_rate, int channels) {
  if (channels < 1 || channels > 2) return nullptr;
  auto* handle = new Handle;
  for (int id = 0; id < gate::n_inputs; ++id) {
    handle->values[id] = gate::parameters[id].initial;
  }
  handle->processor =
      new gate::GateProcessor(gate::settings_of(handle->values), sample_rate, channels);
  return handle;
}

GATE_EXPORT void gate_free(Handle* handle) {
  delete handle->processor;
  delete handle;
}

// Returns 0, or -1 for an unknown name.
GATE_EXPORT int gate_set(Handle* handle, const char* symbol, float value) {
  const int id = find(symbol);
  if (id < 0) return -1;
  handle->values[id] = value;
  handle->processor->configure(gate::settings_of(handle->values));
  return 0;
}

// All inputs at once, in the order of gate_parameters(). Presence values that are no number are
// the detector's, whatever presence_mode says.
GATE_EXPORT void gate_configure(Handle* handle, const double* values) {
  std::copy(values, values + gate::n_inputs, handle->values);
  gate::GateSettings settings = gate::settings_of(values);
  if (std::isnan(values[gate::p_presence_threshold])) settings.presence_threshold.reset();
  if (std::isnan(values[gate::p_presence_hysteresis])) settings.presence_hysteresis.reset();
  handle->processor->configure(settings);
}

// Takes the text of a profile. Returns null, or why it is refused (until the next call).
GATE_EXPORT const char* gate_profile(Handle* handle, const char* text) {
  static std::string reason;
  try {
    auto profile = gate::ProfileReader(text).read();
    handle->processor->lane().set_profile(profile.get());
    handle->profile = std::move(profile);
    return nullptr;
  } catch (const std::runtime_error& error) {
    reason = error.what();
    return reason.c_str();
  }
}

GATE_EXPORT void gate_reset(Handle* handle) { handle->processor->reset(); }
GATE_EXPORT int gate_latency(Handle* handle) { return handle->processor->latency_samples(); }

GATE_EXPORT void gate_on_hop(Handle* handle, void (*on_hop)(const gate::Meters&)) {
  handle->processor->on_hop = on_hop;
}

GATE_EXPORT void gate_spoil(Handle* handle) { handle->processor->lane().spoil_next_detection(); }

GATE_EXPORT void gate_counters(Handle* handle, gate::Counters* out) {
  *out = handle->processor->lane().counters;
}

GATE_EXPORT void gate_process(Handle* handle, const float* const* in, const float* const* key,
                              int n_keys, float* const* out, int n) {
  handle->processor->process(in, key, n_keys, out, n);
}

GATE_EXPORT void gate_meters(Handle* handle, gate::Meters* out) {
  *out = handle->processor->lane().meters();
}

GATE_EXPORT double gate_presence_threshold(Handle* handle) {
  return handle->processor->lane().presence_threshold();
}

// Gates side by side on interleaved sound: `in` and `out` are (n, n_gates * channels), each gate
// takes its own channels. `key` is (n, n_keys) or null: where there are as many keys as gates, each
// takes its own, else all hear all of it (one or two). `gains` is (n_gates, n) or null.
GATE_EXPORT void gate_run(Handle* const* gates, int n_gates, int channels, const float* in,
                          const float* key, int n_keys, float* out, float* gains, int n) {
  constexpr int piece = 512;
  float planes[2][piece], keys[2][piece];
  const int width = n_gates * channels, n_heard = n_keys == n_gates ? 1 : n_keys;
  for (int done = 0; done < n; done += piece) {
    const int step = std::min(piece, n - done);
    for (int g = 0; g < n_gates; ++g) {
      float* rows[2] = {planes[0], planes[1]};
      float* heard[2] = {keys[0], keys[1]};
      for (int c = 0; c < channels; ++c) {
        const float* from = in + static_cast<size_t>(done) * width + g * channels + c;
        for (int i = 0; i < step; ++i) rows[c][i] = from[static_cast<size_t>(i) * width];
      }
      for (int k = 0; key != nullptr && k < n_heard; ++k) {
        const int column = n_keys == n_gates ? g : k;
        const float* from = key + static_cast<size_t>(done) * n_keys + column;
        for (int i = 0; i < step; ++i) heard[k][i] = from[static_cast<size_t>(i) * n_keys];
      }
      gate::GateProcessor& gate = *gates[g]->processor;
      gate.gains = gains == nullptr ? nullptr : gains + static_cast<size_t>(g) * n + done;
      gate.process(rows, key == nullptr ? nullptr : heard, n_heard, rows, step);
      gate.gains = nullptr;
      for (int c = 0; c < channels; ++c) {
        float* to = out + static_cast<size_t>(done) * width + g * channels + c;
        for (int i = 0; i < step; ++i) to[static_cast<size_t>(i) * width] = rows[c][i];
      }
    }
  }
}

// Log-mel of the model's reference features: one detector hop, for comparison with the ONNX file.
GATE_EXPORT void* gate_detector_new() { return new gate::Detector; }
GATE_EXPORT void gate_detector_free(void* detector) {
  delete static_cast<gate::Detector*>(detector);
}
GATE_EXPORT void gate_detector_process(void* detector, const float* log_mel, const float* ears,
                                       const float** outputs) {
  const gate::Detection found = static_cast<gate::Detector*>(detector)->process(log_mel, ears);
  outputs[0] = found.embedding;
  outputs[1] = found.presence;
  outputs[2] = found.key;
  outputs[3] = found.ballistics;
}
GATE_EXPORT int gate_detector_ears() { return gate::detector_info.n_ears; }

// The second ear alone; the column of `ears` that it fills, or -1 where none is built in.
GATE_EXPORT int gate_ear_column() { return gate::speech_ear.column; }
GATE_EXPORT void* gate_ear_new() { return new gate::SpeechEar; }
GATE_EXPORT void gate_ear_free(void* ear) { delete static_cast<gate::SpeechEar*>(ear); }
GATE_EXPORT void gate_ear_reset(void* ear) { static_cast<gate::SpeechEar*>(ear)->reset(); }
GATE_EXPORT float gate_ear_process(void* ear, const float* samples, int n) {
  static_cast<gate::SpeechEar*>(ear)->process(samples, n);
  return static_cast<gate::SpeechEar*>(ear)->value();
}
GATE_EXPORT const char* gate_detector_sha256() { return gate::detector_info.sha256; }
GATE_EXPORT const char* gate_parameters(int id, double* low, double* high, double* initial) {
  if (id < 0 || id >= gate::n_parameters) return nullptr;
  *low = gate::parameters[id].low;
  *high = gate::highest(id);
  *initial = gate::parameters[id].initial;
  return gate::parameters[id].symbol;
}
GATE_EXPORT int gate_inputs() { return gate::n_inputs; }
GATE_EXPORT const char* gate_target(int index) {
  const bool there = index >= 0 && index < gate::detector_info.n_targets;
  return there ? gate::detector_info.targets[index].name : nullptr;
}

// Changes whenever the meaning of these functions does.
GATE_EXPORT int gate_abi() { return 1; }
