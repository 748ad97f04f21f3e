// A small CLAP host for tests: runs a plugin over raw float32 samples (interleaved) and prints
// what it did, one `name value` a line.
//
//   clap_host PLUGIN.clap INPUT.raw OUTPUT.raw [name=value]... [--rate HZ] [--seed N]
//     [--save FILE] [--load FILE] [--reload N] [--strict] [--provoke] [--time BLOCK]
//
// Blocks are of random size, 1 to 8192; with --time they have a fixed size, and the time of each
// call is written to OUTPUT.raw as float32 microseconds instead of the sound. Values are set by the parameter's name. --save and --load
// keep the state in a file, --reload opens and closes everything N times, --strict lets the kernel
// kill the process at any system call while it runs, --provoke does on purpose what both look for:
// an allocation and a system call in every block. With count_allocations preloaded, calls of the
// allocator and of mutexes inside process() are counted.
#include <dlfcn.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "clap/entry.h"
#include "clap/ext/audio-ports.h"
#include "clap/ext/latency.h"
#include "clap/ext/params.h"
#include "clap/ext/state.h"
#include "clap/plugin-factory.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string plugin, input, output, save, load;
  std::vector<std::pair<std::string, double>> values;
  double rate = 48000.0;
  unsigned seed = 1;
  int reload = 1, time_block = 0;
  bool strict = false, provoke = false;
};

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "clap_host: %s\n", what.c_str());
  std::exit(1);
}

void need(bool condition, const char* what) {
  if (!condition) fail(what);
}

std::vector<char> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(path + ": cannot be read");
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const std::string& path, const void* data, size_t size) {
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char*>(data), static_cast<std::streamsize>(size));
  if (!file) fail(path + ": cannot be written");
}

// The framework calls this extension without asking whether the host has it.
const clap_host_latency_t host_latency = {[](const clap_host_t*) {}};

const void* host_extension(const clap_host_t*, const char* id) {
  return std::strcmp(id, CLAP_EXT_LATENCY) == 0 ? &host_latency : nullptr;
}

const clap_host_t host = {CLAP_VERSION, nullptr, "clap_host", "", "", "1", host_extension,
                          [](const clap_host_t*) {}, [](const clap_host_t*) {},
                          [](const clap_host_t*) {}};

struct Events {
  std::vector<clap_event_param_value_t> values;
  clap_input_events_t in{this, size, get};
  clap_output_events_t out{this, push};

  static uint32_t size(const clap_input_events_t* list) {
    return static_cast<uint32_t>(static_cast<Events*>(list->ctx)->values.size());
  }
  static const clap_event_header_t* get(const clap_input_events_t* list, uint32_t index) {
    return &static_cast<Events*>(list->ctx)->values[index].header;
  }
  static bool push(const clap_output_events_t*, const clap_event_header_t*) { return true; }

  void add(clap_id id, double value) {
    clap_event_param_value_t event{};
    event.header = {sizeof event, 0, CLAP_CORE_EVENT_SPACE_ID, CLAP_EVENT_PARAM_VALUE, 0};
    event.param_id = id;
    event.note_id = event.port_index = event.channel = event.key = -1;
    event.value = value;
    values.push_back(event);
  }
};

// A plugin between activation and destruction.
class Instance {
 public:
  Instance(const Options& options, bool verbose) : options_(options) {
    library_ = dlopen(options.plugin.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library_ == nullptr) fail(dlerror());
    entry_ = static_cast<const clap_plugin_entry_t*>(dlsym(library_, "clap_entry"));
    need(entry_ != nullptr && entry_->init(options.plugin.c_str()), "no entry");
    const auto* factory =
        static_cast<const clap_plugin_factory_t*>(entry_->get_factory(CLAP_PLUGIN_FACTORY_ID));
    need(factory != nullptr && factory->get_plugin_count(factory) == 1, "must hold one plugin");
    const auto* descriptor = factory->get_plugin_descriptor(factory, 0);
    plugin_ = factory->create_plugin(factory, &host, descriptor->id);
    need(plugin_ != nullptr && plugin_->init(plugin_), "cannot be created");
    extension(params_, CLAP_EXT_PARAMS);
    extension(state_, CLAP_EXT_STATE);
    extension(latency_, CLAP_EXT_LATENCY);
    extension(ports_, CLAP_EXT_AUDIO_PORTS);
    if (verbose) std::printf("id %s\n", descriptor->id);
    for (uint32_t i = 0; i < params_->count(plugin_); ++i) {
      clap_param_info_t info{};
      need(params_->get_info(plugin_, i, &info), "parameter has no info");
      ids_[info.name] = info.id;
    }
    read_ports(true, inputs_, verbose);
    read_ports(false, outputs_, verbose);
    if (!options.load.empty()) load_state();
  }

  ~Instance() {
    plugin_->destroy(plugin_);
    entry_->deinit();
    dlclose(library_);
  }

  void activate() {
    need(plugin_->activate(plugin_, options_.rate, 1, 8192), "cannot be activated");
    for (const auto& [name, value] : options_.values) {
      if (ids_.count(name) == 0) fail("no parameter " + name);
      events_.add(ids_[name], value);
    }
    params_->flush(plugin_, &events_.in, &events_.out);
    need(plugin_->start_processing(plugin_), "cannot start");
  }

  void deactivate() {
    plugin_->stop_processing(plugin_);
    plugin_->deactivate(plugin_);
  }

  int channels(bool input) const {
    int sum = 0;
    for (int n : input ? inputs_ : outputs_) sum += n;
    return sum;
  }

  // Planes in and out, blocks of random size; parameter events come in every tenth block.
  void process(std::vector<std::vector<float>>& in, std::vector<std::vector<float>>& out) {
    std::vector<clap_audio_buffer_t> in_buses(inputs_.size()), out_buses(outputs_.size());
    std::vector<std::vector<float*>> in_rows, out_rows;
    for (int n : inputs_) in_rows.emplace_back(n);
    for (int n : outputs_) out_rows.emplace_back(n);
    std::mt19937 random(options_.seed);
    const size_t total = out[0].size();
    Events none;
    for (size_t done = 0, block = 0; done < total; ++block) {
      const size_t longest = block % 2 == 0 ? 8192 : 200;
      const size_t any = options_.time_block > 0 ? options_.time_block : 1 + random() % longest;
      const size_t n = std::min<size_t>(total - done, any);
      point(in_buses, in_rows, inputs_, in, done);
      point(out_buses, out_rows, outputs_, out, done);
      Events& events = block % 10 == 0 ? events_ : none;
      const clap_process_t process = {static_cast<int64_t>(done), static_cast<uint32_t>(n), nullptr,
                                      in_buses.data(), out_buses.data(),
                                      static_cast<uint32_t>(in_buses.size()),
                                      static_cast<uint32_t>(out_buses.size()), &events.in,
                                      &events.out};
      if (count_ != nullptr) count_(true);
      const bool timed = block < times.size();  // a clock may be a system call
      const auto start = timed ? Clock::now() : Clock::time_point();
      const clap_process_status status = plugin_->process(plugin_, &process);
      if (timed) times[block] = std::chrono::duration<float, std::micro>(Clock::now() - start).count();
      if (options_.provoke) provoke();
      if (count_ != nullptr) count_(false);
      need(status != CLAP_PROCESS_ERROR, "process failed");
      done += n;
    }
  }

  std::vector<float> times;  // of each process call, microseconds, where there is room

  uint32_t latency() const { return latency_->get(plugin_); }

  double value(const char* name) {
    double found = 0.0;
    need(ids_.count(name) != 0 && params_->get_value(plugin_, ids_[name], &found), name);
    return found;
  }

  void print_values() {
    for (const auto& [name, id] : ids_) {
      double value = 0.0;
      need(params_->get_value(plugin_, id, &value), "parameter has no value");
      std::printf("parameter %s = %.6g\n", name.c_str(), value);
    }
  }

  // What the values of a list are called.
  void print_choices(const char* name) {
    clap_param_info_t info{};
    for (uint32_t i = 0; i < params_->count(plugin_); ++i) {
      if (!params_->get_info(plugin_, i, &info) || std::strcmp(info.name, name) != 0) continue;
      for (double value = info.min_value; value <= info.max_value; value += 1.0) {
        char text[256] = "";
        need(params_->value_to_text(plugin_, info.id, value, text, sizeof text), "no text");
        std::printf("choice %s %g %s\n", name, value, text);
      }
    }
  }

  void save_state() {
    std::vector<char> bytes;
    const clap_ostream_t stream = {
        &bytes, [](const clap_ostream_t* s, const void* data, uint64_t size) -> int64_t {
          const char* from = static_cast<const char*>(data);
          auto* to = static_cast<std::vector<char>*>(s->ctx);
          to->insert(to->end(), from, from + size);
          return static_cast<int64_t>(size);
        }};
    need(state_->save(plugin_, &stream), "state cannot be saved");
    write_file(options_.save, bytes.data(), bytes.size());
  }

 private:
  static void provoke() {
    void* volatile block = std::malloc(64);
    std::free(block);
    syscall(SYS_getpid);
  }

  struct Reader {
    std::vector<char> bytes;
    size_t at = 0;
  };

  template <typename T>
  void extension(const T*& to, const char* id) {
    to = static_cast<const T*>(plugin_->get_extension(plugin_, id));
    need(to != nullptr, id);
  }

  void read_ports(bool input, std::vector<int>& widths, bool verbose) {
    for (uint32_t i = 0; i < ports_->count(plugin_, input); ++i) {
      clap_audio_port_info_t info{};
      need(ports_->get(plugin_, i, input, &info), "port has no info");
      widths.push_back(static_cast<int>(info.channel_count));
      if (verbose) std::printf("%s %u %s\n", input ? "in" : "out", info.channel_count, info.name);
    }
  }

  void load_state() {
    Reader reader{read_file(options_.load)};
    const clap_istream_t stream = {
        &reader, [](const clap_istream_t* s, void* buffer, uint64_t size) -> int64_t {
          auto* r = static_cast<Reader*>(s->ctx);
          const size_t n = std::min<size_t>(size, r->bytes.size() - r->at);
          std::memcpy(buffer, r->bytes.data() + r->at, n);
          r->at += n;
          return static_cast<int64_t>(n);
        }};
    need(state_->load(plugin_, &stream), "state cannot be loaded");
  }

  static void point(std::vector<clap_audio_buffer_t>& buses, std::vector<std::vector<float*>>& rows,
                    const std::vector<int>& widths, std::vector<std::vector<float>>& planes,
                    size_t at) {
    size_t plane = 0;
    for (size_t bus = 0; bus < widths.size(); ++bus) {
      for (int c = 0; c < widths[bus]; ++c) rows[bus][c] = planes[plane++].data() + at;
      buses[bus] = {rows[bus].data(), nullptr, static_cast<uint32_t>(widths[bus]), 0, 0};
    }
  }

  const Options& options_;
  void* library_ = nullptr;
  const clap_plugin_entry_t* entry_ = nullptr;
  const clap_plugin_t* plugin_ = nullptr;
  const clap_plugin_params_t* params_ = nullptr;
  const clap_plugin_state_t* state_ = nullptr;
  const clap_plugin_latency_t* latency_ = nullptr;
  const clap_plugin_audio_ports_t* ports_ = nullptr;
  std::map<std::string, clap_id> ids_;
  std::vector<int> inputs_, outputs_;
  Events events_;
  void (*count_)(bool) =
      reinterpret_cast<void (*)(bool)>(dlsym(RTLD_DEFAULT, "count_allocations"));
};

// Resident memory of this process.
long resident_kb() {
  long total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

Options parse(int argc, char** argv) {
  if (argc < 4) fail("PLUGIN.clap INPUT.raw OUTPUT.raw are needed");
  Options options;
  options.plugin = argv[1];
  options.input = argv[2];
  options.output = argv[3];
  for (int i = 4; i < argc; ++i) {
    const std::string word = argv[i];
    const auto next = [&]() -> std::string {
      return ++i < argc ? argv[i] : (fail(word + " needs a value"), "");
    };
    if (word == "--rate") options.rate = std::stod(next());
    else if (word == "--seed") options.seed = static_cast<unsigned>(std::stoul(next()));
    else if (word == "--save") options.save = next();
    else if (word == "--load") options.load = next();
    else if (word == "--reload") options.reload = std::stoi(next());
    else if (word == "--time") options.time_block = std::stoi(next());
    else if (word == "--strict") options.strict = true;
    else if (word == "--provoke") options.provoke = true;
    else if (const size_t at = word.find('='); at != std::string::npos) {
      options.values.emplace_back(word.substr(0, at), std::stod(word.substr(at + 1)));
    } else fail("what is " + word + "?");
  }
  return options;
}

// The same run in a child that may only read, write and end: any other system call kills it.
void run_strict(Instance& instance, std::vector<std::vector<float>>& in,
                std::vector<std::vector<float>>& out) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    instance.process(in, out);
    syscall(SYS_exit, 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  std::printf("strict %s\n", WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "ok" : "killed");
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  const std::vector<char> bytes = read_file(options.input);
  std::vector<float> samples(bytes.size() / sizeof(float));
  std::memcpy(samples.data(), bytes.data(), samples.size() * sizeof(float));
  for (int round = 0; round < options.reload; ++round) {
    Instance instance(options, round == 0);
    const size_t n_in = instance.channels(true), n_out = instance.channels(false);
    const size_t n = samples.size() / n_in;
    std::vector<std::vector<float>> in(n_in, std::vector<float>(n)), out(n_out, in[0]);
    for (size_t i = 0; i < n * n_in; ++i) in[i % n_in][i / n_in] = samples[i];
    instance.activate();
    if (options.time_block > 0) instance.times.resize(n / options.time_block);
    if (options.strict) {
      run_strict(instance, in, out);
    } else {
      instance.process(in, out);
    }
    if (!options.save.empty()) instance.save_state();
    if (round == options.reload - 1) {
      std::printf("latency %u\n", instance.latency());
      instance.print_values();
      instance.print_choices("Profile");
      if (auto* counted = reinterpret_cast<long (*)()>(dlsym(RTLD_DEFAULT, "allocations_counted"))) {
        std::printf("allocations %ld\n", counted());
      }
      std::vector<float> mixed(n * n_out);
      for (size_t i = 0; i < mixed.size(); ++i) mixed[i] = out[i % n_out][i / n_out];
      if (options.time_block > 0) mixed = instance.times;
      write_file(options.output, mixed.data(), mixed.size() * sizeof(float));
    }
    instance.deactivate();
    if (round == 50) std::printf("resident_kb_after_50 %ld\n", resident_kb());
  }
  std::printf("resident_kb_at_end %ld\n", resident_kb());
  return 0;
}
