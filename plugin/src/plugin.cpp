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
#include "profile_folder.hpp"

START_NAMESPACE_DISTRHO

class GatePlugin : public Plugin {
 public:
  GatePlugin() : Plugin(gate::n_parameters, 0, n_states_) {
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
  uint32_t getVersion() const override { return d_version(GATE_VERSION); }
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
    const int n_choices = count_choices(index);
    if (index == gate::p_profile) parameter.ranges.max = static_cast<float>(n_choices - 1);
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
      choices[i].label = choice(index, i).c_str();
    }
    parameter.enumValues.count = static_cast<uint8_t>(n_choices);
    parameter.enumValues.restrictedMode = true;
    parameter.enumValues.values = choices;
  }

  float getParameterValue(uint32_t index) const override {
    return values_[index].load(std::memory_order_relaxed);
  }

  void initState(uint32_t index, State& state) override {
    if (index == 1) {
      state.hints = kStateIsOnlyForDSP;
      state.key = "profile_choice";
      state.defaultValue = no_choice_;
      state.label = "Chosen profile";
      return;
    }
    state.hints = kStateIsFilenamePath | kStateIsOnlyForDSP;
    state.key = "profile";
    state.label = "Profile";
    state.description = "A profile made by gate-learn, NAME.gate.yaml: its path, or its text";
  }

  // What a session keeps: the host's profile as it was given, and of the list the file's name, since
  // its number changes with the folder.
  String getState(const char* key) const override {
    const std::lock_guard<std::mutex> lock(profiles_mutex_);
    if (std::strcmp(key, "profile") == 0) return String(given_.c_str());
    const int chosen = choice_of(values_[gate::p_profile]);
    std::string file = "none";
    if (chosen > 0) {
      file = folder_.listed()[chosen - 1].file;
    } else if (missing_is_kept_) {
      file = missing_;
    }
    return String((std::to_string(chosen) + " " + file).c_str());
  }

  // Never in the audio thread. What was read is kept until the end: run() may be using it.
  void setState(const char* key, const char* value) override {
    if (std::strcmp(key, "profile_choice") == 0) return restore_choice(value);
    if (std::strcmp(key, "profile") != 0) return;
    const std::lock_guard<std::mutex> lock(profiles_mutex_);
    given_ = value;
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
      profiles_.push_back(gate::ProfileReader(text).read());
      profile_.store(profiles_.back().get(), std::memory_order_release);
    } catch (const std::runtime_error& error) {
      d_stderr2("exemplar-gate: profile %s: %s", value, error.what());
    }
  }

  // From any thread; run() picks it up.
  void setParameterValue(uint32_t index, float value) override {
    if (index == gate::p_profile) {
      // The number that a session was saved with comes after its file's name.
      const bool restored = restored_from_.exchange(-1) == choice_of(value);
      if (restored) value = static_cast<float>(restored_to_.load());
      if (!restored) missing_is_kept_ = false;
    }
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
    if (ask_host_.exchange(false) && canRequestParameterValueChanges()) {
      requestParameterValueChange(gate::p_profile, values_[gate::p_profile]);
    }
    const gate::Meters& meters = processor_->lane().meters();
    for (int id = gate::n_inputs; id < gate::n_parameters; ++id) {
      values_[id].store(gate::meter_value(meters, id), std::memory_order_relaxed);
    }
  }

 private:
  static constexpr uint32_t n_states_ = 2;
  static constexpr const char* no_choice_ = "0 none";

  int count_choices(uint32_t index) const {
    if (index == gate::p_target) return gate::detector_info.n_targets;
    if (index == gate::p_profile) return static_cast<int>(folder_.n_choices());
    int n = 0;
    while (n < 3 && gate::parameters[index].choices[n] != nullptr) ++n;
    return n;
  }

  std::string choice(uint32_t index, int i) const {
    if (index == gate::p_target) return gate::detector_info.targets[i].name;
    if (index == gate::p_profile) return folder_.label(i);
    return gate::parameters[index].choices[i];
  }

  // Number of the list's entry that a parameter's value names; 0: none of them.
  int choice_of(float value) const {
    const int n = static_cast<int>(folder_.listed().size());
    return value >= 0.5f && value < n + 0.5f ? static_cast<int>(std::lround(value)) : 0;
  }

  // The list's, or else the host's; a refused one leaves the detector as it is.
  const gate::Profile* profile_in_force() const {
    const int chosen = choice_of(values_[gate::p_profile].load(std::memory_order_relaxed));
    return chosen > 0 ? folder_.listed()[chosen - 1].profile.get()
                      : profile_.load(std::memory_order_acquire);
  }

  // "NUMBER FILE": the file counts, wherever it stands in the list by now.
  void restore_choice(const std::string& saved) {
    const size_t space = saved.find(' ');
    if (space == std::string::npos) return;
    const int from = std::atoi(saved.c_str());
    const std::string file = saved.substr(space + 1);
    const int to = file == "none" ? 0 : folder_.find(file);
    {
      const std::lock_guard<std::mutex> lock(profiles_mutex_);
      missing_ = file;
    }
    missing_is_kept_ = to == 0 && file != "none";
    if (missing_is_kept_) {
      d_stderr2("exemplar-gate: profile %s is no longer in %s", file.c_str(),
                gate::profile_folder().u8string().c_str());
    }
    restored_to_ = to;
    restored_from_ = from;
    values_[gate::p_profile] = static_cast<float>(to);
    ask_host_ = from != to;
  }

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
    if (const gate::Profile* profile = profile_in_force(); profile != used_profile_ && processor_) {
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

  const gate::ProfileFolder folder_;  // as it was when the plugin was loaded
  mutable std::mutex profiles_mutex_;
  std::vector<std::unique_ptr<gate::Profile>> profiles_;  // the host's
  std::string given_, missing_;
  std::atomic<bool> missing_is_kept_{false}, ask_host_{false};
  std::atomic<int> restored_from_{-1}, restored_to_{0};
  std::atomic<const gate::Profile*> profile_{nullptr};
  const gate::Profile* used_profile_ = nullptr;
};

Plugin* createPlugin() { return new GatePlugin; }

END_NAMESPACE_DISTRHO
