"""The decision by evidence, through the whole gate."""

import numpy as np
from gates import QUICK, RULE, WEAK, Believer, gains, gate, in_blocks

from gate.settings import GateSettings


def opened(settings, script=WEAK):
    """First and last sample of the audio that an open gate lets through, in ms."""
    noise = 0.1 * np.random.default_rng(0).normal(size=(48000, 1)).astype(np.float32)
    processor = gate(settings, detector=Believer(script, RULE))
    curve = gains(processor, noise)[:, 0] > 0.5
    return (np.flatnonzero(curve)[[0, -1]] - processor.latency_samples) / 48.0


def test_lookahead_reads_the_evidence_back():
    """Weak edges: a gate at once is late; one that looks ahead opens early and shuts on time."""
    onset, end = 200.0, 420.0  # where the script begins and ends to speak for the target
    at_once = opened(QUICK)
    ahead = opened(QUICK.with_changes({"lookahead_ms": 60.0}))
    assert 20.0 < at_once[0] - onset < 45.0
    assert abs(ahead[0] - onset) < 2.0
    assert abs(ahead[1] - end) < 4.0
    assert at_once[1] - end > 10.0


def test_a_pinned_hold_brings_back_the_classic_rule():
    processor = gate(detector=Believer(WEAK, RULE))
    assert processor.meters.evidence_high == 3.0
    processor.settings = GateSettings(hold_ms=20.0)
    assert processor.meters.evidence_high == 0.0
    first, _ = opened(QUICK.with_changes({"hold_ms": 20.0}))
    assert abs(first - 210.0) < 3.0  # the hop that first passes .5, heard when it has ended


def test_meters_show_the_evidence():
    seen = []
    processor = gate(detector=Believer(WEAK, RULE))
    processor.on_hop = lambda lane, meters: seen.append(meters)
    noise = 0.1 * np.random.default_rng(0).normal(size=(24000, 1)).astype(np.float32)
    in_blocks(processor, noise, (100,))
    values = np.array([m.evidence for m in seen])
    assert (np.abs(values) <= 3.0).all()
    assert np.array_equal(values > 0.0, [m.open for m in seen])
    assert {m.reason for m in seen} == {"open", "held", "target absent"}


def test_evidence_goes_on_through_a_change_and_a_link():
    """Neither a new threshold nor unlinking asks for the evidence anew."""
    sure = Believer([0.99], RULE)
    processor = gate(channels=2, detector=sure)
    noise = 0.1 * np.random.default_rng(0).normal(size=(4800, 2)).astype(np.float32)
    in_blocks(processor, noise, (100,))
    processor.settings = GateSettings(threshold_db=-50.0, stereo_link="independent")
    assert all(meters.evidence == 3.0 for meters in processor.lane_meters)
    first, second = processor.lanes
    assert first.control.evidence is not second.control.evidence
