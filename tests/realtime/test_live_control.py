"""Devices by name, settings from all sides, the screen's text: everything without a device."""

import json
import os
import random
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.osc_packet import OscPacket

from gate.errors import ConfigError, DeviceError
from gate.key import KeyBand
from gate.lane import Meters
from gate.settings import GateSettings
from realtime.config import Config, parse_config
from realtime.live.config_watch import ConfigWatch
from realtime.live.control import LiveControl
from realtime.live.devices import Device, choose_devices, devices_table, explain, find_device
from realtime.live.osc import ADDRESSES, OscServer
from realtime.live.panels import in_letters_of, screen
from realtime.live.settings import LiveSettings, OscSettings
from realtime.live.shared_state import SharedState
from realtime.live.status import snapshot
from realtime.live.view import ScreenView

DEVICES = [
    Device(0, "HDA Intel (hw:0,0)", "ALSA", 2, 2, 48000, True, True),
    Device(1, "USB Mic A (hw:1,0)", "ALSA", 1, 0, 44100),
    Device(2, "USB Mic B (hw:2,0)", "ALSA", 1, 0, 96000),
    Device(3, "pulse", "ALSA", 32, 32, 44100),
    Device(4, "system", "JACK Audio Connection Kit", 2, 2, 48000, True, True),
    Device(5, "peer", "JACK Audio Connection Kit", 1, 1, 48000),
]


class _Host:
    """Keeps what would go to the stream."""

    def __init__(self):
        self.sent = []

    def send(self, do, **what):
        self.sent.append((do, what))


@pytest.fixture
def said():
    return []


@pytest.fixture
def control(said):
    control = LiveControl(Config(), _Host(), said.append)
    control.targets = ["speech", "voice"]
    return control


@pytest.fixture
def state():
    state = SharedState()
    yield state
    state.close()


# Devices


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
    with pytest.raises(error, match=message) as caught:
        choose_devices(DEVICES, LiveSettings(**live))
    assert "\n" not in str(caught.value)


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


# Settings


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


def test_keys_change_settings_within_their_range(control, state):
    view = ScreenView(state, control)
    for key in ["up", "up", "left", "]", "b", "l", "t", "m", "x"]:
        view.press(key)
    s = control.settings
    assert (s.threshold_db, s.range_db, s.lookahead_ms) == (-58.0, -63.0, 1.0)
    assert s.bypass and s.key_listen and s.target == "voice" and control.muted
    assert len(control.host.sent) == 8
    for _ in range(200):
        view.press("up")
    assert control.settings.threshold_db == 0.0
    sent = [what["gate"] for do, what in control.host.sent if do == "settings"]
    assert GateSettings.from_mapping(sent[-1]) == control.settings


def test_profiles_are_walked_through(said):
    config = Config(live=LiveSettings(profiles=("a.yaml", "b.yaml")))
    control = LiveControl(config, _Host(), said.append)
    for path in ("a.yaml", "b.yaml", None):
        control.next_profile()
        assert control.host.sent[-1] == ("profile", {"path": path})
        control.hear({"event": "profile", "path": path, "targets": ["speech"]})
    assert said == ["profile: a.yaml", "profile: b.yaml", "profile: none"]


def test_a_target_the_detector_does_not_know_is_refused_here(control):
    with pytest.raises(ConfigError, match="target='drums' must be one of speech, voice"):
        control.change({"target": "drums"})
    assert control.settings.target == "speech" and control.host.sent == []


def test_changes_made_while_the_stream_opens_are_sent_once_it_is_open(control):
    control.job()
    control.change({"threshold_db": -30.0})
    control.host.sent.clear()
    opened = {"event": "open", "input": "a", "output": "b", "host_api": "ALSA",
              "sample_rate": 48000, "detector": "none", "targets": ["speech"]}  # fmt: skip
    control.hear(opened)
    assert [do for do, _ in control.host.sent] == ["settings"]
    control.job()
    control.host.sent.clear()
    control.hear(opened)
    assert control.host.sent == []


def test_retrying_for_hours_does_not_repeat_itself(control, said):
    for _ in range(50):
        control.hear({"event": "error", "kind": "device", "message": "no audio device"})
        control.hear({"event": "lost", "message": "the server went away"})
    assert said == [
        "not open: no audio device; retrying",
        "lost: the server went away; retrying",
    ]


def test_the_configuration_file_is_watched(control, said, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("gate: {threshold_db: -50}")

    def read():
        return parse_config(path.read_text(), "c.yaml")

    watch = ConfigWatch(path, read, read(), control.reload, said.append)
    control.settings = replace(control.settings, threshold_db=-50.0)

    def edit(text):
        path.write_text(text)
        watch.look()  # may still be half written
        watch.look()

    control.nudge("range_db", 3.0)  # by key: -57
    edit("gate: {threshold_db: -40}")
    assert control.settings.threshold_db == -40.0
    assert control.settings.range_db == -57.0, "what the edit left alone must stay"
    edit("gate: {threshold_db: -4")
    edit("gate: {treshold_db: -20}")
    edit("gate: {threshold_db: 20}")
    assert control.settings.threshold_db == -40.0
    assert said[0] == "config: threshold_db = -40"
    assert len(said) == 4 and all(line.startswith("config ignored: c.yaml") for line in said[1:])
    assert "did you mean 'threshold_db'" in said[2]
    edit("gate: {threshold_db: -35, key: {low_hz: 100, high_hz: 900}}\nlive: {input: usb}")
    assert control.settings.threshold_db == -35.0
    assert control.settings.key == KeyBand(100.0, 900.0)
    assert said[-1] == "config: live: input changes at the next start"
    path.unlink()
    watch.look()
    watch.look()
    assert "is gone" in said[-1] and control.settings.threshold_db == -35.0


# OSC


class _Client(socket.socket):
    """Knows its server."""

    server = None


@pytest.fixture
def osc(control, said, state):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = OscServer(OscSettings(port=port, meter_rate_hz=100.0), state, control, said.append)
    server.start()
    client = _Client(socket.AF_INET, socket.SOCK_DGRAM)
    client.bind(("127.0.0.1", 0))
    client.settimeout(2.0)
    client.server = ("127.0.0.1", port)
    yield client
    client.close()
    server.stop()


def _send(client, address, *arguments):
    message = OscMessageBuilder(address)
    for argument in arguments:
        message.add_arg(argument)
    client.sendto(message.build().dgram, client.server)


def _receive(client):
    data, _ = client.recvfrom(65536)
    return {m.message.address: m.message.params for m in OscPacket(data).messages}


def _until(condition, seconds=3.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


def test_osc_sets_every_kind_of_setting(osc, control):
    _send(osc, "/gate/threshold_db", -42.5)
    _send(osc, "/gate/hold_ms", "learned")
    _send(osc, "/gate/attack_ms", 5)
    _send(osc, "/gate/mode", "duck")
    _send(osc, "/gate/bypass", 1)
    _send(osc, "/gate/key_listen", True)
    _send(osc, "/gate/target", "voice")
    _send(osc, "/gate/key", 200.0, 3000.0)
    _send(osc, "/gate/muted", 1)
    _until(lambda: control.muted)
    expected = GateSettings(
        threshold_db=-42.5, attack_ms=5.0, mode="duck", bypass=True, key_listen=True,
        target="voice", key=KeyBand(200.0, 3000.0),
    )  # fmt: skip
    assert control.settings == expected
    _send(osc, "/gate/get")
    answers = {}
    while "/gate/profile" not in answers:
        answers |= _receive(osc)
    assert answers["/gate/threshold_db"] == [-42.5] and answers["/gate/key"] == [200.0, 3000.0]


def test_osc_sends_meters_to_who_subscribed(osc, state):
    meters = Meters(1.0, -30.0, -33.0, 0.9, True, -0.5, 3.0, 120.0, 80.0, 150.0, 4000.0, "open")
    state.put_hop(meters)
    _send(osc, "/gate/subscribe")
    found = _receive(osc)
    assert found["/gate/meter/key_level_dbfs"] == [pytest.approx(-33.0)]
    assert found["/gate/meter/open"] == [1] and found["/gate/meter/status"] == ["starting"]
    _send(osc, "/gate/unsubscribe")
    time.sleep(0.1)
    osc.settimeout(0.15)
    with pytest.raises(TimeoutError):
        while True:
            _receive(osc)


@pytest.mark.parametrize(
    ("address", "arguments", "error"),
    [
        ("/gate/threshold_db", [50.0], "threshold_db=50 must be from -100 to 0"),
        ("/gate/threshold_db", [float("nan")], "must be a number"),
        ("/gate/threshold_db", [], "one argument"),
        ("/gate/threshold_db", ["loud"], "must be a number"),
        ("/gate/bypass", [7], "bypass=7 must be 0 or 1"),
        ("/gate/mode", ["reverse"], "mode='reverse' must be one of gate, duck"),
        ("/gate/treshold", [1], "unknown address"),
    ],
)
def test_osc_answers_what_is_wrong(osc, control, address, arguments, error):
    _send(osc, address, *arguments)
    assert error in _receive(osc)["/gate/error"][0]
    assert control.settings == GateSettings() and control.host.sent == []


def test_osc_survives_a_fuzzer(osc, control):
    rng = random.Random(5)
    values = [0, 1, -50, 2**31 - 1, 1e30, float("inf"), float("nan"), "", "learned", "x" * 300,
              b"\x00\x01", True, False, None]  # fmt: skip
    for turn in range(600):
        if turn % 3 == 0:
            osc.sendto(rng.randbytes(rng.randrange(1, 200)), osc.server)
            continue
        message = OscMessageBuilder(rng.choice([*ADDRESSES, "/gate/", "/", "/gate/meter/open"]))
        for _ in range(rng.randrange(0, 4)):
            message.add_arg(rng.choice(values))
        data = bytearray(message.build().dgram)
        if turn % 3 == 1:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        osc.sendto(bytes(data), osc.server)
        if turn % 50 == 0:
            time.sleep(0.02)  # else the system drops most of them
    _until(lambda: _answers(osc, control), 10.0)
    for do, what in control.host.sent:
        if do == "settings":
            GateSettings.from_mapping(json.loads(json.dumps(what["gate"])))


def _answers(osc, control):
    _send(osc, "/gate/threshold_db", -12.25)
    time.sleep(0.02)
    return control.settings.threshold_db == -12.25


# What is shown


def _status(state, control, **changes):
    return snapshot(state, control) | changes


@pytest.mark.parametrize("size", [(80, 24), (200, 50), (40, 10), (20, 5), (132, 43)])
@pytest.mark.parametrize("full", [False, True])
def test_the_screen_fits_any_terminal(state, control, size, full):
    if full:
        for number in range(1000):
            level = -60.0 + 50.0 * np.sin(number / 30)
            reason = "open" if level > -40 else "below threshold"
            state.put_hop(Meters(number / 100, level, level, 0.5, reason == "open", -3.0, 3.0,
                                 120.0, 80.0, 150.0, 4000.0, reason))  # fmt: skip
        state.status, state.sample_rate, state.block_frames = 1, 48000, 100
    hops, row = state.hops_since(-1100)
    stream = {"input": "mic" * 20, "output": "pulse", "host_api": "ALSA", "detector": "voice"}
    text = screen(_status(state, control), stream, hops, row, ["x" * 300] * 9, *size)
    lines = text.plain.split("\n")
    assert len(lines) == size[1]
    assert max(len(line) for line in lines) <= size[0]
    if full and size[1] >= 24:
        assert "SHUT" in text.plain or "OPEN" in text.plain
        for word in ("threshold -60", "attack 3.0 ms", "150-4000 Hz", "p99", "xruns 0"):
            assert word in text.plain, word
        assert "█" in text.plain and "─" in text.plain


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp437"])
def test_any_terminal_gets_letters_that_it_has(state, control, encoding):
    for number in range(600):
        state.put_hop(Meters(number / 100, -30.0, -30.0, 0.5, True, -3.0, 3.0, 120.0, 80.0, 150.0,
                             4000.0, "open"))  # fmt: skip
    state.status, state.sample_rate, state.block_frames = 1, 48000, 100
    control.profile = "/home/m\udcfcller/j\u00fcrgen.gate.yaml"
    stream = {"input": "Mikrof\u00f6n \u8033", "output": "x" * 99, "host_api": "ALSA",
              "detector": "voice"}  # fmt: skip
    hops, row = state.hops_since(-600)
    text = screen(_status(state, control), stream, hops, row, ["\udcff"], 100, 30)
    width, spans = [len(line) for line in text.plain.split("\n")], len(text.spans)
    shown = in_letters_of(text, encoding)
    shown.plain.encode(encoding)
    assert [len(line) for line in shown.plain.split("\n")] == width
    assert len(shown.spans) == spans, "colours stay"
    if encoding == "ascii":
        assert "####" in shown.plain and "threshold" in shown.plain


def test_a_failed_detector_shows_as_such(state, control):
    state.put_hop(Meters(1.0, -30.0, -30.0, float("nan"), True, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
                         "detector failed"))  # fmt: skip
    state.status = 1
    status = _status(state, control)
    assert status["presence"] is None
    json.dumps(status, allow_nan=False)
    hops, row = state.hops_since(-10)
    assert "FAILED OPEN" in screen(status, {}, hops, row, [], 80, 24).plain


# The command


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
