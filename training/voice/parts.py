"""The parts that synthetic sounds are made of: sources, resonators, envelopes.

All work at 16 kHz on float64 samples and draw from the generator that they are given.
"""

import numpy as np
from scipy.signal import lfilter

RATE = 16000


def whole(made):
    """The samples of a maker, which gives them at once or part by part."""
    return made if isinstance(made, np.ndarray) else np.concatenate(list(made))


def formants(rng, samples, shift=1.0):
    """Filter through four resonators of one random vowel, in parallel with a little of it dry."""
    centres = np.array(
        [rng.uniform(280, 900), rng.uniform(900, 2300), rng.uniform(2200, 3200), 3600.0]
    )
    widths = np.array([rng.uniform(50, 120), rng.uniform(70, 160), 180.0, 250.0])
    out = rng.uniform(0.0, 0.05) * samples
    for part in resonators(samples, centres * shift, widths, (1.0, 0.7, 0.4, 0.25), 7000.0):
        out = out + part
    return out


def pulses(rng, f0, roughness=0.0):
    """Glottal-like pulses of a contour `f0` in Hz, one value a sample."""
    f0 = f0 * (1.0 + 0.01 * lfilter([0.05], [1.0, -0.95], rng.standard_normal(len(f0))) * 4.0)
    phase = np.cumsum(f0 / RATE)
    beat = np.diff(np.floor(phase), prepend=0.0)
    strength = 1.0 + roughness * rng.standard_normal(len(f0))
    train = beat * strength
    tilt = rng.uniform(0.80, 0.96)
    return lfilter([1.0 - tilt], [1.0, -tilt], lfilter([1.0], [1.0, -0.6], train)) * 8.0


def noise_band(rng, n, low_hz=0.0, high_hz=8000.0):
    """Gaussian noise of a band with soft edges."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    hz = np.fft.rfftfreq(n, 1.0 / RATE)
    gain = 1.0 / np.sqrt(1.0 + (hz / max(high_hz, 1.0)) ** 6)
    if low_hz > 0:
        gain = gain / np.sqrt(1.0 + (low_hz / np.maximum(hz, 1.0)) ** 6)
    return np.fft.irfft(spectrum * gain, n)


def arch(n, attack, release):
    """Envelope 0..1 of `n` samples: raised-cosine attack and release of those shares."""
    envelope = np.ones(n)
    rise, fall = max(1, int(n * attack)), max(1, int(n * release))
    envelope[:rise] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(rise) / rise)
    envelope[n - fall :] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(fall) / fall)
    return envelope


def swell(rng, n, attack, release):
    """An `arch` whose shares are drawn between two bounds each."""
    return arch(n, rng.uniform(*attack), rng.uniform(*release))


def seconds(rng, low, high):
    """Samples in a random duration between `low` and `high` seconds."""
    return int(RATE * rng.uniform(low, high))


def times(n):
    """Of `n` samples, in seconds."""
    return np.arange(n) / RATE


def pause(rng, low, high):
    """Silence of a random duration between `low` and `high` seconds."""
    return np.zeros(seconds(rng, low, high))


def log_uniform(rng, low, high, size=None):
    """Between two values, every octave as likely as the others."""
    return np.exp(rng.uniform(np.log(low), np.log(high), size))


def resonators(samples, centres_hz, widths_hz, gains, highest_hz):
    """What each of several resonators side by side makes of the samples."""
    for centre, width, gain in zip(centres_hz, widths_hz, gains, strict=True):
        radius = np.exp(-np.pi * width / RATE)
        angle = 2.0 * np.pi * min(centre, highest_hz) / RATE
        a = [1.0, -2.0 * radius * np.cos(angle), radius * radius]
        yield gain * lfilter([1.0 - radius], a, samples)
