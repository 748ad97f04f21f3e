# src/lv2_entry.cpp supplies what a host lacks, so nothing is required of the host.
file(READ "${TTL}" text)
string(REPLACE "lv2:requiredFeature" "lv2:optionalFeature" text "${text}")
foreach(symbol lv2_events_in lv2_events_out)
  string(REPLACE "lv2:symbol \"${symbol}\" ;"
    "lv2:symbol \"${symbol}\" ; lv2:portProperty lv2:connectionOptional ;" text "${text}")
endforeach()
file(WRITE "${TTL}" "${text}")
