"""What is done to unwanted sounds keeps samples and flags together."""

import numpy as np
import pytest

from training.voice.disguise import (
    DisguiseSettings,
    disguise,
    reverse,
    shift_frequency,
    shuffle_grains,
)

HOP = 160


def half_tone(n_hops=200):
    """A tone of 1 kHz in the first half."""
    flags = np.arange(n_hops) < n_hops // 2
    samples = np.sin(2 * np.pi * 1000 * np.arange(n_hops * HOP) / 16000)
    return (samples * np.repeat(flags, HOP)).astype(np.float32), flags


def sounding(samples):
    return np.abs(samples.reshape(-1, HOP)).max(axis=1) > 0.5


def test_flags_follow_the_sound():
    samples, flags = half_tone()
    for changed, moved in (
        reverse(samples, flags),
        shuffle_grains(np.random.default_rng(2), samples, flags),
    ):
        assert changed.shape == samples.shape and moved.shape == flags.shape
        np.testing.assert_array_equal(sounding(changed), moved)
        assert not np.array_equal(moved, flags)


@pytest.mark.parametrize("shift_hz", [-400, 300])
def test_partials_move_by_the_same_number_of_hertz(shift_hz):
    samples, _ = half_tone()
    spectrum = np.abs(np.fft.rfft(shift_frequency(samples, shift_hz)))
    assert np.argmax(spectrum) * 16000 / len(samples) == pytest.approx(1000 + shift_hz, abs=1)


def test_every_change_keeps_length_and_level():
    samples, flags = half_tone()
    always = DisguiseSettings(1.0, 1.0, 1.0, 1.0, 1.0)
    for seed in range(20):
        changed, moved = disguise(np.random.default_rng(seed), samples, flags, always)
        assert changed.shape == samples.shape and moved.sum() == flags.sum()
        assert changed.dtype == np.float32 and np.isfinite(changed).all()
        assert 0.001 < np.abs(changed).max() < 3.0
