import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.control import Control, Reason

HOP = 480


def run(control, levels, presences, holds):
    """Open samples a hop."""
    return [
        control.process(k * HOP, (k + 1) * HOP, level, presence, hold)
        for k, (level, presence, hold) in enumerate(zip(levels, presences, holds, strict=True))
    ]


def test_needs_both_level_and_presence():
    for level, presence, reason in (
        (-50.0, 0.9, Reason.OPEN),
        (-70.0, 0.9, Reason.BELOW_THRESHOLD),
        (-50.0, 0.1, Reason.TARGET_ABSENT),
    ):
        control = Control(-60.0, 6.0, 0.5, 0.2)
        opened = control.process(0, HOP, level, presence, 0)
        assert (opened > 0) == (reason is Reason.OPEN)
        assert control.reason is reason


def test_hysteresis_keeps_an_open_gate_open_and_a_shut_one_shut():
    between = [-63.0] * 5
    assert run(Control(-60.0, 6.0, 0.5, 0.0), between, [1.0] * 5, [0] * 5) == [0] * 5
    opened = run(Control(-60.0, 6.0, 0.5, 0.0), [-50.0, *between], [1.0] * 6, [0] * 6)
    assert opened == [HOP] * 6
    presence = [0.9, 0.4, 0.4, 0.2, 0.4]
    opened = run(Control(-60.0, 6.0, 0.5, 0.2), [-50.0] * 5, presence, [0] * 5)
    assert opened == [HOP, HOP, HOP, 0, 0]


def test_hold_ends_on_the_very_sample():
    opened = run(Control(-60.0, 0.0, 0.5, 0.0), [-50.0] + [-90.0] * 4, [1.0] * 5, [1000] * 5)
    assert opened == [HOP, HOP, HOP, 1000 - 2 * HOP, 0]


levels = st.lists(st.floats(-90, -20), min_size=1, max_size=60)


@settings(max_examples=300, deadline=None)
@given(levels, st.floats(-80, -30), st.floats(0, 20), st.integers(0, 2**32 - 1))
def test_a_higher_threshold_never_opens_where_a_lower_one_kept_shut(
    levels, threshold, higher_by, seed
):
    rng = np.random.default_rng(seed)
    presences = rng.uniform(size=len(levels))
    holds = rng.integers(0, 3000, size=len(levels))
    low = run(Control(threshold, 6.0, 0.5, 0.2), levels, presences, holds)
    high = run(Control(threshold + higher_by, 6.0, 0.5, 0.2), levels, presences, holds)
    assert all(a >= b for a, b in zip(low, high, strict=True))


def test_configure_keeps_the_state_and_reset_clears_it():
    control = Control(-60.0, 0.0, 0.5, 0.0)
    control.process(0, HOP, -50.0, 1.0, 5000)
    control.configure(-20.0, 0.0, 0.5, 0.0)
    assert control.process(HOP, 2 * HOP, -50.0, 1.0, 5000) == HOP
    assert control.reason is Reason.HELD
    control.reset()
    assert control.process(2 * HOP, 3 * HOP, -50.0, 1.0, 5000) == 0
