"""The hint for a voice that lies below the threshold."""

import numpy as np
import pytest

from gate.threshold_hint import SpeechLevel, ThresholdHint


def _talk(seconds, level, spread=4.0, seed=0):
    """Levels of a voice, and that it is present."""
    n = int(seconds * 100)
    return level + np.random.default_rng(seed).uniform(-spread, spread, n), np.ones(n, bool)


def test_after_ten_seconds_of_presence_it_names_a_threshold_that_would_have_opened():
    hint = ThresholdHint()
    levels, present = _talk(9.0, -58.0)
    hint.hops(present, levels, np.zeros(900, bool), -50.0)
    assert hint.found is None and hint.text(-50.0) is None
    levels, present = _talk(2.0, -58.0, seed=1)
    hint.hops(present, levels, np.zeros(200, bool), -50.0)
    speech, threshold = hint.found
    assert speech == pytest.approx(-58.0, abs=1.0)
    assert threshold == -64.0
    assert np.mean(levels > threshold) > 0.85
    assert hint.text(-50.0) == "speech at -58 dBFS stays below -50: try --threshold-db -64"


def test_silence_does_not_count_and_an_opening_begins_anew():
    hint = ThresholdHint()
    levels, present = _talk(30.0, -58.0)
    hint.hops(~present, levels, np.zeros(3000, bool), -50.0)
    assert hint.found is None, "nobody spoke"
    opened = np.zeros(3000, bool)
    opened[[900, 1800, 2700]] = True
    hint.hops(present, levels, opened, -50.0)
    assert hint.found is None and hint.longest is None, "it opened every nine seconds"
    opened = np.zeros(3000, bool)
    opened[2000] = True
    hint.hops(present, levels, opened, -50.0)
    assert hint.found is None and hint.longest is not None, "a file remembers, a view does not"


def test_chunks_of_any_size_say_the_same():
    levels, present = _talk(40.0, -55.0, 10.0)
    opened = np.zeros(4000, bool)
    opened[[700, 2300]] = True
    whole, pieces = ThresholdHint(), ThresholdHint()
    whole.hops(present, levels, opened, -40.0)
    for at in range(0, 4000, 37):
        part = slice(at, at + 37)
        pieces.hops(present[part], levels[part], opened[part], -40.0)
    assert whole.found == pieces.found is not None


def test_the_suggestion_stays_in_range():
    level = SpeechLevel()
    assert level.threshold_db is None and level.speech_dbfs is None
    level.add(np.full(100, -119.0))
    assert level.threshold_db == -100.0
    level.reset()
    level.add(np.full(100, 3.0))
    assert level.speech_dbfs == 0.0 and level.threshold_db == -6.0
