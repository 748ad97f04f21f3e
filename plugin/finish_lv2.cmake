# What the framework writes about the LV2, made fit. TTL and MANIFEST are its files, URI the plugin's.
file(READ "${TTL}" text)

# src/lv2_entry.cpp supplies what a host lacks, so nothing is required of the host.
string(REPLACE "lv2:requiredFeature" "lv2:optionalFeature" text "${text}")
foreach(symbol lv2_events_in lv2_events_out)
  string(REPLACE "lv2:symbol \"${symbol}\" ;"
    "lv2:symbol \"${symbol}\" ; lv2:portProperty lv2:connectionOptional ;" text "${text}")
endforeach()

# The port of the profiles gets a URI, so that src/lv2_profiles.cpp can name its choices when a
# host looks; what was in the folder of whoever built the plugin is forgotten.
string(FIND "${text}" "lv2:symbol \"profile\"" at)
if(at EQUAL -1)
  message(FATAL_ERROR "${TTL}: no port has the symbol profile")
endif()
string(SUBSTRING "${text}" 0 ${at} before)
string(SUBSTRING "${text}" ${at} -1 after)
string(FIND "${before}" "\n    [\n" open REVERSE)
string(FIND "${after}" "\n    ]" close)
string(SUBSTRING "${before}" ${open} -1 block)
string(REGEX MATCH "lv2:index [0-9]+" index "${block}")
string(SUBSTRING "${before}" 0 ${open} before)
math(EXPR close "${close} + 6")
string(SUBSTRING "${after}" ${close} -1 after)
string(APPEND after "
<${URI}#profile_port>
    a lv2:InputPort, lv2:ControlPort ;
    ${index} ;
    lv2:name \"Profile\" ;
    lv2:symbol \"profile\" ;
    lv2:default 0 ;
    lv2:minimum 0 ;
    lv2:maximum 126 ;
    lv2:portProperty lv2:integer ;
    rdfs:comment \"A taught gate of the user's folder of profiles, in order of name; 0 is none\" .
")
file(WRITE "${TTL}" "${before}\n    <${URI}#profile_port>${after}")

file(READ "${MANIFEST}" text)
if(NOT text MATCHES "DynManifest")
  string(REGEX MATCH "lv2:binary <[^>]+>" binary "${text}")
  file(APPEND "${MANIFEST}" "
<${URI}#profiles>
    a <http://lv2plug.in/ns/ext/dynmanifest#DynManifest> ;
    ${binary} .
")
endif()
