"""Devices by name, live settings and the command's errors: everything without a device."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from refusals import one_line

from gate.errors import ConfigError, DeviceError
from realtime.config import parse_config
from realtime.live.devices import Device, choose_devices, devices_table, explain, find_device
from realtime.live_settings import LiveSettings, OscSettings

DEVICES = [
    Device(0, "HDA Intel (hw:0,0)", "ALSA", 2, 2, 48000, True, True),
    Device(1, "USB Mic A (hw:1,0)", "ALSA", 1, 0, 44100),
    Device(2, "USB Mic B (hw:2,0)", "ALSA", 1, 0, 96000),
    Device(3, "pulse", "ALSA", 32, 32, 44100),
    Device(4, "system", "JACK Audio Connection Kit", 2, 2, 48000, True, True),
    Device(5, "peer", "JACK Audio Connection Kit", 1, 1, 48000),
]


@pytest.mark.parametrize(
    ("live", "chosen"),
    [
        ({}, (0, 0)),
        ({"input": "mic a"}, (1, 0)),
        ({"input": 2, "output": "PULSE"}, (2, 3)),
        ({"host_api": "jack"}, (4, 4)),
        ({"output": "peer"}, (4, 5)),  # the default input of the output's host API
        ({"input": "1", "output": "jack system"}, (1, 4)),
    ],
)
def test_devices_are_chosen_by_number_part_of_name_and_default(live, chosen):
    source, sink = choose_devices(DEVICES, LiveSettings(**live))
    assert (source.index, sink.index) == chosen


@pytest.mark.parametrize(
    ("live", "error", "message"),
    [
        ({"input": "usb"}, ConfigError, r"input='usb' fits 2 devices \(1 'USB Mic A .*say which"),
        ({"input": "guitar"}, DeviceError, "input='guitar' fits no input device.*--list-devices"),
        ({"output": 1}, DeviceError, "output=1 is no output device"),
        ({"host_api": "wasapi"}, DeviceError, r"host_api='wasapi' has no devices.*ALSA, JACK"),
    ],
)
def test_a_device_that_is_not_there_is_told_in_one_line(live, error, message):
    with one_line(error, message):
        choose_devices(DEVICES, LiveSettings(**live))


def test_no_device_at_all_says_what_to_install():
    with pytest.raises(DeviceError, match=r"no audio device: .*apt install|no permission"):
        choose_devices([], LiveSettings())


def test_the_table_shows_every_device_and_the_defaults():
    lines = devices_table(DEVICES).splitlines()
    assert len(lines) == 9
    assert lines[1].startswith("><") and "HDA Intel" in lines[1]
    assert all(d.name in line for d, line in zip(DEVICES, lines[1:], strict=False))


def test_the_preferred_host_api_wins_among_equal_names():
    twice = [Device(0, "Mic", "MME", 1, 0, 44100), Device(1, "Mic", "WASAPI", 1, 0, 48000)]
    assert find_device(twice, "mic", "input", "WASAPI").index == 1


def test_jack_itself_is_preferred_to_alsas_plugin_for_it():
    plugin = Device(0, "jack", "ALSA", 2, 2, 48000, True, True)
    system = replace(DEVICES[4], index=1)
    assert choose_devices([plugin, system], LiveSettings()) == (system, system)
    assert choose_devices([plugin], LiveSettings()) == (plugin, plugin)
    named = choose_devices([plugin, system], LiveSettings(input=0, output=0))
    assert named == (plugin, plugin)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (-9997, "try --sample-rate 44100"),
        (-9985, "busy"),
        (-9998, "channels"),
        (-9996, "not there"),
    ],
)
def test_errors_of_portaudio_say_what_to_do(code, advice):
    line = str(explain(RuntimeError("Some error: more", code), "input 'x'", 96000, 44100))
    assert line.startswith("input 'x'") and advice in line and "Some error" in line


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        (LiveSettings, {"sample_rate": 500}, "sample_rate=500 must be from 8000 to 192000"),
        (LiveSettings, {"input_channels": (0,)}, "input_channels=0 must be 1 to 8 different"),
        (LiveSettings, {"input_channels": (1, 1)}, "input_channels=1,1 must be"),
        (LiveSettings, {"input_channels": (1, 2), "output_channels": (1,)}, "as many as"),
        (LiveSettings, {"latency": "quick"}, "latency='quick' must be"),
        (LiveSettings, {"record_minutes": 0}, "record_minutes=0 must be"),
        (LiveSettings, {"profiles": "a.yaml"}, "profiles='a.yaml' must be a list"),
        (LiveSettings, {"detector_budget_ms": 0}, "detector_budget_ms=0 must be"),
        (OscSettings, {"port": 70000}, "port=70000 must be from 1 to 65535"),
        (OscSettings, {"send_to": "9000"}, "send_to='9000' must be host:port"),
    ],
)
def test_bad_settings_name_value_and_rule(section, values, message):
    with pytest.raises(ConfigError, match=message):
        section(**values)


def test_the_live_sections_of_a_configuration_file():
    text = "live: {input: usb, input_channels: [1, 2], detector_budget_ms: off}\nosc: {port: 9000}"
    config = parse_config(text, "c.yaml")
    assert config.live.input == "usb" and config.live.input_channels == (1, 2)
    assert config.live.detector_budget_ms == "off"
    assert config.osc == OscSettings(port=9000)


def _gate_live(*options, **environment):
    return subprocess.run(
        [sys.executable, "-m", "realtime.live.cli", *options],
        capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
        env={**os.environ, "JACK_NO_START_SERVER": "1", **environment},
    )  # fmt: skip


def test_a_missing_portaudio_library_names_the_package(tmp_path):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    done = _gate_live("--list-devices", PYTHONPATH=f"{tmp_path}{os.pathsep}{Path.cwd()}")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "apt install libportaudio2" in done.stderr


def test_no_device_is_one_line_and_exit_code_1(tmp_path):
    (tmp_path / "sounddevice.py").write_text(
        "class PortAudioError(Exception): pass\n"
        "def query_hostapis(): return ()\n"
        "def query_devices(): return ()\n"
    )
    path = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}"}
    done = _gate_live("--no-ui", "--model", "none", **path)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("gate-live: error: no ")


def test_usage_errors_are_one_line_and_exit_code_2():
    done = _gate_live("--threshold-db", "50", "--no-ui")
    assert done.returncode == 2
    assert done.stderr == "gate-live: error: threshold_db=50 must be from -100 to 0\n"
