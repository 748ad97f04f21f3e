// What the plugin framework needs to know at compile time. CMakeLists.txt sets GATE_CHANNELS,
// GATE_SIDECHAIN (0 or 1) and the texts of the variant.
#pragma once

#define DISTRHO_PLUGIN_BRAND "Exemplar Gate"
#define DISTRHO_PLUGIN_NAME GATE_NAME
#define DISTRHO_PLUGIN_URI "urn:exemplar-gate:" GATE_VARIANT
#define DISTRHO_PLUGIN_CLAP_ID "exemplar-gate." GATE_VARIANT

#define DISTRHO_PLUGIN_NUM_INPUTS (GATE_CHANNELS * (1 + GATE_SIDECHAIN))
#define DISTRHO_PLUGIN_NUM_OUTPUTS GATE_CHANNELS
#define DISTRHO_PLUGIN_HAS_UI 0
#define DISTRHO_PLUGIN_IS_RT_SAFE 1
#define DISTRHO_PLUGIN_WANT_LATENCY 1
#define DISTRHO_PLUGIN_WANT_STATE 1  // the profile; in CLAP the parameters' values too
#define DISTRHO_PLUGIN_WANT_FULL_STATE 1
#define DISTRHO_PLUGIN_WANT_PARAMETER_VALUE_CHANGE_REQUEST 1

#define DISTRHO_PLUGIN_LV2_CATEGORY "lv2:GatePlugin"
#if GATE_CHANNELS == 1
#define DISTRHO_PLUGIN_VST3_CATEGORIES "Fx|Dynamics|Restoration|Mono"
#define DISTRHO_PLUGIN_CLAP_FEATURES "audio-effect", "restoration", "utility", "mono"
#else
#define DISTRHO_PLUGIN_VST3_CATEGORIES "Fx|Dynamics|Restoration|Stereo"
#define DISTRHO_PLUGIN_CLAP_FEATURES "audio-effect", "restoration", "utility", "stereo"
#endif
