"""A profile of gate-learn in the plugin: the same decisions as in the Python engine."""

import numpy as np
import pytest
from plugin_compare import GAIN_TOLERANCE_DB
from plugin_native import NativeGate
from plugin_signals import bursts, random_cuts

from gate.processor import GateProcessor
from gate.settings import GateSettings
from realtime.learn.head import HeadShape
from realtime.learn.profile import Profile, save_profile
from realtime.learn.profile_detector import ProfileDetector

RATE = 48000
SETTINGS = GateSettings(threshold_db=-60)


def _profile(detector, sound, key):
    """A head with random weights whose score swings about zero on `sound`."""
    from gate.frontend import Frontend

    shape = HeadShape((0.05, 0.2))
    rng = np.random.default_rng(7)
    features = Frontend(RATE, detector.info.mel).process(sound[:, 0]).log_mel[:150]
    coefficients = 0.1 * rng.standard_normal(3 * 192)
    score = shape.inputs(features, detector.fork().process(features).embedding) @ coefficients
    return Profile(
        name="taught",
        detector=detector.info.name,
        detector_sha256=detector.info.sha256,
        shape=shape,
        coefficients=coefficients.astype(np.float32),
        bias=float(-np.median(score)),
        presence_threshold=0.55,
        presence_hysteresis=0.1,
        attack_ms=1.5,
        hold_ms=30.0,
        release_ms=40.0,
        key=None if key is None else np.linspace(0, 1, 64).astype(np.float32),
        suggested_threshold_db=-50.0,
        classic={"threshold_db": -20.0, "attack_ms": 9.0, "hold_ms": 9.0, "release_ms": 9.0},
        expected={"presence_threshold": 0.1, "bias": 3.0},
    )


def _text(profile, folder):
    save_profile(profile, folder / "taught.gate.yaml")
    return (folder / "taught.gate.yaml").read_text()


@pytest.fixture(scope="module")
def sound():
    return bursts(RATE, seconds=3.0)


@pytest.mark.parametrize("key", (None, "ramp"))
def test_profile_equals_engine(core, detector, sound, key, tmp_path):
    taught = _profile(detector, sound, key)
    engine = GateProcessor(
        SETTINGS,
        sample_rate=RATE,
        detector=ProfileDetector(detector.fork(), taught),
    )
    engine.reset()
    decisions = []
    engine.on_hop = lambda _, meters: decisions.append((meters.open, meters.presence))
    ones = np.ones_like(sound)
    theirs = [engine.process(ones[cut], sound[cut]).copy() for cut in random_cuts(len(sound), 1)]
    gate = NativeGate(core, SETTINGS, sample_rate=RATE)
    assert gate.load_profile(_text(taught, tmp_path)) is None
    gate.reset()
    gate.keep_trace()
    ours = gate.process(ones, sound)
    opened = np.array([opened for opened, _ in decisions])
    assert 0.05 < opened.mean() < 0.95
    assert np.array_equal(opened, [bool(row["open"]) for row in gate.trace])
    presence = np.array([presence for _, presence in decisions])
    assert np.abs(presence - [row["presence"] for row in gate.trace]).max() < 1e-4
    difference = 20 * np.log10(ours / np.concatenate(theirs))
    assert np.abs(difference).max() < GAIN_TOLERANCE_DB


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("exemplar-gate-profile", "something", "is not a profile"),
        ("format_version: 1", "format_version: 9", "is of another version"),
        ("sha256: ", "sha256: 00", "was taught on another detector"),
        ("hold_ms: 30.0", "hold_ms: -1", "hold_ms=-1 is out of its range"),
        ("presence_hysteresis: 0.1", "other: 0.1", "presence_hysteresis is missing"),
        ("base64: ", "base64: AAAA", "head has a wrong size"),
        ("base64: ", "base64: ?", "head is not base64"),
        ("taus_s: [0.05, 0.2]", "taus_s: 3", "a list is missing"),
    ],
)
def test_damaged_profiles_are_refused_with_a_reason(
    core, detector, sound, old, new, reason, tmp_path
):
    text = _text(_profile(detector, sound, None), tmp_path)
    assert old in text
    gate = NativeGate(core, SETTINGS, sample_rate=RATE)
    assert gate.load_profile(text.replace(old, new, 1)) == reason
    cut = text[: len(text) // 2]
    assert gate.load_profile(cut) is not None


@pytest.mark.parametrize("as_path", (False, True))
def test_profile_is_state_in_clap(core, detector, plugins, tools, sound, as_path, tmp_path):
    """Put into a saved state, as text or as a path, it is restored with it."""
    from test_plugin_hosts import ClapHost

    path = tmp_path / "taught.gate.yaml"
    text = _text(_profile(detector, sound, None), tmp_path)
    host = ClapHost(plugins, tools, tmp_path)
    host(sound, "Threshold=-60", "--save", tmp_path / "state", variant="mono", controls=False)
    saved = (tmp_path / "state").read_bytes()
    value = str(path) if as_path else text
    with_profile = saved.replace(b"profile\0\0", b"profile\0" + value.encode() + b"\0")
    assert with_profile != saved
    (tmp_path / "state").write_bytes(with_profile)
    got, _, _ = host(
        sound, "--load", tmp_path / "state", "--save", tmp_path / "again",
        variant="mono", controls=False,
    )  # fmt: skip
    assert value.encode() in (tmp_path / "again").read_bytes()
    gate = NativeGate(core, SETTINGS, sample_rate=RATE)
    plain = gate.process(sound)
    assert gate.load_profile(text) is None
    gate.reset()
    expected = gate.process(sound)
    assert np.abs(expected - plain).max() > 0.01  # the profile matters
    assert np.abs(got - expected).max() < 1e-6
