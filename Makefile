# The native plugin; everything else is Python (see README.md).

PYTHON ?= python3
PLUGIN_BUILD ?= build/plugin
PLUGIN_OPTIONS ?=
CONFIGURE = cmake -S plugin -B $(PLUGIN_BUILD) -DGATE_PYTHON="$$(command -v $(PYTHON))" $(PLUGIN_OPTIONS)

NATIVE = realtime/native

.PHONY: native plugin plugin-core plugin-install plugin-clean

# LV2, VST3 and CLAP into $(PLUGIN_BUILD)/dist
plugin:
	$(CONFIGURE) -DGATE_PLUGINS=ON
	cmake --build $(PLUGIN_BUILD) --parallel
	cmake --install $(PLUGIN_BUILD) --prefix $(PLUGIN_BUILD)/dist

# Only the core library that tests and benchmarks load
plugin-core:
	$(CONFIGURE) -DGATE_PLUGINS=OFF
	cmake --build $(PLUGIN_BUILD) --parallel

# The engine `native` of the Python commands, with the second ear and models/voice.onnx in it
native: plugin-core
	mkdir -p $(NATIVE)
	cp $(PLUGIN_BUILD)/lib/libexemplar-gate-core.* $(NATIVE)/.new
	mv $(NATIVE)/.new $(NATIVE)/libexemplar-gate-core.so

# For this user, on Linux
plugin-install: plugin
	for format in lv2 vst3 clap; do \
	  mkdir -p $(HOME)/.$$format && \
	  cp -r $(PLUGIN_BUILD)/dist/$$format/* $(HOME)/.$$format/ || exit 1; \
	done

plugin-clean:
	rm -rf $(PLUGIN_BUILD)
