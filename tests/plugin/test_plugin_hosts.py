"""The built plugins in hosts that others wrote, and in a small CLAP host of ours."""

import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pedalboard
import pytest
import soundfile
from plugin_compare import GAIN_TOLERANCE_DB
from plugin_native import NativeGate
from plugin_signals import bursts
from waiting import require_programs

from gate.settings import GateSettings

RATE = 48000
LEVEL = {"presence_threshold": 0.0, "presence_hysteresis": 0.0}
SETTINGS = GateSettings(threshold_db=-30.0, hold_ms=50, release_ms=20, **LEVEL)
CONTROLS = {
    "threshold_db": -30.0, "presence_mode": 1, "presence_threshold": 0, "presence_hysteresis": 0,
    "hold_mode": 1, "hold_ms": 50, "release_mode": 1, "release_ms": 20,
}  # fmt: skip
SAMPLE_TOLERANCE = 1e-6  # one step of a float32 parameter; the rest is exact


@pytest.fixture(scope="module")
def sound():
    return bursts(RATE, channels=2, seconds=3.0)


@pytest.fixture(scope="module")
def expected(core, sound):
    """What the core makes of it."""
    gated = NativeGate(core, SETTINGS, sample_rate=RATE, channels=2).process(sound)
    quiet = np.abs(gated).max(axis=1) < 0.01 * np.abs(sound).max()
    assert 0.1 < quiet.mean() < 0.9  # the gate moved
    return gated


@pytest.fixture(scope="module")
def wave(sound, tmp_path_factory):
    path = tmp_path_factory.mktemp("plugin") / "in.wav"
    soundfile.write(path, sound, RATE, subtype="FLOAT")
    return path


@pytest.fixture
def lv2_env(plugins):
    """Environment in which LV2 hosts find the built plugins and the specification."""
    specification = "/usr/lib/lv2:/usr/lib/x86_64-linux-gnu/lv2:/usr/local/lib/lv2"
    return os.environ | {"LV2_PATH": f"{plugins / 'lv2'}:{specification}"}


def _read(path):
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


# VST3 in pedalboard (JUCE)


def _vst3(plugins, variant="stereo"):
    return pedalboard.load_plugin(str(plugins / "vst3" / f"exemplar-gate-{variant}.vst3"))


def _set(plugin, **values):
    for name, value in values.items():
        assert name in plugin.parameters, name
        setattr(plugin, name, value)


def _set_controls(plugin, **more):
    _set(plugin, presence_mode="Pinned", presence_threshold=0.0, presence_hysteresis=0.0)
    _set(plugin, hold_mode="Pinned", hold_ms=50.0, release_mode="Pinned", release_ms=20.0)
    _set(plugin, threshold_db=-30.0, **more)


def _settings_of(plugin):
    """What arrived: pedalboard sets a parameter to the nearest of a thousand steps."""
    read = {name: getattr(plugin, name) for name in ("threshold_db", "hold_ms", "release_ms")}
    return replace(SETTINGS, **read)


def test_vst3_equals_the_core(core, plugins, sound):
    plugin = _vst3(plugins)
    _set_controls(plugin)
    gate = NativeGate(core, _settings_of(plugin), sample_rate=RATE, channels=2)
    expected = gate.process(sound)
    got = plugin.process(sound.T, RATE, buffer_size=333).T
    assert np.abs(got - expected).max() < SAMPLE_TOLERANCE


def test_vst3_mono_and_sidechain_load(plugins, sound):
    for variant, channels in (("mono", 1), ("sidechain-mono", 1), ("sidechain-stereo", 2)):
        plugin = _vst3(plugins, variant)
        got = plugin.process(sound.T[:channels], RATE)
        assert got.shape == (channels, len(sound)) and np.isfinite(got).all()


def test_vst3_parameters_by_name(plugins):
    names = set(_vst3(plugins).parameters)
    from gate.settings import RANGES

    assert set(RANGES) <= names
    assert {"target", "key", "key_listen", "mode", "bypass", "gain_db", "key_level_dbfs"} <= names


def test_vst3_state_round_trip(plugins, sound):
    first, second = _vst3(plugins), _vst3(plugins)
    _set_controls(first, range_db=-20.0, mode="Duck", lookahead_ms=5.0)
    first.process(sound.T, RATE)  # hosts hand parameters over with the sound
    second.raw_state = first.raw_state
    for name in CONTROLS | {"range_db": 0, "mode": 0, "lookahead_ms": 0}:
        assert getattr(second, name) == getattr(first, name), name
    again = first.process(sound.T, RATE, reset=True)
    assert np.array_equal(second.process(sound.T, RATE, reset=True), again)


def test_vst3_reports_its_latency(plugins, sound):
    """The host takes the reported delay away: with range 0 the sound comes back unmoved."""
    plugin = _vst3(plugins)
    _set(plugin, range_db=0.0, lookahead_ms=10.0)
    plugin.process(sound.T[:, :4800], RATE)  # the host learns of the latency
    got = plugin.process(sound.T, RATE, reset=True).T
    assert np.abs(got - sound).max() < SAMPLE_TOLERANCE


def test_vst3_automation_equals_the_core(core, plugins, sound):
    """The threshold moves every 50 ms, in blocks of 100 samples."""
    plugin = _vst3(plugins)
    _set_controls(plugin)
    gate = NativeGate(core, _settings_of(plugin), sample_rate=RATE, channels=2)
    thresholds = np.random.default_rng(0).uniform(-60, -10, len(sound) // 2400)
    for index, threshold in enumerate(thresholds):
        block = sound[2400 * index : 2400 * (index + 1)]
        plugin.threshold_db = float(threshold)
        gate.configure(_settings_of(plugin))
        got = plugin.process(block.T, RATE, buffer_size=100, reset=False).T
        assert np.abs(got - gate.process(block)).max() < SAMPLE_TOLERANCE, index


# LV2 in lilv's lv2apply and in ffmpeg


def test_lv2apply_equals_the_core(lv2_env, wave, expected, tmp_path):
    require_programs(lv2apply="lilv-utils")
    controls = [word for name, value in CONTROLS.items() for word in ("-c", name, str(value))]
    out = tmp_path / "out.wav"
    subprocess.run(
        ["lv2apply", "-i", wave, "-o", out, *controls, "urn:exemplar-gate:stereo"],
        env=lv2_env, check=True,
    )  # fmt: skip
    got = _read(out)
    assert len(got) >= len(expected) - RATE // 10
    assert np.abs(got - expected[: len(got)]).max() < SAMPLE_TOLERANCE


def test_lv2_data_is_valid(plugins, lv2_env):
    require_programs(lv2_validate="lilv-utils or lv2-dev, and sordi")
    for bundle in sorted((plugins / "lv2").iterdir()):
        done = subprocess.run(
            ["lv2_validate", *bundle.glob("*.ttl")], env=lv2_env, capture_output=True, text=True
        )
        if "sord_validate: not found" in done.stderr or done.returncode == 127:
            pytest.skip("sord_validate is not installed (apt-get install sordi)")
        assert done.returncode == 0, done.stdout + done.stderr


def test_ffmpeg_equals_the_core(lv2_env, wave, expected, tmp_path):
    require_programs(ffmpeg="ffmpeg")
    filters = subprocess.run(["ffmpeg", "-hide_banner", "-filters"], capture_output=True, text=True)
    if " lv2 " not in filters.stdout:
        pytest.skip("this ffmpeg is built without lv2")
    controls = "|".join(f"{name}={value}" for name, value in CONTROLS.items())
    out = tmp_path / "out.wav"
    subprocess.run(
        ["ffmpeg", "-loglevel", "error", "-i", wave, "-af",
         rf"lv2=p=urn\\:exemplar-gate\\:stereo:c={controls}", "-c:a", "pcm_f32le", out],
        env=lv2_env, check=True,
    )  # fmt: skip
    got = _read(out)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() < SAMPLE_TOLERANCE


# LV2 live: jalv in a JACK server


def test_jalv_in_jack_freewheel(lv2_env):
    """Tone bursts pass within 0.1 dB, what lies between falls to the range."""
    require_programs(jalv="jalv")
    from sound_servers import JackServer, Peer

    seconds = 3
    mono = bursts(RATE, seconds=seconds)[:, 0]
    with JackServer(RATE, 256) as server:
        peer = Peer(server, mono, seconds * RATE)
        values = CONTROLS | {"key": 1}  # no detector's key decides how loud the tones are
        controls = [w for name, value in values.items() for w in ("-c", f"{name}={value}")]
        jalv = subprocess.Popen(
            ["jalv", "-n", "gate", "-x", *controls, "urn:exemplar-gate:mono"],
            env=lv2_env | server.env,
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _connect(peer.client, jalv)
            peer.client.set_freewheel(True)
            peer.record()
            assert peer.done.wait(60)
            heard = peer.heard()
        finally:
            peer.close()
            jalv.send_signal(signal.SIGINT)
            jalv.wait(10)
    # Both are periodic with the sound; find the shift by correlation.
    spectrum = np.fft.rfft(heard) * np.conj(np.fft.rfft(mono))
    shifted = np.roll(mono, int(np.argmax(np.fft.irfft(spectrum))))
    frames = slice(RATE // 10, -RATE // 10)
    sounding = _smooth(np.abs(shifted)) > 0.02
    steady = _smooth(sounding.astype(float), 19201)  # 200 ms to either side: hold, release
    open_ = (steady > 0.999)[frames]
    shut = (steady < 0.001)[frames]
    assert open_.mean() > 0.1 and shut.mean() > 0.1
    ratio = heard[frames][open_] / shifted[frames][open_]
    loud = np.abs(shifted[frames][open_]) > 0.01
    assert np.abs(20 * np.log10(np.abs(ratio[loud]))).max() < 0.1
    between = np.sqrt(np.mean(heard[frames][shut] ** 2) / np.mean(shifted[frames][shut] ** 2))
    assert 20 * np.log10(between) < -40


def _smooth(x, length=481):
    return np.convolve(x, np.ones(length) / length, mode="same")


def _connect(client, jalv):
    """Connects jalv between the peer's ports; JACK shows a port before its client is active."""
    from jack import JackError

    deadline = time.monotonic() + 20
    for peer, is_input in (("peer:out", True), ("peer:in", False)):
        while True:
            try:
                flags = {"is_input": is_input, "is_output": not is_input}
                (port,) = client.get_ports("gate:.*", is_audio=True, **flags)
                client.connect(*((peer, port) if is_input else (port, peer)))
                break
            except (ValueError, JackError):
                assert jalv.poll() is None, "jalv ended"
                assert time.monotonic() < deadline, "jalv's ports cannot be connected"
                time.sleep(0.05)


# CLAP: qtractor's scanner, and a host of ours


def test_clap_in_qtractors_scanner(plugins):
    scanner = Path("/usr/lib/x86_64-linux-gnu/qtractor/qtractor_plugin_scan")
    if not scanner.is_file():
        pytest.skip("qtractor is not installed (apt-get install qtractor)")
    for variant, ports in (("mono", "1:1"), ("stereo", "2:2")):
        path = plugins / "clap" / f"exemplar-gate-{variant}.clap"
        done = subprocess.run(
            [scanner], input=f"CLAP:{path}\n", env=os.environ | {"QT_QPA_PLATFORM": "offscreen"},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        fields = done.stdout.split("|")
        assert fields[:3] == ["CLAP", f"Exemplar Gate {variant.title()}", ports]
        assert fields[4] == "22:12"  # parameters in and out


def _title(symbol):
    """As CLAP has it: ``Presence mode``, ``Hold``."""
    return symbol.removesuffix("_db").removesuffix("_ms").replace("_", " ").capitalize()


class ClapHost:
    """Runs plugin/host/clap_host.cpp."""

    def __init__(self, plugins, tools, folder):
        self._plugins, self._tools, self._folder = plugins, tools, folder

    def __call__(self, sound, *options, variant="stereo", controls=True, prefix=(), env=None):
        """Returns the output samples and the printed lines as a dict."""
        source, result = self._folder / "in.raw", self._folder / "out.raw"
        np.ascontiguousarray(sound, np.float32).tofile(source)
        values = [f"{_title(n)}={v}" for n, v in CONTROLS.items()] if controls else []
        plugin = self._plugins / "clap" / f"exemplar-gate-{variant}.clap"
        done = subprocess.run(
            [*prefix, self._tools / "clap_host", plugin, source, result, *values, *options],
            env=os.environ | (env or {}), capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        lines = [line.split(" ", 1) for line in done.stdout.splitlines()]
        channels = 2 if "stereo" in variant else 1
        return np.fromfile(result, np.float32).reshape(-1, channels), dict(lines), done.stdout


@pytest.fixture
def clap_host(plugins, tools, tmp_path):
    return ClapHost(plugins, tools, tmp_path)


def test_clap_equals_the_core(clap_host, sound, expected):
    got, lines, _ = clap_host(sound)
    assert lines["id"] == "exemplar-gate.stereo"
    assert np.abs(got - expected).max() < SAMPLE_TOLERANCE


def test_clap_state_round_trip(clap_host, sound, expected, tmp_path):
    clap_host(sound, "--save", tmp_path / "state")
    got, _, _ = clap_host(sound, "--load", tmp_path / "state", controls=False)
    assert np.abs(got - expected).max() < SAMPLE_TOLERANCE


def test_clap_meters_and_latency(clap_host, sound):
    _, lines, text = clap_host(sound, "Lookahead=10")
    assert int(lines["latency"]) == 480
    values = dict(
        line.removeprefix("parameter ").split(" = ")
        for line in text.splitlines()
        if line.startswith("parameter ")
    )
    assert float(values["Hold now"]) == pytest.approx(50.0)
    assert float(values["Gain"]) <= 0.0
    assert -60.0 < float(values["Input"]) < 0.0
    assert float(values["Key high now"]) > float(values["Key low now"])


@pytest.mark.parametrize("channels", (1, 2))
def test_clap_sidechain_keys_the_gate(core, clap_host, channels):
    """Another sound decides: the core with the same external key is the measure."""
    name = "mono" if channels == 1 else "stereo"
    key = bursts(RATE, channels=channels, seconds=2.0)
    ones = np.ones_like(key)
    gate = NativeGate(core, SETTINGS, sample_rate=RATE, channels=channels)
    expected = gate.process(ones, key)
    assert expected.min() < 0.01 < 0.99 < expected.max()
    got, _, _ = clap_host(np.hstack([ones, key]), variant=f"sidechain-{name}")
    assert np.abs(20 * np.log10(got / expected)).max() < GAIN_TOLERANCE_DB


# Real-time safety


def test_no_allocation_no_lock_in_process(clap_host, tools, sound):
    counter = {"LD_PRELOAD": str(tools / "libcount_allocations.so")}
    moving = ["Lookahead=5", "Key listen=1", "Key=2"]
    _, lines, _ = clap_host(sound, *moving, env=counter)
    assert lines["allocations"] == "0"
    _, lines, _ = clap_host(sound, "--provoke", env=counter)
    assert int(lines["allocations"]) > 10  # the counter counts


def test_no_system_call_in_process(clap_host, sound):
    moving = ["Lookahead=5", "Key listen=1", "Key=2"]
    _, lines, _ = clap_host(sound, "--strict", *moving)
    assert lines["strict"] == "ok"
    _, lines, _ = clap_host(sound, "--strict", "--provoke")
    assert lines["strict"] == "killed"  # the kernel watches


def test_reloading_leaks_nothing(clap_host, sound):
    require_programs(valgrind="valgrind")
    checker = ["valgrind", "-q", "--leak-check=full", "--error-exitcode=9"]
    clap_host(sound[:1500], "--reload", "2", prefix=checker)


def test_many_reloads_keep_the_memory(clap_host, sound):
    """Resident memory after 51 and after 150 rounds; an instance is about 1 MB."""
    _, lines, _ = clap_host(sound[:500], "--reload", "150")
    grown_kb = int(lines["resident_kb_at_end"]) - int(lines["resident_kb_after_50"])
    assert grown_kb < 500
