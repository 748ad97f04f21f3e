"""The plugin's core against the Python engine, its oracle."""

import numpy as np
import pytest
from plugin_compare import GAIN_TOLERANCE_DB, compare, engine_gate
from plugin_golden import CASES, PATH, STEP, engine_gains
from plugin_native import NativeGate, parameter_table, run_detector
from plugin_signals import bursts, random_cuts

from gate.key import KeyBand
from gate.settings import RANGES, GateSettings

# Opens on the tones of `bursts` whatever the detector thinks of them: decisions then hang on the
# level, which is where rounding could tell the two apart.
LEVEL = {"presence_threshold": 0.0, "presence_hysteresis": 0.0}
RATES = (8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000)


def test_generated_detector_equals_the_onnx_file(core):
    """float32 sums in another order: 1e-5 is ten times what is seen."""
    import onnxruntime
    from plugin_build import MODEL

    session = onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    reference = np.load(MODEL.with_suffix(".npz"))
    features = reference["features"]
    inputs = {"features": features}
    if core.gate_detector_ears():
        inputs["ears"] = reference["ears"]
        assert np.ptp(inputs["ears"]) > 0.5
    shape = next(i.shape for i in session.get_inputs() if i.name == "state")
    state = np.zeros([n if isinstance(n, int) else 1 for n in shape], np.float32)
    names = ["embedding", "presence", "key", "ballistics"]
    expected = session.run(names, inputs | {"state": state})
    found = run_detector(core, features, inputs.get("ears"))
    for name, ours, theirs in zip(names, found, expected, strict=True):
        assert np.abs(ours - theirs).max() < 1e-5, name


def test_built_in_detector_is_the_file_in_the_repository(core):
    import hashlib

    from plugin_build import MODEL

    digest = hashlib.sha256(MODEL.read_bytes()).hexdigest()
    assert core.gate_detector_sha256().decode() == digest


@pytest.mark.parametrize("sample_rate", RATES)
def test_equals_engine_at_every_rate(core, detector, sample_rate):
    settings = GateSettings(threshold_db=-30, **LEVEL)
    found = compare(core, detector, settings, bursts(sample_rate, seconds=3.0), sample_rate)
    assert 50 < found.n_open < 290  # of 299 hops: the gate moved
    assert found.same.all()
    assert found.gain_db < GAIN_TOLERANCE_DB


@pytest.mark.parametrize(
    "settings",
    [
        GateSettings(threshold_db=-60),
        GateSettings(threshold_db=-40, target="voice", range_db=-100),
        GateSettings(threshold_db=-40, hold_ms=33, attack_ms=0.05, release_ms=1, **LEVEL),
        GateSettings(threshold_db=-25, key=KeyBand(300, 3000), mode="duck", range_db=-12, **LEVEL),
        GateSettings(threshold_db=-25, key="off", hysteresis_db=0, **LEVEL),
        GateSettings(threshold_db=-30, presence_threshold=0.3, presence_hysteresis=0.3),
        GateSettings(threshold_db=-25, bypass=True, **LEVEL),
    ],
    ids=lambda s: f"{s.mode}-{s.target}-{s.threshold_db:g}",
)
def test_equals_engine_on_speech(core, detector, talk, settings):
    audio, rate = talk
    found = compare(core, detector, settings, audio, rate)
    assert found.n_open > 0
    assert found.same.mean() >= 0.9999
    assert found.gain_db < GAIN_TOLERANCE_DB


@pytest.mark.parametrize(
    "settings",
    [
        GateSettings(threshold_db=-25, key=KeyBand(300, 3000), mode="duck", range_db=-12, **LEVEL),
        GateSettings(target="voice", hysteresis_db=0, attack_ms=0.5, hold_ms=33, release_ms=20),
        GateSettings(threshold_db=-30, key="off", lookahead_ms=4, key_listen=True, **LEVEL),
        GateSettings(bypass=True),
    ],
    ids=str,
)
def test_parameters_one_by_one_are_the_settings(core, settings):
    """As hosts hand them over: whatever was set before, the same gate comes of it."""
    sound = bursts(48000, seconds=1.0)
    gates = [NativeGate(core, sample_rate=48000), NativeGate(core, settings, sample_rate=48000)]
    gates[0].set_as_hosts_do(GateSettings(threshold_db=-10, hold_ms=80, key="off", mode="duck"))
    gates[0].set_as_hosts_do(settings)
    gates[0].reset()
    ours, theirs = (gate.process(sound) for gate in gates)
    # Parameters are float32.
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("name", sorted(CASES))
def test_golden_gains(core, name):
    sample_rate, settings = CASES[name]
    sound = bursts(sample_rate, seconds=3.0, seed=5)
    gate = NativeGate(core, settings, sample_rate=sample_rate)
    ours = gate.process(np.ones_like(sound), sound)[::STEP, 0]
    golden = np.load(PATH)[name]
    assert golden.min() < 0.99 * golden.max()  # it moved
    assert np.abs(20 * np.log10(ours / golden)).max() < GAIN_TOLERANCE_DB


@pytest.mark.parametrize("name", sorted(CASES))
def test_golden_gains_are_the_engines(name):
    difference = 20 * np.log10(engine_gains(*CASES[name]) / np.load(PATH)[name])
    assert np.abs(difference).max() < GAIN_TOLERANCE_DB


@pytest.mark.parametrize("sample_rate", (44100, 48000))
def test_any_block_size_gives_the_same_samples(core, sample_rate):
    """Bit for bit, with lookahead, stereo and key listen in it; and again after a reset."""
    audio = bursts(sample_rate, channels=2, seconds=0.3)
    settings = GateSettings(threshold_db=-30, lookahead_ms=4.3, key_listen=True, **LEVEL)
    gate = NativeGate(core, settings, sample_rate=sample_rate, channels=2)
    whole = gate.process(audio)
    for size in (1, 17, 100, 480, 8192):
        gate.reset()
        cuts = [slice(at, at + size) for at in range(0, len(audio), size)]
        assert np.array_equal(np.concatenate([gate.process(audio[cut]) for cut in cuts]), whole)


def test_settings_change_without_a_click_as_in_the_engine(core, detector):
    """Every setting moves while sound runs; both must stay together."""
    audio = bursts(48000, channels=2, seconds=3.0)
    steps = [
        GateSettings(threshold_db=-30, **LEVEL),
        GateSettings(threshold_db=-30, lookahead_ms=10, **LEVEL),
        GateSettings(threshold_db=-50, range_db=-20, lookahead_ms=3, **LEVEL),
        GateSettings(threshold_db=-20, key="off", mode="duck", **LEVEL),
        GateSettings(threshold_db=-20, bypass=True, **LEVEL),
        GateSettings(threshold_db=-30, key_listen=True, **LEVEL),
        GateSettings(threshold_db=-30, hold_ms=500, **LEVEL),
    ]
    engine = engine_gate(core, detector.fork(), steps[0], 48000, 2)
    gate = NativeGate(core, steps[0], sample_rate=48000, channels=2)
    for index, cut in enumerate(random_cuts(len(audio), seed=3, longest=4000)):
        engine.settings = steps[index % len(steps)]
        gate.configure(steps[index % len(steps)])
        difference = gate.process(audio[cut]) - engine.process(audio[cut])
        assert np.abs(difference).max() < 1e-5, index


def test_nonfinite_input_becomes_silence_and_is_counted(core, detector):
    audio = bursts(48000, channels=2, seconds=1.0)
    audio[1000:1010, 0] = np.nan
    audio[20000, 1] = np.inf
    audio[20001, 0] = -np.inf
    audio[30000:30100] = 1e38
    settings = GateSettings(threshold_db=-30, **LEVEL)
    engine = engine_gate(core, detector.fork(), settings, 48000, 2)
    gate = NativeGate(core, settings, sample_rate=48000, channels=2)
    ours, theirs = gate.process(audio), engine.process(audio)
    assert np.isfinite(ours).all()
    assert gate.counters.nonfinite_samples == engine.counters.nonfinite_samples == 12
    calm = np.abs(audio).max(axis=1) < 10
    assert np.abs(ours - theirs)[calm].max() < 1e-5


def test_detector_fault_passes_audio_and_recovers(core):
    """Level gate that stays shut; a fault must open it within 50 ms (ten time constants)."""
    audio = np.full((48000, 1), 0.25, np.float32)
    settings = GateSettings(threshold_db=0, **LEVEL)
    gate = NativeGate(core, settings, sample_rate=48000)
    shut = gate.process(audio)
    assert shut[-1, 0] == pytest.approx(0.25e-3, rel=1e-3)
    gate.keep_trace()
    for _ in range(40):  # faults in a row: each doubles the wait before the next question
        gate.spoil()
        passed = gate.process(audio[:480])
    assert passed[-1, 0] == pytest.approx(0.25, rel=1e-3)
    assert gate.counters.detector_failures >= 3
    assert gate.counters.failed_hops > gate.counters.detector_failures
    assert {row["reason"] for row in gate.trace} == {"detector failed"}
    recovered = gate.process(np.tile(audio, (3, 1)))
    assert recovered[-1, 0] == pytest.approx(0.25e-3, rel=1e-3)


def test_parameters_have_the_settings_names_and_ranges(core):
    table = parameter_table(core)
    defaults = GateSettings()
    for name, (low, high) in RANGES.items():
        assert table[name][:2] == pytest.approx((low, high)), name
    for name in ("threshold_db", "range_db", "hysteresis_db", "lookahead_ms"):
        assert table[name][2] == getattr(defaults, name), name
    for name in ("target", "key", "key_listen", "mode", "bypass", "attack_mode", "hold_mode"):
        assert table[name][2] == 0.0, name


def test_silence_leaves_no_denormals_behind(core):
    """A minute of silence after sound must not cost more than the sound did, twice over."""
    import time

    sound = bursts(48000, seconds=2.0)
    gate = NativeGate(core, GateSettings(), sample_rate=48000)

    def fastest(block):
        times = []
        for _ in range(8):
            start = time.thread_time()
            gate.process(block)
            times.append(time.thread_time() - start)
        return min(times)

    loud = fastest(sound)
    for _ in range(30):
        gate.process(np.zeros_like(sound))
    assert fastest(np.zeros_like(sound)) < 2.0 * loud
