"""`open_gate(engine="native")` against the Python engine, its oracle."""

import numpy as np
import pytest
import soundfile
from plugin_build import MODEL
from plugin_signals import bursts, random_cuts

from gate.errors import ConfigError, ModelError
from gate.key import KeyBand
from gate.settings import GateSettings
from realtime.batch import cli
from realtime.engine import open_file_gate, open_gate
from realtime.native_core import LIBRARY_VARIABLE

LEVEL = {"presence_threshold": 0.0, "presence_hysteresis": 0.0}


@pytest.fixture(autouse=True)
def native(core, monkeypatch):
    """The library that the plugin's tests have built."""
    monkeypatch.setenv(LIBRARY_VARIABLE, str(core.path))


def both(settings, core, sample_rate=48000, channels=1):
    ears = None if core.gate_ear_column() >= 0 else ()
    return [
        open_gate(settings, sample_rate=sample_rate, channels=channels, engine=name, ears=ears)
        for name in ("python", "native")
    ]


def traced(gate):
    hops = [[] for _ in gate.lanes]
    gate.on_hop = lambda lane, meters: hops[lane].append(meters)
    return hops


def test_stretches_tell_their_hops(core):
    gate = both(
        GateSettings(threshold_db=-30, stereo_link="independent", **LEVEL), core, channels=2
    )
    native, audio = gate[1], bursts(48000, channels=2, seconds=1.0)
    hops, rows = traced(native), [[] for _ in native.lanes]
    native.on_hops = lambda lane, table: rows[lane].extend(table.rows())
    native.process(audio[:100])  # a block of the stream tells no stretch
    for begin in range(100, len(audio), 9000):
        native.process_many(audio[begin : begin + 9000])
    assert rows == hops
    assert len(rows[0]) > 90


@pytest.mark.parametrize("sample_rate", (8000, 44100, 48000, 192000))
@pytest.mark.parametrize(
    "settings, channels",
    [
        (GateSettings(threshold_db=-30, lookahead_ms=7.3, **LEVEL), 1),
        (GateSettings(threshold_db=-30, hold_ms=33, key=KeyBand(300, 3000), **LEVEL), 2),
        (GateSettings(threshold_db=-30, lookahead_ms=7.3, key_listen=True, **LEVEL), 2),
        (GateSettings(threshold_db=-30, stereo_link="independent", **LEVEL), 3),
        (GateSettings(threshold_db=-30, mode="duck", range_db=-12, presence_threshold=0.0), 2),
    ],
    ids=("lookahead", "linked", "listen", "independent", "duck"),
)
def test_equals_python(core, settings, channels, sample_rate):
    audio = bursts(sample_rate, channels=channels, seconds=1.5)
    python, native = both(settings, core, sample_rate, channels)
    ours, theirs = traced(native), traced(python)
    assert np.abs(native.process_many(audio) - python.process(audio)).max() < 1e-5
    assert native.latency_samples == python.latency_samples
    assert native.counters == python.counters
    assert native.presence_threshold == pytest.approx(python.presence_threshold)
    for mine, other in zip(ours, theirs, strict=True):
        assert [(m.open, m.reason) for m in mine] == [(m.open, m.reason) for m in other]
        assert [m.time_s for m in mine] == [m.time_s for m in other]
        assert len({m.open for m in mine}) == 2  # it moved


def test_equals_python_on_speech(core, talk):
    audio, rate = talk
    python, native = both(None, core, rate)
    ours, theirs = traced(native), traced(python)
    assert np.abs(native.process(audio) - python.process(audio)).max() < 1e-5
    assert native.counters == python.counters
    assert native.ears_heard == python.ears_heard
    for mine, other in zip(ours[0], theirs[0], strict=True):
        assert (mine.open, mine.reason, mine.ears) == (other.open, other.reason, other.ears)
        assert mine.presence == pytest.approx(other.presence, abs=1e-3)


def test_external_key_settings_and_gains(core):
    """Settings move between blocks; every gain is told."""
    audio = np.ones((48000, 1), np.float32)
    key = bursts(48000, seconds=1.0)
    steps = [
        GateSettings(threshold_db=-30, **LEVEL),
        GateSettings(threshold_db=-20, key="off", **LEVEL),
        GateSettings(threshold_db=-30, bypass=True, **LEVEL),
    ]
    python, native = both(steps[0], core)
    for index, cut in enumerate(random_cuts(len(audio), seed=2, longest=6000)):
        python.settings = native.settings = steps[index % 3]
        told = []
        native.on_gains = lambda _, gains, told=told: told.append(gains)
        found = native.process_many(audio[cut], key[cut])
        assert np.abs(found - python.process(audio[cut], key[cut])).max() < 1e-5
        assert np.array_equal(np.concatenate(told), found[:, 0])


@pytest.mark.parametrize("lookahead_ms", (0.0, 7.3))
def test_a_recording_comes_out_in_place(lookahead_ms, core):
    settings = GateSettings(threshold_db=-30, lookahead_ms=lookahead_ms, **LEVEL)
    audio = bursts(48000, seconds=1.0)
    gates = [
        open_file_gate(settings, sample_rate=48000, engine=name, ears=())
        for name in ("python", "native")
    ]
    told, done = [traced(gate) for gate in gates], []
    for gate in gates:
        parts = [gate.feed(audio[cut]) for cut in random_cuts(len(audio), seed=3, longest=6000)]
        done.append(np.concatenate([*parts, gate.finish()]))
    assert done[0].shape == done[1].shape == audio.shape
    assert np.abs(done[0] - done[1]).max() < 1e-5
    assert len(told[0][0]) == len(told[1][0])
    assert gates[1].feed(audio[:0]).shape == (0, 1)


def test_gate_batch_runs_it(core, tmp_path, capsys):
    source, output = tmp_path / "in.wav", tmp_path / "out.wav"
    soundfile.write(source, bursts(48000, seconds=1.0), 48000, subtype="FLOAT")
    call = [str(source), "-o", str(output), "--engine", "native"]
    assert cli.main(call) == 2
    assert "lookahead_ms='file' must be a number" in capsys.readouterr().err
    assert not output.exists()
    assert cli.main([*call, "--lookahead-ms", "0", "--threshold-db", "-30"]) == 0
    settings = GateSettings(threshold_db=-30)
    gate = open_gate(settings, sample_rate=48000, engine="native")
    found = soundfile.read(output, dtype="float32", always_2d=True)[0]
    assert np.array_equal(found, gate.process(bursts(48000, seconds=1.0)))


def test_nonfinite_samples_are_counted_and_a_listener_s_error_comes_back(core):
    audio = bursts(48000, seconds=0.2)
    audio[100:104] = np.nan
    _, native = both(None, core)
    assert np.isfinite(native.process(audio)).all()
    assert native.counters.nonfinite_samples == 4

    def broken(lane, meters):
        raise RuntimeError("listener")

    native.on_hop = broken
    with pytest.raises(RuntimeError, match="listener"):
        native.process(audio)


@pytest.mark.parametrize(
    "options, line",
    [
        ({"settings": GateSettings(lookahead_ms="file")}, "lookahead_ms='file'"),
        ({"settings": GateSettings(target="nobody")}, "target='nobody'"),
        ({"channels": 3}, "channels=3 must be at most 2"),
        ({"model": None}, "model must be"),
        ({"profile": "p.npz"}, "profile='p.npz' must be null"),
        ({"engine": "quick"}, "engine='quick' must be one of python, native"),
    ],
)
def test_refuses_in_one_line_what_it_cannot_do(options, line):
    with pytest.raises(ConfigError, match=line) as caught:
        open_gate(**{"sample_rate": 48000, "engine": "native"} | options)
    assert "\n" not in str(caught.value)


def test_refused_changes_change_nothing(core):
    _, native = both(GateSettings(), core, channels=2)
    with pytest.raises(ConfigError, match="stereo_link"):
        native.settings = GateSettings(stereo_link="independent")
    with pytest.raises(ConfigError, match="takes no other"):
        native.detector = object()
    with pytest.raises(ConfigError, match="block of shape"):
        native.process(np.zeros((10, 3), np.float32))
    assert native.settings == GateSettings()


def test_another_model_and_a_missing_library_are_told(monkeypatch, tmp_path):
    other = tmp_path / "other.onnx"
    other.write_bytes(MODEL.read_bytes() + b"\0")
    with pytest.raises(ModelError, match=r"is not .*other\.onnx: build it with 'make native'"):
        open_gate(sample_rate=48000, model=other, engine="native")
    monkeypatch.setenv(LIBRARY_VARIABLE, str(tmp_path / "none.so"))
    with pytest.raises(ModelError, match=r"none\.so is not there: build it with 'make native'"):
        open_gate(sample_rate=48000, engine="native")
