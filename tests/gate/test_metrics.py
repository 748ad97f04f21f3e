"""The measures of a gate against values worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.errors import ConfigError
from gate.metrics import (
    EARLY_S,
    Tally,
    clip_segments,
    hop_labels,
    measure,
    merge_segments,
    open_segments,
    roc_auc,
    roc_curve,
    segments_of,
    validate_segments,
)


def test_one_segment_by_hand():
    tally = measure([[1, 3]], [[1.25, 2], [2.5, 3.5], [5, 6]], 8.0)
    assert tally.wanted_s == 2.0
    assert tally.front_clipped_s == 0.25
    assert tally.mid_clipped_s == 0.5
    assert tally.overhang_s == 0.5
    assert tally.noise_passed_s == 1.0
    assert tally.onset_delays_s.tolist() == [0.25]
    summary = tally.summary()
    assert summary["fec"] == pytest.approx(0.125)
    assert summary["msc"] == pytest.approx(0.25)
    assert summary["over"] == pytest.approx(0.5 / 6)
    assert summary["nds"] == pytest.approx(1 / 6)
    # 0.5 * (1.25 / 2 open where wanted + 4.5 / 6 shut where not)
    assert summary["balanced_accuracy"] == pytest.approx(0.5 * (0.625 + 0.75))
    assert summary["open_share"] == pytest.approx(2.75 / 8)
    assert summary["opens_per_minute"] == pytest.approx(3 * 60 / 8)


def test_missed_segment_is_all_front_clipping():
    tally = measure([[1, 2], [4, 5]], [[1.1, 2.0]], 10.0)
    assert tally.n_missed == 1
    assert tally.front_clipped_s == pytest.approx(1.1)
    assert tally.mid_clipped_s == 0.0
    assert tally.onset_delays_s == pytest.approx([0.1, 1.0])


def test_overhang_ends_where_the_next_segment_starts():
    tally = measure([[1, 2], [3, 4]], [[1, 3.5]], 10.0)
    assert tally.overhang_s == pytest.approx(1.0)
    assert tally.noise_passed_s == pytest.approx(0.0)
    assert tally.mid_clipped_s == pytest.approx(0.5)
    assert tally.n_already_open == 1  # the second segment found it open since long
    assert tally.onset_delays_s.tolist() == [0.0]


def test_opening_when_a_segment_ends_is_noise_not_overhang():
    tally = measure([[1, 2]], [[2, 3]], 10.0)
    assert (tally.overhang_s, tally.noise_passed_s, tally.n_missed) == (0.0, 1.0, 1)


@pytest.mark.parametrize(
    ("lead", "delays", "already"), [(0.5 * EARLY_S, [0.0], 0), (2 * EARLY_S, [], 1)]
)
def test_early_opening(lead, delays, already):
    tally = measure([[1, 2]], [[1 - lead, 2]], 10.0)
    assert tally.onset_delays_s.tolist() == delays
    assert tally.n_already_open == already
    assert tally.noise_passed_s == pytest.approx(lead)


def test_always_open_and_always_shut():
    wanted = [[1, 4]]
    always = measure(wanted, [[0, 10]], 10.0).summary()
    assert always["balanced_accuracy"] == pytest.approx(0.5)
    assert always["over"] + always["nds"] == pytest.approx(1.0)
    assert always["opens_per_minute"] == 0.0  # it never had to open
    never = measure(wanted, [], 10.0).summary()
    assert never["balanced_accuracy"] == pytest.approx(0.5)
    assert never["fec"] == 1.0
    assert never["missed_share"] == 1.0


def test_no_speech_has_only_noise_figures():
    summary = measure([], [[2, 3]], 10.0).summary()
    assert summary["nds"] == pytest.approx(0.1)
    for name in ("fec", "msc", "balanced_accuracy", "onset_p50_ms", "missed_share"):
        assert np.isnan(summary[name])


def test_onset_percentiles_are_numpy_s():
    tally = Tally(onset_delays_s=np.array([0.0, 0.01, 0.02, 0.1]))
    summary = tally.summary()
    assert summary["onset_p50_ms"] == pytest.approx(15.0)
    assert summary["onset_p90_ms"] == pytest.approx(76.0)
    assert summary["onset_p95_ms"] == pytest.approx(88.0)


boundaries = st.lists(
    st.integers(0, 1000), min_size=0, max_size=12, unique=True
).map(lambda x: np.array(sorted(x[: len(x) // 2 * 2])).reshape(-1, 2) / 100.0)  # fmt: skip


@given(boundaries, boundaries)
@settings(max_examples=200, deadline=None)
def test_seconds_add_up_and_match_a_count_of_hops(wanted, opened):
    """Every wanted and every unwanted second is accounted for once."""
    duration = 10.0
    tally = measure(wanted, opened, duration)
    want, hear = hop_labels(wanted, 1000), hop_labels(opened, 1000)
    lost = tally.front_clipped_s + tally.mid_clipped_s
    passed = tally.overhang_s + tally.noise_passed_s
    assert tally.wanted_s == pytest.approx(want.sum() / 100)
    assert lost == pytest.approx((want & ~hear).sum() / 100, abs=1e-9)
    assert passed == pytest.approx((~want & hear).sum() / 100, abs=1e-9)
    assert len(tally.onset_delays_s) == tally.n_segments - tally.n_already_open


def test_tallies_add_up():
    one = measure([[1, 3]], [[1.5, 3]], 8.0)
    two = measure([[2, 3]], [[2.25, 5]], 10.0)
    both = one + two
    assert both.duration_s == 18.0
    assert both.front_clipped_s == 0.75
    assert both.overhang_s == 2.0
    assert both.onset_delays_s.tolist() == [0.5, 0.25]
    assert both.summary()["fec"] == pytest.approx(0.25)


def test_open_is_above_the_midpoint_in_db():
    gain = np.array([0.001, 0.0316, 0.0317, 1.0, 0.5, 0.03])  # midpoint of -60 dB: 0.03162
    assert open_segments(gain, 10.0, -60.0).tolist() == [[0.2, 0.5]]
    assert open_segments(gain, 10.0, -12.0).tolist() == [[0.3, 0.4]]  # midpoint 0.501


def test_merge_clip_and_labels():
    assert merge_segments([[3, 4], [0, 2], [1, 1.5], [4, 5]]).tolist() == [[0, 2], [3, 5]]
    assert merge_segments([[0, 1], [1.1, 2]], max_gap_s=0.2).tolist() == [[0, 2]]
    assert merge_segments([]).shape == (0, 2)
    assert clip_segments([[-1, 1], [2, 9], [11, 12]], 5.0).tolist() == [[0, 1], [2, 5]]
    assert hop_labels([[0.01, 0.03]], 5).tolist() == [False, True, True, False, False]
    assert segments_of([1, 1, 0, 1], 2.0).tolist() == [[0, 1], [1.5, 2]]


@pytest.mark.parametrize(
    ("segments", "match"),
    [
        ([[2, 1]], "start must be before"),
        ([[0, 2], [1, 3]], "must not overlap"),
        ([[3, 4], [1, 2]], "in order"),
        ([[0, 11]], "within 0 and 10"),
        ([[-1, 1]], "within 0 and 10"),
        ([[np.nan, 1]], "finite"),
        ([[1, 2, 3]], r"must be \(n, 2\)"),
    ],
)
def test_bad_segments_are_refused(segments, match):
    with pytest.raises(ConfigError, match=match):
        measure(segments, [], 10.0)


def test_other_bad_input_is_refused():
    with pytest.raises(ConfigError, match=r"duration_s=0.* must be > 0"):
        validate_segments([], 0.0)
    with pytest.raises(ConfigError, match="range_db=0 must be < 0"):
        open_segments(np.ones(3), 10.0, 0)
    with pytest.raises(ConfigError, match="finite"):
        open_segments(np.array([1.0, np.nan]), 10.0, -60)
    with pytest.raises(ConfigError, match="must not be nan"):
        roc_auc([np.nan, 1.0], [True, False])


def test_roc_by_hand():
    score = [0.9, 0.8, 0.8, 0.3]
    label = [True, False, True, False]
    # Pairs: .9 beats both; .8 ties .8 and beats .3: (1 + 1 + 0.5 + 1) / 4
    assert roc_auc(score, label) == pytest.approx(0.875)
    false_rate, true_rate, threshold = roc_curve(score, label)
    assert false_rate.tolist() == [0.0, 0.0, 0.5, 1.0]
    assert true_rate.tolist() == [0.0, 0.5, 1.0, 1.0]
    assert threshold.tolist() == [np.inf, 0.9, 0.8, 0.3]
    assert np.isnan(roc_auc([0.1, 0.2], [True, True]))


def test_roc_auc_equals_the_rank_statistic():
    rng = np.random.default_rng(5)
    score = np.round(rng.normal(size=300), 1)  # with ties
    label = rng.random(300) < 0.3
    pos, neg = score[label][:, None], score[~label][None]
    expected = np.mean((pos > neg) + 0.5 * (pos == neg))
    assert roc_auc(score, label) == pytest.approx(expected, abs=1e-12)
