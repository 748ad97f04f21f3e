"""The hint for a voice below the threshold, and a threshold taken from the first ten seconds."""

import numpy as np
import pytest
from fed_gate import meters

from gate.errors import GateError
from realtime.config import Config
from realtime.live.control import LiveControl
from realtime.live.hint import LiveHint
from realtime.live.panels import screen
from realtime.live.status import log_line, snapshot


def _talk(state, hint, seconds, level=-58.0, presence=0.9, is_open=False, evidence=None):
    rng = np.random.default_rng(0)
    for turn in range(round(seconds * 100)):
        spread = rng.uniform(-3, 3)
        reason = "open" if is_open else "below threshold"
        about = {} if evidence is None else {
            "evidence": evidence, "evidence_low": -6.0, "evidence_high": 6.0,
        }  # fmt: skip
        state.put_hop(meters(key_level_dbfs=level + spread, presence=presence, open=is_open,
                             reason=reason, **about))  # fmt: skip
        if turn % 25 == 24:
            hint.look()


def _control(state, automatic=False, threshold_db=-50.0):
    said = []
    control = LiveControl(Config(), None, said.append)
    control.change({"threshold_db": threshold_db})
    control.hint = LiveHint(state, control, automatic)
    return control, said


def test_everybody_is_told_of_a_threshold_that_would_work_and_a_key_takes_it(running):
    control, said = _control(running)
    with pytest.raises(GateError, match="no hint"):
        control.take_hint()
    _talk(running, control.hint, 9.0)
    assert said == [] and snapshot(running, control)["hint"] is None
    _talk(running, control.hint, 5.0)
    line = "speech at -58 dBFS stays below -50: try --threshold-db -64"
    assert said == [line], "said once"
    status = snapshot(running, control)
    assert status["hint"] == line and status["hint_threshold_db"] == -64.0
    hops, row = running.hops_since(-500)
    assert line in screen(status, {}, hops, row, [], 120, 40).plain
    assert line in log_line(status)
    control.take_hint()
    control.hint.look()
    assert control.settings.threshold_db == -64.0
    assert snapshot(running, control)["hint"] is None


@pytest.mark.parametrize("case", [
    {"presence": 0.2}, {"presence": float("nan")}, {"is_open": True, "level": -30.0},
    {"evidence": -1.0}, {"level": -45.0},
])  # fmt: skip
def test_no_hint_where_nobody_speaks_or_the_gate_opens_or_it_is_loud(running, case):
    control, said = _control(running)
    _talk(running, control.hint, 20.0, **case)
    assert said == [] and control.hint.found is None


def test_evidence_counts_where_it_decides(running):
    control, said = _control(running)
    _talk(running, control.hint, 12.0, presence=0.3, evidence=2.0)
    assert len(said) == 1 and "-64" in said[0]


def test_the_automatic_threshold_comes_from_the_first_ten_seconds_of_speech(running):
    control, said = _control(running, automatic=True, threshold_db=-60.0)
    assert snapshot(running, control)["auto_threshold_s"] == 10.0
    _talk(running, control.hint, 20.0, level=-80.0, presence=0.1)
    _talk(running, control.hint, 6.0, level=-35.0)
    assert control.settings.threshold_db == -60.0
    assert snapshot(running, control)["auto_threshold_s"] == 4.0
    _talk(running, control.hint, 6.0, level=-35.0)
    assert control.settings.threshold_db == -41.0 and said == ["auto: threshold_db = -41"]
    _talk(running, control.hint, 12.0, level=-30.0, is_open=True)
    assert control.settings.threshold_db == -41.0, "once"
