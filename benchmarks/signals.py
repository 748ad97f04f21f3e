"""Sound for the timing benchmarks: the sample talk, at any rate, length and channel count."""

import numpy as np

from realtime.models import sample_path
from training.corpus.decode import read_mono, resample

SENTENCES_S = ((1.25, 3.67), (5.42, 7.03), (9.27, 12.50), (14.05, 16.60))
"""Where the sample talk speaks, by the script that made it; between them it types."""


def sample_talk():
    """The recording that comes with the gate: samples (n,) float32, sample rate."""
    return read_mono(sample_path())


def talk(sample_rate, seconds, channels=1):
    """The talk repeated to a length, shape (n, channels), float32; channels start apart."""
    samples, rate = sample_talk()
    samples = resample(samples, rate, sample_rate)
    n = round(seconds * sample_rate)
    shift = round(1.7 * sample_rate)
    columns = [np.resize(np.roll(samples, -k * shift), n) for k in range(channels)]
    return np.ascontiguousarray(np.stack(columns, axis=1), dtype=np.float32)
