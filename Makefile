# The native plugin; everything else is Python (see README.md).

PYTHON ?= python3
PREFIX ?= $(HOME)
PLUGIN_BUILD ?= build/plugin

.PHONY: plugin plugin-core plugin-install plugin-clean

plugin: ## LV2, VST3 and CLAP into $(PLUGIN_BUILD)/bin
	cmake -S plugin -B $(PLUGIN_BUILD) -DGATE_PYTHON="$$(command -v $(PYTHON))" -DGATE_PLUGINS=ON
	cmake --build $(PLUGIN_BUILD) --parallel

plugin-core: ## only the core library that tests and benchmarks load
	cmake -S plugin -B $(PLUGIN_BUILD) -DGATE_PYTHON="$$(command -v $(PYTHON))" -DGATE_PLUGINS=OFF
	cmake --build $(PLUGIN_BUILD) --parallel

plugin-install: plugin ## for this user, on Linux
	mkdir -p $(PREFIX)/.lv2 $(PREFIX)/.vst3 $(PREFIX)/.clap
	cp -r $(PLUGIN_BUILD)/bin/*.lv2 $(PREFIX)/.lv2/
	cp -r $(PLUGIN_BUILD)/bin/*.vst3 $(PREFIX)/.vst3/
	cp $(PLUGIN_BUILD)/bin/*.clap $(PREFIX)/.clap/

plugin-clean:
	rm -rf $(PLUGIN_BUILD)
