"""Changes that make an unwanted sound into one that is in no collection.

A few hours of noise hold a few dozen classes; a detector learns them by heart and meets others.
Each change keeps a sound unwanted and moves it away from the recordings: played backwards, cut
into grains and shuffled, shifted in frequency, beaten at the pace of syllables. They act on whole
layers of an item, on samples at 16 kHz and their hop flags together.
"""

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, rfft

RATE = 16000
_HOP = 160


@dataclass(frozen=True)
class DisguiseSettings:
    """How often each change is made.

    Attributes
    ----------
    backwards, shuffled, shifted, beaten, coloured : float
        Shares of the layers; `coloured` gives a layer a response of its own.
    """

    backwards: float = 0.2
    shuffled: float = 0.1
    shifted: float = 0.08
    beaten: float = 0.12
    coloured: float = 0.5


def reverse(samples, flags):
    """Backwards in time."""
    return samples[::-1].copy(), flags[::-1].copy()


def shuffle_grains(rng, samples, flags):
    """Cut into grains of 60 to 500 ms, in random order, joined with short fades."""
    hops = int(rng.integers(6, 51))
    n_grains = len(flags) // hops
    order = np.concatenate([rng.permutation(n_grains), [n_grains]])
    fade = np.ones(hops * _HOP, dtype=np.float32)
    ramp = np.linspace(0.0, 1.0, _HOP // 2, dtype=np.float32)
    fade[: _HOP // 2], fade[-_HOP // 2 :] = ramp, ramp[::-1]
    parts, marks = [], []
    for k in order:
        part = samples[k * hops * _HOP : (k + 1) * hops * _HOP]
        parts.append(part * fade[: len(part)])
        marks.append(flags[k * hops : (k + 1) * hops])
    return np.concatenate(parts), np.concatenate(marks)


def shift_frequency(samples, shift_hz):
    """Every partial moved by the same number of hertz, which takes harmonics out of tune."""
    n = len(samples)
    spectrum = rfft(samples)
    bins = round(shift_hz * n / RATE)
    moved = np.zeros_like(spectrum)
    if bins >= 0:
        moved[bins:] = spectrum[: len(spectrum) - bins]
    else:
        moved[:bins] = spectrum[-bins:]
    return irfft(moved, n).astype(np.float32)


def beat(rng, samples):
    """Level moved at 2 to 9 Hz, as syllables move it."""
    t = np.arange(len(samples)) / RATE
    hz = rng.uniform(2.0, 9.0) * (1.0 + 0.3 * np.sin(2 * np.pi * rng.uniform(0.2, 1.0) * t))
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * np.cumsum(hz) / RATE + rng.uniform(0, 6.28))
    floor = 10.0 ** (-rng.uniform(6.0, 40.0) / 20.0)
    return (samples * np.maximum(wave ** rng.uniform(0.5, 2.0), floor)).astype(np.float32)


def disguise(rng, samples, flags, settings=DisguiseSettings()):
    """Make random changes.

    Parameters
    ----------
    rng : numpy.random.Generator
    samples : ndarray, shape (n_hops * 160,)
    flags : ndarray, shape (n_hops,)
        Where it sounds.
    settings : DisguiseSettings

    Returns
    -------
    samples, flags : ndarray
        Of the same shapes.
    """
    if rng.random() < settings.backwards:
        samples, flags = reverse(samples, flags)
    if rng.random() < settings.shuffled:
        samples, flags = shuffle_grains(rng, samples, flags)
    if rng.random() < settings.shifted:
        shift = np.exp(rng.uniform(np.log(30.0), np.log(900.0))) * rng.choice([-1.0, 1.0])
        samples = shift_frequency(samples, shift)
    if rng.random() < settings.beaten:
        samples = beat(rng, samples)
    return samples, flags
