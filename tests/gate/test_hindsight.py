"""Recordings decided with their end in view, in stretches of bounded memory."""

import dataclasses
import itertools

import numpy as np
import pytest
from fakes import FailingDetector, FakeDetector, speech_and_noise
from gates import QUICK, RULE, WEAK, Believer
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.decision import EvidenceRule, evidence, open_hops, present_hops
from gate.errors import ConfigError
from gate.hindsight import FileGate, Hindsight
from gate.processor import GateProcessor
from gate.settings import GateSettings

RATE = 48000

chances = st.sampled_from([0.0, 1.0, 0.5, 0.25, 0.75]) | st.floats(0, 1)
hops = st.lists(st.tuples(st.floats(-90, -20), chances), min_size=1, max_size=100)


@settings(max_examples=200, deadline=None)
@given(hops, st.floats(0, 6), st.floats(0, 6), st.floats(-80, -30), st.integers(1, 30))
def test_it_is_the_copy_for_whole_recordings(hops, open_cost, shut_cost, threshold_db, every):
    rule = EvidenceRule(0.5, open_cost, shut_cost)
    levels, presence = np.array(hops).T
    hindsight, found = Hindsight(threshold_db, 6.0, rule), []
    for at in range(0, len(levels), every):
        hindsight.push(levels[at : at + every], presence[at : at + every])
        found.append(hindsight.verdicts())
    hindsight.finish()
    found.append(hindsight.verdicts())
    want = open_hops(levels, present_hops(presence, rule, None), threshold_db, 6.0, None)
    assert np.concatenate([verdicts.open for verdicts in found]).tolist() == want.tolist()
    clipped = np.clip(evidence(presence, rule), -rule.open_cost, rule.shut_cost)
    assert np.array_equal(np.concatenate([v.evidence[0] for v in found]), clipped)


def test_what_is_sure_does_not_wait_and_nothing_waits_for_ever():
    rule = EvidenceRule(0.5, 2.0, 3.0)
    hindsight = Hindsight(-60.0, 6.0, rule, longest_doubt_hops=50)
    hindsight.push(np.full(20, -20.0), np.full(20, 0.99))
    assert len(hindsight.verdicts().open) == 20 - 9  # loudness is looked for 9 hops ahead
    # Speaks neither for nor against: in doubt, by the rule.
    hindsight.push(np.full(200, -20.0), np.full(200, 0.5))
    assert len(hindsight.verdicts().open) == 9 + 200 - 50
    hindsight.finish()
    assert hindsight.verdicts().open.tolist() == [True] * 50


def evident(detector):
    """A fake that is decided by evidence."""
    rules = dict.fromkeys(("speech", "voice"), EvidenceRule(0.5, 2.0, 3.0))
    detector.info = dataclasses.replace(detector.info, decision=rules)
    return detector


def whole(gate, audio, cuts, key=None):
    gate.reset()
    ends = [0, *cuts, len(audio)]
    parts = [gate.feed(audio[a:b], None if key is None else key[a:b])
             for a, b in itertools.pairwise(ends)]  # fmt: skip
    return np.concatenate([*parts, gate.finish()])


def file_gate(rate=RATE, channels=1, detector=None, **changes):
    return FileGate(
        GateSettings(lookahead_ms="file").with_changes(changes),
        sample_rate=rate, channels=channels, detector=detector or Believer(WEAK, RULE),
    )  # fmt: skip


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_both_edges_lie_where_the_sound_has_them(rate):
    """Weak onset and weak end: the gain moves 5 ms before the hops that the best path opens."""
    noise = 0.1 * np.random.default_rng(0).normal(size=(rate, 1)).astype(np.float32)
    gate = file_gate(rate, attack_ms=QUICK.attack_ms, release_ms=QUICK.release_ms)
    curve = whole(gate, np.ones_like(noise), [rate // 3], key=noise)[:, 0] > 0.5
    first, last = np.flatnonzero(curve)[[0, -1]] * 1e3 / rate
    assert abs(first - 195.0) < 1.5
    assert abs(last - 415.0) < 2.5


@pytest.mark.parametrize(
    "changes",
    [{}, {"stereo_link": "independent"}, {"hold_ms": 40.0}, {"bypass": True}, {"key_listen": True},
     {"lookahead_ms": 7.0}, {"lookahead_ms": 0.0}],
    ids=str,
)  # fmt: skip
def test_as_many_samples_in_place_for_any_stretches(changes):
    audio = speech_and_noise(44100, 1.0, channels=2)
    gate = file_gate(44100, 2, evident(FakeDetector()), **changes)
    want = whole(gate, audio, [])
    assert want.shape == audio.shape
    for cuts in ([1, 2, 3, 20000], [441 * k for k in range(1, 90)]):
        np.testing.assert_allclose(whole(gate, audio, cuts), want, atol=2e-6)
    if "bypass" in changes:
        assert np.array_equal(want, audio)


def test_files_have_a_rule_of_their_own():
    """Read back from the end, the gate can be more patient than in a stream."""
    detector = evident(FakeDetector())
    audio = speech_and_noise(RATE, 1.0)
    never = EvidenceRule(1.0, 2.0, 3.0)
    detector.info = dataclasses.replace(detector.info, file_decision={"speech": never})
    for lookahead, opens in (("file", False), (20.0, True)):
        gate = file_gate(detector=detector, lookahead_ms=lookahead)
        assert (whole(gate, np.ones_like(audio), [], key=audio).max() > 0.9) == opens
    classic = file_gate(detector=detector, hold_ms=20.0)
    assert classic.lanes[0].presence_threshold < 1.0


def test_a_number_gives_what_the_stream_gives():
    audio = speech_and_noise(RATE, 1.0)
    settings = GateSettings(lookahead_ms=12.0)
    stream = GateProcessor(settings, sample_rate=RATE, detector=FakeDetector())
    tail = np.zeros((stream.latency_samples, 1), np.float32)
    want = stream.process(np.concatenate([audio, tail]))[stream.latency_samples :]
    gate = FileGate(settings, sample_rate=RATE, detector=FakeDetector())
    np.testing.assert_allclose(whole(gate, audio, [7000, 30000]), want, atol=2e-6)


def test_meters_and_gains_are_told_once_for_every_hop_of_the_recording():
    audio = speech_and_noise(RATE, 1.0, channels=2)
    gate = file_gate(channels=2, detector=evident(FakeDetector()), stereo_link="independent")
    times, gains = ([], []), ([], [])
    gate.on_hop = lambda lane, meters: times[lane].append(meters.time_s)
    gate.on_gains = lambda lane, part: gains[lane].append(part)
    out = whole(gate, audio, [10000, 20000])
    for lane in range(2):
        assert len(times[lane]) == len(set(times[lane])) == 99
        assert max(times[lane]) <= 1.0
        mine = np.concatenate(gains[lane])[gate.latency_samples :][: len(audio)]
        assert np.array_equal(audio[:, lane] * mine, out[:, lane])


@pytest.mark.parametrize("nan", [False, True])
def test_it_fails_open(nan):
    audio = speech_and_noise(RATE, 1.5)
    gate = file_gate(detector=evident(FailingDetector(40, 80, nan)), threshold_db=0.0)
    out = whole(gate, audio, [20000, 40000])
    assert gate.counters.failed_hops > 40
    assert np.array_equal(out[30000:36000], audio[30000:36000])
    assert np.abs(out[:15000]).max() < 0.01


def test_nothing_in_nothing_out():
    gate = file_gate()
    assert gate.feed(np.zeros((0, 1), np.float32)).shape == (0, 1)
    assert gate.finish().shape == (0, 1)
    gate.reset()
    parts = [gate.feed(np.ones((10, 1), np.float32)), gate.finish()]
    assert sum(map(len, parts)) == 10


def test_a_stream_refuses_to_look_to_the_end():
    with pytest.raises(ConfigError, match="lookahead_ms='file' is for files"):
        GateProcessor(GateSettings(lookahead_ms="file"), sample_rate=RATE, detector=FakeDetector())
    gate = GateProcessor(sample_rate=RATE, detector=FakeDetector())
    with pytest.raises(ConfigError, match="takes a number of ms"):
        gate.settings = GateSettings(lookahead_ms="file")
    assert gate.settings.lookahead_ms == 0.0
    with pytest.raises(ConfigError, match="lookahead_ms='files' must be a number"):
        GateSettings(lookahead_ms="files")
