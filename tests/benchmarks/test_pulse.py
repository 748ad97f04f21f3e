"""Glitches are found where a sound goes on elsewhere."""

import numpy as np
import pytest

from benchmarks.live.pulse import follow, played_sound

PLAYED = played_sound(4.0, seed=1)
SILENCE = np.zeros(500, np.float32)
FOREIGN = np.random.default_rng(9).standard_normal(20000).astype(np.float32)
CASES = {
    "whole": ([PLAYED], 0),
    "a part, in silence": ([SILENCE, PLAYED[1000:90000], SILENCE], 0),
    "a sample is missing": ([PLAYED[:50000], PLAYED[50001:]], 1),
    "a stretch comes twice": ([PLAYED[:50000], PLAYED[49000:]], 1),
    "silence in between": ([PLAYED[:50000], SILENCE, PLAYED[50000:]], 1),
    "two seconds are missing, a block is foreign": (
        [PLAYED[:20000], PLAYED[116000:150000], FOREIGN, PLAYED[150000:]], 2,
    ),
    "it ends in something else": ([PLAYED, FOREIGN[:30]], 1),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_place_where_it_goes_on_elsewhere_counts(name):
    parts, expected = CASES[name]
    samples, glitches = follow(np.concatenate(parts), PLAYED)
    assert glitches == expected
    known = sum(len(part) for part in parts if part.base is PLAYED or part is PLAYED)
    assert known - 5000 * (expected > 0) <= samples <= known


def test_nothing_heard_is_no_sound():
    assert follow(np.zeros(1000, np.float32), PLAYED) == (0, 0)
    assert follow(FOREIGN, PLAYED) == (0, 0)
