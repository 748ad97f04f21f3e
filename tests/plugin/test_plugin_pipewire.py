"""The shipped PipeWire configuration makes a microphone of the plugin."""

import os
import shutil
import subprocess
import tempfile

import pytest
from plugin_build import ROOT
from waiting import require_programs, until

CONFIGURATION = ROOT / "plugin" / "pipewire" / "exemplar-gate-mic.conf"

SERVER = """
context.properties = {
    core.daemon = true
    core.name = pipewire-0
    mem.allow-mlock = false
    support.dbus = false
}
context.spa-libs = {
    audio.convert.* = audioconvert/libspa-audioconvert
    support.* = support/libspa-support
}
context.modules = [
    { name = libpipewire-module-protocol-native }
    { name = libpipewire-module-metadata }
    { name = libpipewire-module-spa-node-factory }
    { name = libpipewire-module-client-node }
    { name = libpipewire-module-access }
    { name = libpipewire-module-adapter }
    { name = libpipewire-module-link-factory }
]
"""


@pytest.fixture
def folder():
    """A short path: a socket's name has at most 108 characters."""
    with tempfile.TemporaryDirectory(prefix="pw") as path:
        yield path


def test_virtual_microphone_appears(plugins, folder):
    require_programs(pipewire="pipewire", **{"pw-cli": "pipewire-bin"})
    fragments = os.path.join(folder, "pipewire", "pipewire.conf.d")
    os.makedirs(fragments)
    shutil.copy(CONFIGURATION, fragments)
    with open(os.path.join(folder, "pipewire", "pipewire.conf"), "w") as file:
        file.write(SERVER)
    env = os.environ | {
        "XDG_RUNTIME_DIR": folder,
        "XDG_CONFIG_HOME": folder,
        "LV2_PATH": f"{plugins / 'lv2'}:/usr/lib/lv2",
        "PIPEWIRE_DEBUG": "2",
    }
    log_path = os.path.join(folder, "log")
    with open(log_path, "w") as log:
        server = subprocess.Popen(["pipewire"], env=env, stdout=log, stderr=log)
        try:
            nodes = _nodes(env, "exemplar_gate.source")
        finally:
            server.terminate()
            server.wait(10)
    with open(log_path) as log:
        text = log.read()
    assert "exemplar_gate.input" in nodes, text
    assert 'media.class = "Audio/Source"' in nodes, text
    assert "can not be set" not in text  # every control in the file is one of the plugin's


def _nodes(env, wanted):
    """What pw-cli lists, once it answers and names what is wanted."""

    def listed():
        done = subprocess.run(
            ["pw-cli", "ls", "Node"], env=env, capture_output=True, text=True, timeout=10
        )
        return done.stdout if done.returncode == 0 and wanted in done.stdout else None

    return until(listed, f"{wanted} is not listed", 20.0)
