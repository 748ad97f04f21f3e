"""Seeded sound for the plugin's tests."""

import numpy as np


def bursts(sample_rate, channels=1, seconds=4.0, seed=0):
    """Harmonic tones that come and go over a bed of noise, float32 (n, channels)."""
    rng = np.random.default_rng(seed)
    n = int(seconds * sample_rate)
    t = np.arange(n) / sample_rate
    on = np.sin(2 * np.pi * 0.8 * t) > 0.1
    top = int(min(20, 0.45 * sample_rate / 160))
    tone = sum(np.sin(2 * np.pi * 150 * k * t + k) / k for k in range(1, top))
    mono = 0.2 * on * tone + 0.005 * rng.standard_normal(n)
    return np.stack([mono * (1.0 - 0.2 * c) for c in range(channels)], axis=1).astype(np.float32)


def random_cuts(n, seed, longest=2000):
    """Slices that cut n samples into blocks of 1 to `longest`."""
    rng = np.random.default_rng(seed)
    at = 0
    while at < n:
        size = int(rng.integers(1, longest + 1))
        yield slice(at, min(at + size, n))
        at += size
