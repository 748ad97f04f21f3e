"""The measures on the sounds themselves against values worked out by hand."""

import numpy as np
import pytest

from gate.errors import ConfigError
from gate.signal_metrics import a_weighting, frame_gain, gated_signal_loss, weighted_energy


def test_a_weighting_against_the_standard_s_table():
    # IEC 61672-1, table 3: dB at nominal frequencies, rounded to 0.1 dB; the nominal
    # frequencies themselves are rounded, hence the tolerance.
    table = {31.5: -39.4, 100: -19.1, 250: -8.6, 1000: 0.0, 2000: 1.2, 8000: -1.1}
    for frequency, db in table.items():
        assert 20 * np.log10(a_weighting(frequency)) == pytest.approx(db, abs=0.15)


def test_weighted_energy_of_a_tone():
    t = np.arange(16000) / 16000
    energy = weighted_energy(np.sin(2 * np.pi * 1000 * t), 16000)
    assert energy.shape == (400,)
    assert energy.mean() == pytest.approx(0.5, rel=1e-3)


def test_gated_signal_loss_by_hand():
    s, n = np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0, 1.0])
    ideal = np.array([1.0, 1.0, 0.0, 0.0])
    # Nothing lost, nothing passed, one move of 1 in 4 frames of 2.5 ms: 100 a second.
    assert gated_signal_loss(ideal, s, n) == pytest.approx(0.002 * 100)
    assert gated_signal_loss(np.ones(4), s, n) == pytest.approx(1.0)
    assert gated_signal_loss(np.zeros(4), s, n) == pytest.approx(1.0)
    # Gain 0.1 throughout: mean energy 0.5, so frames at relative energy 2 * 100 = 200.
    expected = (np.log1p(0.81 * 200) + np.log1p(0.01 * 200)) / np.log1p(200)
    assert gated_signal_loss(np.full(4, 0.1), s, n) == pytest.approx(expected)


def test_gated_signal_loss_ignores_each_sound_s_level():
    rng = np.random.default_rng(0)
    s, n, g = rng.random(50), rng.random(50), rng.random(50)
    assert gated_signal_loss(g, s, n) == pytest.approx(gated_signal_loss(g, 1e-4 * s, 1e3 * n))


def test_frame_gain_is_rms():
    gain = np.array([1.0, 0.0] * 20)
    assert frame_gain(gain, 16000) == pytest.approx(np.sqrt(0.5))


def test_bad_input_is_refused():
    with pytest.raises(ConfigError, match="equal rows"):
        gated_signal_loss(np.ones(4), np.ones(3), np.ones(4))
    with pytest.raises(ConfigError, match="finite"):
        gated_signal_loss(np.ones(1), np.array([np.nan]), np.ones(1))
    with pytest.raises(ConfigError, match="must be >= 0"):
        gated_signal_loss(np.ones(2), -np.ones(2), np.ones(2))
