"""A profile of gate-learn in the plugin: the same decisions as in the Python engine."""

from dataclasses import replace

import numpy as np
import pytest
from plugin_compare import GAIN_TOLERANCE_DB, engine_gate
from plugin_native import NativeGate
from plugin_signals import bursts, random_cuts
from plugin_taught import RATE, taught_profile

from gate.decision import EvidenceRule
from gate.settings import GateSettings
from realtime.learn.profile import save_profile
from realtime.learn.profile_detector import ProfileDetector

SETTINGS = GateSettings(threshold_db=-60)
RULE = EvidenceRule(threshold=0.45, open_cost=2.5, shut_cost=4.0, shut_margin=0.5)


def _text(profile, folder):
    save_profile(profile, folder / "taught.gate.yaml")
    return (folder / "taught.gate.yaml").read_text()


@pytest.fixture(scope="module")
def sound():
    return bursts(RATE, seconds=3.0)


@pytest.mark.parametrize("hold_ms", ("learned", 60))
@pytest.mark.parametrize("rule", (None, RULE), ids=("classic", "evidence"))
@pytest.mark.parametrize("key", (None, "ramp"))
def test_profile_equals_engine(core, detector, sound, key, rule, hold_ms, tmp_path):
    taught = taught_profile(detector, sound, key, rule)
    settings = replace(SETTINGS, hold_ms=hold_ms)
    engine = engine_gate(core, ProfileDetector(detector.fork(), taught), settings, RATE)
    decisions = []
    engine.on_hop = lambda _, meters: decisions.append((meters.open, meters.presence))
    ones = np.ones_like(sound)
    theirs = [engine.process(ones[cut], sound[cut]).copy() for cut in random_cuts(len(sound), 1)]
    gate = NativeGate(core, settings, sample_rate=RATE)
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
        ("format_version: 2", "format_version: 9", "is of another version"),
        ("open_cost: 2.5", "open_cost: 65", "open_cost=65 is out of its range"),
        ("shut_margin: 0.5", "other: 0", "shut_margin is missing"),
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
    text = _text(taught_profile(detector, sound, None, RULE), tmp_path)
    assert old in text
    gate = NativeGate(core, SETTINGS, sample_rate=RATE)
    assert gate.load_profile(text.replace(old, new, 1)) == reason


@pytest.mark.parametrize("share", (0.1, 0.5, 0.9, 0.99))
def test_a_profile_that_is_cut_off_is_refused_wherever(core, detector, sound, share, tmp_path):
    text = _text(taught_profile(detector, sound, None, RULE), tmp_path)
    gate = NativeGate(core, SETTINGS, sample_rate=RATE)
    reason = gate.load_profile(text[: int(share * len(text))])
    assert reason.endswith((" is missing", "has a wrong size", "is not base64")), reason


def test_a_profile_of_the_first_version_decides_by_the_classic_rule(
    core, detector, sound, tmp_path
):
    text = _text(taught_profile(detector, sound, None, RULE), tmp_path)
    old = text.replace("format_version: 2", "format_version: 1")
    assert old != text
    gate = NativeGate(core, SETTINGS, sample_rate=RATE)
    gate.keep_trace()
    bounds = []
    for version in (text, old):
        assert gate.load_profile(version) is None
        gate.reset()
        gate.process(sound[:4800])
        bounds.append((gate.trace[-1]["evidence_low"], gate.trace[-1]["evidence_high"]))
    assert bounds == [(-2.5, 4.0), (0.0, 0.0)]


@pytest.mark.parametrize("as_path", (False, True))
def test_profile_is_state_in_clap(core, detector, plugins, tools, sound, as_path, tmp_path):
    """Put into a saved state, as text or as a path, it is restored with it."""
    from test_plugin_hosts import ClapHost

    path = tmp_path / "taught.gate.yaml"
    text = _text(taught_profile(detector, sound, None), tmp_path)
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
