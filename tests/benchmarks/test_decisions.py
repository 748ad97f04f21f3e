"""Decisions become a gate as the gate itself would do it, and never before they were known."""

import numpy as np
import pytest
from fakes import FakeDetector

from benchmarks.peers.base import Hearing, gain_between
from benchmarks.peers.level import ObsGate
from benchmarks.peers.ours import OurGate
from benchmarks.quality.decisions import RELEASE_S, Decisions, Rule, drive
from gate.metrics import open_segments
from gate.settings import GateSettings


def test_nothing_opens_before_the_decision_is_known():
    known = np.array([0.032, 0.064, 0.096])
    gain = drive(Decisions(known, np.array([0.0, 1.0, 0.0])), Rule(0.5), 16000, 16000)
    (opened,) = open_segments(gain, 16000, -60.0)
    # 1 ms of attack passes the midpoint, -30 dB, within a sample; release takes 3.45 times tau.
    assert opened[0] == pytest.approx(0.064, abs=1e-3)
    assert opened[1] == pytest.approx(0.096 + 3.45 * RELEASE_S, abs=2e-3)
    assert (gain[: int(0.064 * 16000)] < 0.0011).all()


def test_hold_and_hysteresis():
    known = np.arange(1, 11) * 0.1
    score = np.array([0, 0.6, 0.4, 0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    plain = open_segments(drive(Decisions(known, score), Rule(0.5), 1100, 1000), 1000, -60)
    held = Rule(0.5, 0.15, hold_ms=200.0)
    longer = open_segments(drive(Decisions(known, score), held, 1100, 1000), 1000, -60)
    assert plain[0] == pytest.approx([0.2, 0.335], abs=0.003)
    assert longer[0] == pytest.approx([0.2, 0.735], abs=0.003)


def test_drive_equals_the_gate_itself():
    """The sweep's gate and the shipped one are the same, sample for sample."""
    rng = np.random.default_rng(2)
    audio = (rng.normal(size=32000) * np.repeat(rng.random(20), 1600)).astype(np.float32)
    gate = OurGate("gate", "", gate=GateSettings(), model=FakeDetector())
    answer = gate.run(Hearing(audio, 16000))
    assert 0.001 < answer.gain.mean() < 0.999  # it opened and shut
    again = drive(answer.decisions, gate.rule, len(audio), 16000)
    np.testing.assert_allclose(again, answer.gain, atol=1e-6)  # float32 of the meters' times


def test_lookahead_is_taken_out_of_the_gain():
    audio = np.zeros(16000, np.float32)
    audio[8000:] = 0.1 * np.random.default_rng(0).normal(size=8000)
    settings = GateSettings(threshold_db=-50.0, hold_ms=100.0)
    plain = OurGate("a", "", gate=settings, model=None).run(Hearing(audio, 16000))
    ahead = GateSettings(threshold_db=-50.0, hold_ms=100.0, lookahead_ms=20.0)
    early = OurGate("b", "", gate=ahead, model=None).run(Hearing(audio, 16000))
    assert len(early.gain) == len(audio)
    begin = [open_segments(a.gain, 16000, -60.0)[0, 0] for a in (plain, early)]
    assert begin[0] - begin[1] == pytest.approx(0.020, abs=1e-4)
    assert 0.5 <= begin[0] <= 0.512  # a hop and the decimator


def test_the_score_at_a_time_is_the_last_one_known():
    decisions = Decisions(np.array([0.1, 0.2]), np.array([0.3, 0.9]))
    assert decisions.at(np.array([0.0, 0.1, 0.19, 0.2, 5.0])).tolist() == [0.3, 0.3, 0.3, 0.9, 0.9]


def test_gain_is_read_off_the_output():
    rng = np.random.default_rng(0)
    before = rng.normal(size=1000).astype(np.float32)
    gain = np.linspace(0.01, 1.0, 1000).astype(np.float32)
    before[400:410] = 0.0  # nothing to read there: the last gain goes on
    found = gain_between(before, before * gain, 1e-3)
    np.testing.assert_allclose(found[:400], gain[:400], rtol=1e-4)
    assert found[405] == pytest.approx(gain[399], rel=1e-4)


def test_obs_gate_times():
    """Straight ramps: 25 ms up; after the close, 200 ms of hold and 150 ms down."""
    rate = 8000
    audio = np.zeros(2 * rate, np.float32)
    audio[rate // 2 : rate] = 0.5
    gain = ObsGate("obs", "").run(Hearing(audio, rate)).gain
    assert gain[rate // 2 - 1] == pytest.approx(1e-3)
    assert gain[rate // 2 + round(0.0125 * rate)] == pytest.approx(0.5, abs=0.01)
    assert gain[rate // 2 + round(0.026 * rate)] == 1.0
    # The follower falls from 0.5 to 0.025 at (0.0501 - 0.0251) * 75 a second: 0.253 s.
    closed = rate + 0.253 * rate
    assert gain[round(closed + 0.19 * rate)] == 1.0
    assert gain[round(closed + 0.275 * rate)] == pytest.approx(0.5, abs=0.03)
    assert gain[round(closed + 0.36 * rate)] == pytest.approx(1e-3)


def test_the_cache_keeps_decisions_by_sound(tmp_path):
    class Counting:
        name, sample_rate, calls = "counting", 16000, 0

        def decide(self, hearing):
            self.calls += 1
            return Decisions(np.array([0.1]), hearing.audio[:1].astype(float))

    detector = Counting()
    for value in (0.5, 0.5, 0.25):
        hearing = Hearing(np.full(10, value, np.float32), 16000, tmp_path)
        assert hearing.decisions(detector, "1").score[0] == value
    assert detector.calls == 2
