// LV2's dynamic manifest: names the profiles of the user's folder as the choices of the port
// `profile`, when a host looks for plugins. Where a host knows no dynamic manifests the port is a
// plain number. The static description (finish_lv2.cmake) gives the port its URI.
#include <cstdio>
#include <string>

#include "DistrhoPluginInfo.h"
#include "lv2/lv2.h"
#include "profile_folder.hpp"

#define GATE_MANIFEST_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

// As the text of a Turtle string.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + "\"";
}

}  // namespace

GATE_MANIFEST_EXPORT int lv2_dyn_manifest_open(void** handle, const LV2_Feature* const*) {
  *handle = nullptr;
  return 0;
}

GATE_MANIFEST_EXPORT int lv2_dyn_manifest_get_subjects(void*, std::FILE* out) {
  try {
    const gate::ProfileFolder folder;
    std::string text =
        "@prefix lv2: <http://lv2plug.in/ns/lv2core#> .\n"
        "@prefix rdf: <http://www.w3.org/1999/02/22-rdf-syntax-ns#> .\n"
        "@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .\n"
        "<" DISTRHO_PLUGIN_URI "#profile_port>\n    lv2:portProperty lv2:enumeration";
    for (size_t i = 0; i < folder.n_choices(); ++i) {
      text += " ;\n    lv2:scalePoint [ rdfs:label " + quoted(folder.label(i)) +
              " ; rdf:value " + std::to_string(i) + " ]";
    }
    text += " .\n";
    return std::fwrite(text.data(), 1, text.size(), out) == text.size() ? 0 : 1;
  } catch (const std::exception&) {
    return 1;
  }
}

GATE_MANIFEST_EXPORT int lv2_dyn_manifest_get_data(void*, std::FILE*, const char*) { return 0; }

GATE_MANIFEST_EXPORT void lv2_dyn_manifest_close(void*) {}
