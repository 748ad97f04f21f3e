"""Recordings with known wanted segments: what benchmarks and the trainer's evaluation hear."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


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
