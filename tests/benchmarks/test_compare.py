"""Intervals, and whether two runs agree within them."""

import copy
import json

import numpy as np
import pytest
from scipy.stats import t as student

from benchmarks.cli import main
from benchmarks.compare import Row, widening
from benchmarks.stats import (
    ClipResult,
    Figure,
    _draw_weights,
    _interval,
    _student_quantile,
    figures,
)
from gate.metrics import Tally


def a_run(rng, n_clips=8, shift=0.0):
    """A quality part of gates whose clips lose a random share of the wanted time."""
    groups = {}
    for group in ("clean", "10 dB"):
        shares = np.clip(rng.normal(0.3 + shift, 0.1, n_clips), 0.0, 1.0)
        results = [
            ClipResult(str(k), group, str(k),
                       Tally(duration_s=20.0, wanted_s=10.0, front_clipped_s=10.0 * share))
            for k, share in enumerate(shares)
        ]  # fmt: skip
        row = {name: vars(figure) for name, figure in figures(results).items()}
        groups[group] = {"a gate": row}
    text = json.dumps([{"section": "quality:dev", "markdown": "", "charts": [], "groups": groups}])
    return json.loads(text.replace("NaN", "null"))


def compared(tmp_path, capsys, first, second):
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, run in zip(paths, (first, second), strict=True):
        path.write_text(json.dumps(run))
    code = main(["compare", *map(str, paths)])
    return code, capsys.readouterr()


def test_runs_of_other_clips_agree_and_another_gate_does_not(tmp_path, capsys):
    rng = np.random.default_rng(3)
    first = a_run(rng)
    code, said = compared(tmp_path, capsys, first, a_run(rng))
    assert code == 0 and said.out.endswith("the runs agree\n")
    code, said = compared(tmp_path, capsys, first, a_run(rng, shift=0.4))
    assert code == 1 and said.out.endswith("the runs disagree\n")
    assert "disagree: quality:dev, clean, a gate, fec: 0." in said.out


def test_instruction_counts_agree_within_their_tolerance(tmp_path, capsys):
    first = [{"section": "instructions", "markdown": "", "charts": [],
              "now": {"counts": {"a": 1000, "b": 1000}}}]  # fmt: skip
    second = copy.deepcopy(first)
    second[0]["now"]["counts"]["b"] = 1015
    first.append({"section": "latency", "markdown": "", "charts": []})
    code, said = compared(tmp_path, capsys, first, second)
    assert code == 0
    assert "not compared, as they print no intervals: latency" in said.out
    second[0]["now"]["counts"]["b"] = 1100
    assert compared(tmp_path, capsys, first, second)[0] == 1


def test_nothing_in_common_is_an_error(tmp_path, capsys):
    code, said = compared(tmp_path, capsys, a_run(np.random.default_rng(0)), [])
    assert code == 2
    assert "have no figure with an interval in common" in said.err


def test_widened_intervals():
    row = Row("x", Figure(0.0, -1.0, 1.0), Figure(2.5, 1.5, 3.5))
    assert not row.agrees()
    assert row.agrees(1.26) and not row.agrees(1.24)
    assert widening(1) == 1.0
    # 1000 differences of two normal figures: the largest is within the widened intervals 19
    # times in 20; 400 rounds tell that to 1.1 percentage points.
    rng = np.random.default_rng(0)
    largest = np.abs(rng.normal(size=(400, 1000, 2)) @ [1.0, -1.0]).max(axis=1)
    assert np.mean(largest <= widening(1000) * 2 * 1.96) == pytest.approx(0.95, abs=0.033)


@pytest.mark.parametrize("freedom", [3, 5, 10, 200])
def test_student_quantile(freedom):
    assert _student_quantile(freedom) == pytest.approx(student.ppf(0.975, freedom), rel=0.01)


def test_intervals_of_few_recordings_hold_the_truth():
    rng = np.random.default_rng(1)
    weights = _draw_weights(8, 0, 1000) / 8.0
    intervals = [_interval(weights @ rng.normal(1.0, 0.2, 8), 8) for _ in range(1000)]
    held = np.mean([low <= 1.0 <= high for low, high in intervals])
    # 1000 rounds tell it to 0.8 percentage points; plain percentiles hold it 88 % of the time.
    assert held == pytest.approx(0.95, abs=0.03)


def test_recordings_that_all_say_the_same_give_no_interval():
    clips = [
        ClipResult(str(k), "g", str(k), Tally(duration_s=20.0, wanted_s=10.0)) for k in range(8)
    ]
    figure = figures(clips)["fec"]
    assert figure.value == 0.0 and np.isnan(figure.low)
