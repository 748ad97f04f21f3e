"""Samples of a file, mono, at its own rate or another."""

import numpy as np

from gate.errors import AudioFileError

SAMPLE_RATE = 16000
"""Hz that detectors hear."""


def read_mono(path, choose_start=None, seconds=None):
    """Samples (n,) float32 and sample rate of a file; channels are averaged.

    Parameters
    ----------
    path : path-like
    choose_start : callable, optional
        Given the file's length in seconds, returns where to begin.
    seconds : float, optional
        Read at most so much.

    Raises
    ------
    AudioFileError
    """
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            if choose_start is not None:
                file.seek(round(choose_start(file.frames / rate) * rate))
            frames = -1 if seconds is None else round(seconds * rate)
            samples = file.read(frames, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise AudioFileError(f"{path}: cannot be read ({error})") from None
    if not len(samples):
        raise AudioFileError(f"{path}: holds no sound")
    return samples.mean(axis=1), rate


def resample(samples, rate, new_rate):
    """Resample a whole recording, without delay."""
    if rate == new_rate:
        return samples
    try:
        import soxr
    except ImportError:
        raise AudioFileError('soxr is missing: pip install "exemplar-gate[bench]"') from None
    return soxr.resample(samples, rate, new_rate, quality="HQ").astype(np.float32)


def decode(path):
    """A file as mono float32 at `SAMPLE_RATE`."""
    return resample(*read_mono(path), SAMPLE_RATE)
