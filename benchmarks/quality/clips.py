"""What a benchmark listens to: recordings with known wanted segments."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gate.errors import AudioFileError


class Sound(NamedTuple):
    """The samples of a clip.

    Attributes
    ----------
    audio : ndarray, shape (n,), float32
        What the gate hears.
    wanted, unwanted : ndarray, shape (n,), or None
        Its two parts, where they are known apart; they add up to `audio`.
    """

    audio: np.ndarray
    wanted: np.ndarray | None = None
    unwanted: np.ndarray | None = None


@dataclass(frozen=True)
class Clip:
    """One recording of an evaluation set, loaded on demand.

    Attributes
    ----------
    name : str
        Unique within the set.
    group : str
        The row of the table it counts in: ``clean``, ``10 dB``, ``meeting``, ``noise``, ...
    cluster : str
        Clips with the same cluster share sounds; the bootstrap draws clusters.
    load : callable
        Returns a `Loaded`.
    """

    name: str
    group: str
    cluster: str
    load: Callable


class Loaded(NamedTuple):
    """A clip in memory.

    Attributes
    ----------
    sound : Sound
    sample_rate : int
        Hz.
    segments : ndarray, shape (k, 2)
        Wanted segments in seconds, in order.
    """

    sound: Sound
    sample_rate: int
    segments: np.ndarray

    @property
    def duration_s(self):
        """Length in seconds."""
        return len(self.sound.audio) / self.sample_rate


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
