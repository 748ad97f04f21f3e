// The gate as a plugin: hands the host's buffers and parameters to the core.
#include <array>
#include <atomic>
#include <cmath>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "DistrhoPlugin.hpp"
#include "parameters.hpp"
#include "processor.hpp"
#include "profile.hpp"

START_NAMESPACE_DISTRHO

class GatePlugin : public Plugin {
 public:
  GatePlugin() : Plugin(gate::n_parameters, 0, 1) {
    for (int id = 0; id < gate::n_parameters; ++id) {
      values_[id].store(static_cast<float>(gate::parameters[id].initial));
    }
    prepare(getSampleRate());
  }

 protected:
  const char* getLabel() const override { return "exemplar_gate_" GATE_SYMBOL; }
  const char* getDescription() const override {
    return "A gate that opens on what a sound is as well as how loud it is: set threshold and "
           "range; attack, hold, release and key are learned.";
  }
  const char* getMaker() const override { return "Exemplar Gate"; }
  const char* getLicense() const override { return "MIT"; }
  uint32_t getVersion() const override { return d_version(0, 1, 0); }
  int64_t getUniqueId() const override {
    return d_cconst('X', 'g', GATE_SIDECHAIN ? 's' : 'a', '0' + GATE_CHANNELS);
  }

  void initAudioPort(bool input, uint32_t index, AudioPort& port) override {
    const bool key = input && index >= GATE_CHANNELS;
    Plugin::initAudioPort(input, index, port);
    port.groupId = GATE_CHANNELS == 1 ? kPortGroupMono : kPortGroupStereo;
    if (!key) return;
    port.hints = kAudioPortIsSidechain;
    port.groupId = kPortGroupNone;
    port.name = GATE_CHANNELS == 1 ? "Key Input" : index == GATE_CHANNELS ? "Key Left" : "Key Right";
    port.symbol = index == GATE_CHANNELS ? "key_1" : "key_2";
  }

  void initParameter(uint32_t index, Parameter& parameter) override {
    const gate::Parameter& p = gate::parameters[index];
    parameter.hints = index < gate::n_inputs ? kParameterIsAutomatable : kParameterIsOutput;
    parameter.name = p.name;
    parameter.symbol = p.symbol;
    parameter.unit = p.unit;
    parameter.description = p.description;
    parameter.ranges.min = static_cast<float>(p.low);
    parameter.ranges.max = static_cast<float>(gate::highest(index));
    parameter.ranges.def = static_cast<float>(p.initial);
    const bool targets = index == gate::p_target;
    int n_choices = targets ? gate::detector_info.n_targets : 0;
    while (!targets && n_choices < 3 && p.choices[n_choices] != nullptr) ++n_choices;
    if (n_choices == 0) return;
    parameter.hints |= kParameterIsInteger;
    if (index == gate::p_key_listen || index == gate::p_bypass || index == gate::p_second_ear ||
        index == gate::m_open) {
      parameter.hints |= kParameterIsBoolean;
      return;
    }
    auto* choices = new ParameterEnumerationValue[n_choices];
    for (int i = 0; i < n_choices; ++i) {
      choices[i].value = static_cast<float>(i);
      choices[i].label = targets ? gate::detector_info.targets[i].name : p.choices[i];
    }
    parameter.enumValues.count = static_cast<uint8_t>(n_choices);
    parameter.enumValues.restrictedMode = true;
    parameter.enumValues.values = choices;
  }

  float getParameterValue(uint32_t index) const override {
    return values_[index].load(std::memory_order_relaxed);
  }

  void initState(uint32_t, State& state) override {
    state.hints = kStateIsFilenamePath | kStateIsOnlyForDSP;
    state.key = "profile";
    state.label = "Profile";
    state.description = "A profile made by gate-learn, NAME.gate.yaml: its path, or its text";
  }

  // Never in the audio thread. What was read is kept until the end: run() may be using it.
  void setState(const char* key, const char* value) override {
    if (std::strcmp(key, "profile") != 0) return;
    std::string text = value;
    if (text.empty()) {
      profile_.store(nullptr, std::memory_order_release);
      return;
    }
    if (text.find('\n') == std::string::npos) {
      std::ifstream file(text);
      text.assign(std::istreambuf_iterator<char>(file), {});
    }
    try {
      auto profile = gate::ProfileReader(text).read();
      const std::lock_guard<std::mutex> lock(profiles_mutex_);
      profiles_.push_back(std::move(profile));
      profile_.store(profiles_.back().get(), std::memory_order_release);
    } catch (const std::runtime_error& error) {
      d_stderr2("exemplar-gate: profile %s: %s", value, error.what());
    }
  }

  // From any thread; run() picks it up.
  void setParameterValue(uint32_t index, float value) override {
    values_[index].store(value, std::memory_order_relaxed);
    changed_.store(true, std::memory_order_release);
  }

  void activate() override {
    take_changes();
    if (processor_) processor_->reset();
  }

  void sampleRateChanged(double sample_rate) override { prepare(sample_rate); }

  void run(const float** inputs, float** outputs, uint32_t frames) override {
    take_changes();
    if (!processor_) {  // a sample rate that the gate does not take: sound passes
      for (int c = 0; c < GATE_CHANNELS; ++c) std::copy_n(inputs[c], frames, outputs[c]);
      return;
    }
    processor_->process(inputs, GATE_SIDECHAIN ? inputs + GATE_CHANNELS : nullptr,
                        GATE_SIDECHAIN ? GATE_CHANNELS : 0, outputs, static_cast<int>(frames));
    const gate::Meters& meters = processor_->lane().meters();
    for (int id = gate::n_inputs; id < gate::n_parameters; ++id) {
      values_[id].store(gate::meter_value(meters, id), std::memory_order_relaxed);
    }
  }

 private:
  void prepare(double sample_rate) {
    const int rate = static_cast<int>(std::lround(sample_rate));
    processor_.reset();
    if (rate >= 8000 && rate <= 192000) {
      processor_ = std::make_unique<gate::GateProcessor>(settings(), rate, GATE_CHANNELS);
    }
    setLatency(processor_ ? processor_->latency_samples() : 0);
    used_profile_ = nullptr;
  }

  void take_changes() {
    if (const gate::Profile* profile = profile_.load(std::memory_order_acquire);
        profile != used_profile_ && processor_) {
      used_profile_ = profile;
      processor_->lane().set_profile(profile);
    }
    if (!changed_.exchange(false, std::memory_order_acquire) || !processor_) return;
    processor_->configure(settings());
    setLatency(processor_->latency_samples());
  }

  gate::GateSettings settings() const {
    float values[gate::n_inputs];
    for (int id = 0; id < gate::n_inputs; ++id) {
      values[id] = values_[id].load(std::memory_order_relaxed);
    }
    return gate::settings_of(values);
  }

  std::array<std::atomic<float>, gate::n_parameters> values_;
  std::atomic<bool> changed_{false};
  std::unique_ptr<gate::GateProcessor> processor_;
  std::mutex profiles_mutex_;
  std::vector<std::unique_ptr<gate::Profile>> profiles_;
  std::atomic<const gate::Profile*> profile_{nullptr};
  const gate::Profile* used_profile_ = nullptr;
};

Plugin* createPlugin() { return new GatePlugin; }

END_NAMESPACE_DISTRHO
