// LV2's entry. The framework insists on the host features options, urid:map and worker and, for its
// state, on two event ports; simple hosts such as lv2apply and ffmpeg offer none of them. What a
// host lacks is put in here, so that the plugin needs nothing but audio and control ports. The
// framework's own entry is renamed by CMakeLists.txt.
#include <cstring>
#include <deque>
#include <mutex>
#include <string>

#include "DistrhoPluginInfo.h"
#include "lv2/atom.h"
#include "lv2/buf-size.h"
#include "lv2/lv2.h"
#include "lv2/options.h"
#include "lv2/state.h"
#include "lv2/urid.h"
#include "lv2/worker.h"

extern "C" const LV2_Descriptor* dpf_lv2_descriptor(uint32_t index);

namespace {

constexpr uint32_t events_in_port = DISTRHO_PLUGIN_NUM_INPUTS + DISTRHO_PLUGIN_NUM_OUTPUTS;
constexpr uint32_t events_out_port = events_in_port + 1;

// The framework's instance, with event buffers for hosts that connect none.
struct Instance {
  const LV2_Descriptor* inner;
  LV2_Handle handle;
  LV2_Atom_Sequence no_events;
  struct {
    LV2_Atom_Sequence sequence;
    char room[256];
  } events_out;
};

Instance* self(LV2_Handle handle) { return static_cast<Instance*>(handle); }

LV2_URID map_uri(LV2_URID_Map_Handle, const char* uri) {
  static std::mutex mutex;
  static std::deque<std::string> known;
  const std::lock_guard<std::mutex> lock(mutex);
  for (size_t i = 0; i < known.size(); ++i) {
    if (known[i] == uri) return static_cast<LV2_URID>(i + 1);
  }
  known.emplace_back(uri);
  return static_cast<LV2_URID>(known.size());
}

// Without a host's worker nothing is ever scheduled: that is for a host's own messages.
LV2_Worker_Status refuse_work(LV2_Worker_Schedule_Handle, uint32_t, const void*) {
  return LV2_WORKER_ERR_NO_SPACE;
}

LV2_Handle instantiate(const LV2_Descriptor*, double sample_rate, const char* bundle_path,
                       const LV2_Feature* const* features) {
  constexpr int most = 64;
  const LV2_Feature* given[most + 4] = {};
  int n = 0;
  const auto find = [&](const char* uri) -> const LV2_Feature* {
    for (int i = 0; i < n; ++i) {
      if (std::strcmp(given[i]->URI, uri) == 0) return given[i];
    }
    return nullptr;
  };
  for (; features != nullptr && features[n] != nullptr && n < most; ++n) given[n] = features[n];

  static LV2_URID_Map own_map{nullptr, map_uri};  // the plugin keeps it
  const LV2_Feature map_feature{LV2_URID__map, &own_map};
  if (find(LV2_URID__map) == nullptr) given[n++] = &map_feature;
  const auto* map = static_cast<const LV2_URID_Map*>(find(LV2_URID__map)->data);

  const int32_t longest = 8192;
  const LV2_Options_Option options[] = {
      {LV2_OPTIONS_INSTANCE, 0, map->map(map->handle, LV2_BUF_SIZE__maxBlockLength),
       sizeof longest, map->map(map->handle, "http://lv2plug.in/ns/ext/atom#Int"), &longest},
      {LV2_OPTIONS_INSTANCE, 0, 0, 0, 0, nullptr}};
  const LV2_Feature options_feature{LV2_OPTIONS__options,
                                    const_cast<LV2_Options_Option*>(options)};
  if (find(LV2_OPTIONS__options) == nullptr) given[n++] = &options_feature;

  static LV2_Worker_Schedule own_worker{nullptr, refuse_work};
  const LV2_Feature worker_feature{LV2_WORKER__schedule, &own_worker};
  if (find(LV2_WORKER__schedule) == nullptr) given[n++] = &worker_feature;

  const LV2_Descriptor* inner = dpf_lv2_descriptor(0);
  LV2_Handle handle = inner->instantiate(inner, sample_rate, bundle_path, given);
  if (handle == nullptr) return nullptr;
  auto* instance = new Instance{};
  instance->inner = inner;
  instance->handle = handle;
  const LV2_URID sequence = map->map(map->handle, LV2_ATOM__Sequence);
  instance->no_events.atom = {sizeof(LV2_Atom_Sequence_Body), sequence};
  instance->events_out.sequence.atom.type = sequence;
  inner->connect_port(handle, events_in_port, &instance->no_events);
  inner->connect_port(handle, events_out_port, &instance->events_out);
  return instance;
}

void connect_port(LV2_Handle handle, uint32_t port, void* data) {
  const bool events = port == events_in_port || port == events_out_port;
  if (events && data == nullptr) return;  // ours stays
  self(handle)->inner->connect_port(self(handle)->handle, port, data);
}

void run(LV2_Handle handle, uint32_t n) {
  Instance* instance = self(handle);
  instance->events_out.sequence.atom.size = sizeof instance->events_out - sizeof(LV2_Atom);
  instance->inner->run(instance->handle, n);
}

void activate(LV2_Handle handle) { self(handle)->inner->activate(self(handle)->handle); }
void deactivate(LV2_Handle handle) { self(handle)->inner->deactivate(self(handle)->handle); }

void cleanup(LV2_Handle handle) {
  self(handle)->inner->cleanup(self(handle)->handle);
  delete self(handle);
}

// The framework's extensions, each called with the framework's own handle.
template <typename Interface>
const Interface* framework(const char* uri) {
  return static_cast<const Interface*>(dpf_lv2_descriptor(0)->extension_data(uri));
}

uint32_t options_get(LV2_Handle handle, LV2_Options_Option* options) {
  return framework<LV2_Options_Interface>(LV2_OPTIONS__interface)
      ->get(self(handle)->handle, options);
}

uint32_t options_set(LV2_Handle handle, const LV2_Options_Option* options) {
  return framework<LV2_Options_Interface>(LV2_OPTIONS__interface)
      ->set(self(handle)->handle, options);
}

LV2_State_Status save(LV2_Handle handle, LV2_State_Store_Function store, LV2_State_Handle state,
                      uint32_t flags, const LV2_Feature* const* features) {
  return framework<LV2_State_Interface>(LV2_STATE__interface)
      ->save(self(handle)->handle, store, state, flags, features);
}

LV2_State_Status restore(LV2_Handle handle, LV2_State_Retrieve_Function retrieve,
                         LV2_State_Handle state, uint32_t flags,
                         const LV2_Feature* const* features) {
  return framework<LV2_State_Interface>(LV2_STATE__interface)
      ->restore(self(handle)->handle, retrieve, state, flags, features);
}

LV2_Worker_Status work(LV2_Handle handle, LV2_Worker_Respond_Function respond,
                       LV2_Worker_Respond_Handle respond_handle, uint32_t size, const void* data) {
  return framework<LV2_Worker_Interface>(LV2_WORKER__interface)
      ->work(self(handle)->handle, respond, respond_handle, size, data);
}

LV2_Worker_Status work_response(LV2_Handle handle, uint32_t size, const void* body) {
  return framework<LV2_Worker_Interface>(LV2_WORKER__interface)
      ->work_response(self(handle)->handle, size, body);
}

const void* extension_data(const char* uri) {
  static const LV2_Options_Interface options_interface{options_get, options_set};
  static const LV2_State_Interface state_interface{save, restore};
  static const LV2_Worker_Interface worker_interface{work, work_response, nullptr};
  if (framework<void>(uri) == nullptr) return nullptr;
  if (std::strcmp(uri, LV2_OPTIONS__interface) == 0) return &options_interface;
  if (std::strcmp(uri, LV2_STATE__interface) == 0) return &state_interface;
  if (std::strcmp(uri, LV2_WORKER__interface) == 0) return &worker_interface;
  return nullptr;
}

}  // namespace

LV2_SYMBOL_EXPORT const LV2_Descriptor* lv2_descriptor(uint32_t index) {
  static const LV2_Descriptor outer{dpf_lv2_descriptor(0)->URI, instantiate, connect_port, activate,
                                    run, deactivate, cleanup, extension_data};
  return index == 0 ? &outer : nullptr;
}
