import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.control import Control, Reason
from gate.decision import (
    ClassicRule,
    EvidenceRule,
    classic_hops,
    evidence,
    hop_logits,
    lag_hops,
    open_hops,
    presence_logit,
    present_hops,
    threshold_logit,
)
from gate.errors import ConfigError

HOP = 480
CLASSIC = ClassicRule(0.5, 0.2)


def run(control, levels, presences, holds=None):
    """Open samples a hop."""
    holds = [0] * len(levels) if holds is None else holds
    return [
        control.process(k * HOP, (k + 1) * HOP, level, presence, hold)
        for k, (level, presence, hold) in enumerate(zip(levels, presences, holds, strict=True))
    ]


@pytest.mark.parametrize("rule", [CLASSIC, EvidenceRule(0.5, 1.0, 1.0)])
def test_needs_both_level_and_presence(rule):
    for level, presence, reason in (
        (-50.0, 0.9, Reason.OPEN),
        (-70.0, 0.9, Reason.BELOW_THRESHOLD),
        (-50.0, 0.1, Reason.TARGET_ABSENT),
    ):
        control = Control(-60.0, 6.0, rule)
        opened = control.process(0, HOP, level, presence, 0)
        assert (opened > 0) == (reason is Reason.OPEN)
        assert control.reason is reason


# The classic rule.


def test_hysteresis_keeps_an_open_gate_open_and_a_shut_one_shut():
    between = [-63.0] * 5
    assert run(Control(-60.0, 6.0, ClassicRule()), between, [1.0] * 5) == [0] * 5
    opened = run(Control(-60.0, 6.0, ClassicRule()), [-50.0, *between], [1.0] * 6)
    assert opened == [HOP] * 6
    presence = [0.9, 0.4, 0.4, 0.2, 0.4]
    opened = run(Control(-60.0, 6.0, CLASSIC), [-50.0] * 5, presence)
    assert opened == [HOP, HOP, HOP, 0, 0]


def test_hold_ends_on_the_very_sample():
    opened = run(Control(-60.0, 0.0, ClassicRule()), [-50.0] + [-90.0] * 4, [1.0] * 5, [1000] * 5)
    assert opened == [HOP, HOP, HOP, 1000 - 2 * HOP, 0]


def test_configure_keeps_the_state_and_reset_clears_it():
    control = Control(-60.0, 0.0, ClassicRule())
    control.process(0, HOP, -50.0, 1.0, 5000)
    control.configure(-20.0, 0.0, ClassicRule())
    assert control.process(HOP, 2 * HOP, -50.0, 1.0, 5000) == HOP
    assert control.reason is Reason.HELD
    control.reset()
    assert control.process(2 * HOP, 3 * HOP, -50.0, 1.0, 5000) == 0


# Evidence.


def test_the_worked_example_of_the_module():
    rule = EvidenceRule(0.5, 2.0, 3.0)
    np.testing.assert_allclose(evidence([0.9, 0.8], rule), [0.1972, 1.5835], atol=1e-4)
    assert present_hops(np.array([0.8, 0.8]), rule).tolist() == [False, True]
    sure = [0.9999] * 3 + [0.1] * 3
    assert present_hops(np.array(sure), rule).tolist() == [True] * 4 + [False] * 2


def test_a_dip_is_bridged_and_a_blip_is_not():
    rule, loud = EvidenceRule(0.5, 2.0, 3.0), [-20.0] * 12
    speech = [0.95] * 4 + [0.3, 0.3] + [0.95] * 6
    assert run(Control(-60.0, 6.0, rule), loud, speech) == [HOP] * 12
    control = Control(-60.0, 6.0, rule)
    run(control, loud[:5], speech[:5])
    assert control.reason is Reason.HELD
    blip = [0.1] * 4 + [0.7, 0.7] + [0.1] * 6
    assert run(Control(-60.0, 6.0, rule), loud, blip) == [0] * 12
    assert run(Control(-60.0, 6.0, CLASSIC), loud, blip).count(HOP) == 2


def test_a_lag_opens_early_and_shuts_on_time():
    """Weak onset, weak end: read back from 4 hops later both edges lie where they are."""
    rule = EvidenceRule(0.5, 3.0, 3.0)
    presence = np.array([0.05] * 10 + [0.6, 0.7] + [0.95] * 10 + [0.3] + [0.05] * 10)
    at_once, later = present_hops(presence, rule), present_hops(presence, rule, 4)
    assert np.flatnonzero(at_once)[[0, -1]].tolist() == [12, 22]
    assert np.flatnonzero(later)[[0, -1]].tolist() == [10, 21]


def test_thresholds_of_nought_and_one():
    hard = np.array([0.0, 0.0, 1.0, 0.5])
    assert present_hops(hard, EvidenceRule(0.0, 64.0, 0.0)).all()
    assert not present_hops(hard, EvidenceRule(1.0, 0.0, 64.0)).any()
    assert threshold_logit(0.5) == presence_logit(0.5) == 0.0
    assert presence_logit(0.0) == -presence_logit(1.0) == -12.0


def test_logits_of_many_hops_are_those_of_each():
    rng = np.random.default_rng(3)
    halves = 1.0 / (1.0 + np.exp(-(rng.integers(-700000, 700000, 2000) + 0.5) / 2.0**16))
    presence = np.r_[0.0, 1.0, 1e-9, 1.0 - 1e-9, halves, rng.random(5000), rng.random(99) ** 9]
    for found in (presence, presence.astype(np.float32)):
        each = [presence_logit(p) for p in found.tolist()]
        assert hop_logits(found, EvidenceRule(0.5)).tolist() == each


@pytest.mark.parametrize(
    ("lookahead_ms", "lag"),
    [(0, 0), (5, 0), (10, 0), (19.9, 0), (20, 1), (25, 1), (30, 2), (70, 6), (100, 9)],
)
def test_lag_of_a_lookahead(lookahead_ms, lag):
    assert lag_hops(float(lookahead_ms)) == lag


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"open_cost": -1.0}, "open_cost=-1 must be from 0 to 64"),
        ({"threshold": float("nan")}, "threshold=nan must be a number from 0 to 1"),
        ({"shut_margin": 2.5}, "shut_margin=2.5 must be from 0 to 2"),
        ({"shut_cost": "3"}, "shut_cost='3' must be a number"),
    ],
)
def test_rules_out_of_range_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        EvidenceRule(**values)


def test_a_closure_inside_a_word_does_not_shut_the_gate():
    """50 ms below the threshold are bridged, more are not; a shut gate is not opened by them."""
    rule, sure = EvidenceRule(0.5, 1.0, 1.0), [0.99] * 12
    for closure, shut in ((5, 0), (6, 1), (9, 4)):
        levels = [-50.0] + [-90.0] * closure + [-50.0] * (11 - closure)
        opened = run(Control(-60.0, 6.0, rule), levels, sure)
        assert opened.count(0) == shut
    late = run(Control(-60.0, 6.0, rule), [-50.0, -90.0, -90.0], [0.01, 0.99, 0.99])
    assert late == [0, 0, 0]


def test_a_missed_hop_keeps_the_lag_and_the_evidence():
    rule = EvidenceRule(0.5, 2.0, 3.0)
    control = Control(-60.0, 6.0, rule, lag=2)
    run(control, [-20.0] * 6, [0.99] * 6)
    for _ in range(50):
        control.miss()
    assert control.evidence.value == 3.0
    assert control.evidence.is_open
    assert control.process(0, HOP, -20.0, 0.6, 0) == HOP


# Both, for any sound.

chances = st.sampled_from([0.0, 1.0, 0.5, 0.25, 0.75, 0.9, 0.1]) | st.floats(0, 1)
rules = st.builds(
    lambda threshold, opens, shuts, margin: EvidenceRule(threshold, opens, shuts, margin * opens),
    chances,
    st.sampled_from([0.0, 1.0, 2.0, 3.0]) | st.floats(0, 8),
    st.sampled_from([0.0, 1.0, 3.0]) | st.floats(0, 8),
    st.sampled_from([0.0, 0.5, 1.0]),
)
hops = st.lists(st.tuples(st.floats(-90, -20), chances), min_size=1, max_size=80)


def best_path(presence, rule):
    """The path itself, by trying every one."""
    n_hops = len(presence)
    best, states = -np.inf, None
    logits = [presence_logit(p) - rule.b for p in presence]
    for code in range(2**n_hops):
        path = [(code >> hop) & 1 for hop in range(n_hops)]
        changes = zip([0, *path[:-1]], path, strict=True)
        score = sum(x * s for x, s in zip(logits, path, strict=True)) - sum(
            (rule.open_cost if new else rule.shut_cost) for old, new in changes if old != new
        )
        if score > best + 1e-9:
            best, states = score, path
    return np.array(states, dtype=bool)


@pytest.mark.parametrize("seed", range(20))
def test_read_back_from_the_end_it_is_the_best_of_all_paths(seed):
    rng = np.random.default_rng(seed)
    presence = 1.0 / (1.0 + np.exp(-rng.normal(0.0, 2.5, size=11)))
    rule = EvidenceRule(0.4, 1.0 + 2.0 * rng.random(), 1.0 + 3.0 * rng.random())
    assert np.array_equal(present_hops(presence, rule, None), best_path(presence, rule))


@settings(max_examples=300, deadline=None)
@given(hops, rules, st.integers(0, 12), st.floats(-80, -30), st.sampled_from([0.0, 6.0]))
def test_the_copy_for_whole_recordings_is_control(hops, rule, lag, threshold_db, hysteresis_db):
    levels, presence = np.array(hops).T
    control = Control(threshold_db, hysteresis_db, rule, lag)
    got = np.array(run(control, levels.tolist(), presence.tolist())) > 0
    present = present_hops(presence, rule, lag)
    want = open_hops(levels, present, threshold_db, hysteresis_db, lag)
    n_read = len(levels) - lag  # the last hops have not been read back yet
    assert np.array_equal(got[lag:], want[: max(n_read, 0)])
    assert not got[:lag].any()
    many = np.stack([presence, presence[::-1]])
    assert np.array_equal(present_hops(many, rule, lag)[0], present)
    assert np.array_equal(evidence(many, rule)[1], evidence(presence[::-1], rule))


@settings(max_examples=200, deadline=None)
@given(hops, chances, chances, st.floats(-80, -30), st.integers(0, 2**32 - 1))
def test_the_copy_of_the_classic_rule_is_control(hops, threshold, hysteresis, threshold_db, seed):
    levels, presence = np.array(hops).T
    holds = np.random.default_rng(seed).integers(0, 4, size=len(levels))
    rule = ClassicRule(threshold, hysteresis)
    control = Control(threshold_db, 6.0, rule)
    got = run(control, levels.tolist(), presence.tolist(), (holds * HOP).tolist())
    want = classic_hops(levels, presence, rule, threshold_db, 6.0, holds)
    assert np.array_equal(np.array(got) == HOP, want)


@settings(max_examples=300, deadline=None)
@given(hops, rules | st.just(CLASSIC), st.integers(0, 12), st.floats(-80, -30),
       st.floats(0, 20), st.integers(0, 2**32 - 1))  # fmt: skip
def test_a_higher_threshold_never_opens_where_a_lower_one_kept_shut(
    hops, rule, lag, threshold, higher_by, seed
):
    levels, presence = np.array(hops).T.tolist()
    holds = np.random.default_rng(seed).integers(0, 3000, size=len(levels))
    low = run(Control(threshold, 6.0, rule, lag), levels, presence, holds)
    high = run(Control(threshold + higher_by, 6.0, rule, lag), levels, presence, holds)
    assert all(a >= b for a, b in zip(low, high, strict=True))
    if lag == 0 and isinstance(rule, EvidenceRule):
        a = open_hops(levels, present_hops(presence, rule, None), threshold, 6.0, None)
        b = open_hops(levels, present_hops(presence, rule, None), threshold + higher_by, 6.0, None)
        assert (a >= b).all()
