"""Decisions of the plugin by evidence and by the classic rule: those of the engine, hop by hop."""

import numpy as np
import pytest
from plugin_compare import GAIN_TOLERANCE_DB, compare, engine_gate, run_both
from plugin_native import NativeGate
from plugin_signals import random_cuts

from gate.settings import GateSettings


@pytest.mark.parametrize("lookahead_ms", (0, 10, 19.9, 20, 35, 50, 100))
def test_evidence_is_read_back_as_far_as_the_lookahead_reaches(core, detector, talk, lookahead_ms):
    audio, rate = talk
    settings = GateSettings(threshold_db=-50, lookahead_ms=lookahead_ms)
    found = compare(core, detector, settings, audio, rate)
    assert 0 < found.n_open < len(found.same)
    assert found.same.all()
    assert found.gain_db < GAIN_TOLERANCE_DB


@pytest.mark.parametrize("threshold", (0.0, 0.02, 0.98, 1.0))
def test_presence_threshold_moves_the_evidence(core, detector, talk, threshold):
    audio, rate = talk
    settings = GateSettings(threshold_db=-50, presence_threshold=threshold, presence_hysteresis=0)
    found = compare(core, detector, settings, audio, rate)
    assert found.same.all()
    assert (found.n_open == 0) == (threshold == 1.0)


def test_evidence_meters_are_the_engines(core, detector, talk):
    audio, rate = talk
    names = ("evidence", "evidence_low", "evidence_high")
    _, _, ours, expected = run_both(core, detector, GateSettings(), audio, rate, names)
    assert np.ptp(ours[:, 0]) > 1.0
    # Logits of presences within 1e-5 of each other; what adds up is bounded by the costs.
    assert np.abs(ours - expected).max() < 0.01
    _, _, ours, _ = run_both(core, detector, GateSettings(hold_ms=50), audio[:4800], rate, names)
    assert not ours.any()


def test_rule_and_lookahead_change_while_sound_runs(core, detector, talk):
    """From evidence to the classic rule and back, to other lags: as the engine does it."""
    audio, rate = talk
    steps = [
        GateSettings(threshold_db=-50, lookahead_ms=40),
        GateSettings(threshold_db=-50, hold_ms=50),
        GateSettings(threshold_db=-45, lookahead_ms=100),
        GateSettings(threshold_db=-50, presence_threshold=0.3, presence_hysteresis=0.1),
        GateSettings(threshold_db=-50, lookahead_ms=20, hold_ms=0),
        GateSettings(threshold_db=-40, lookahead_ms=30, target="voice"),
    ]
    engine = engine_gate(core, detector.fork(), steps[0], rate)
    decisions = []
    engine.on_hop = lambda _, meters: decisions.append(meters.open)
    gate = NativeGate(core, steps[0], sample_rate=rate)
    gate.keep_trace()
    for index, cut in enumerate(random_cuts(len(audio), seed=5, longest=9000)):
        engine.settings = steps[index % len(steps)]
        gate.configure(steps[index % len(steps)])
        engine.process(audio[cut])
        gate.process(audio[cut])
    assert 0.1 < np.mean(decisions) < 0.9
    assert decisions == [bool(row["open"]) for row in gate.trace]
