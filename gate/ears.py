"""Second ears: pretrained detectors heard beside the log-mel.

An ear says one number a hop, an input of the gate's own detector; it informs and never decides.
What stands here is the protocol and the arrangement around it that fails safe: an ear that is
missing, switched off or broken is silent (0), which the detector has learned to live with.
"""

import math
from typing import Protocol

import numpy as np

_MAX_RETRY_HOPS = 64


class Ear(Protocol):
    """A causal listener at the detector's sample rate.

    Attributes
    ----------
    name : str
        As in the detector's metadata.
    """

    name: str

    def process(self, samples) -> float:
        """What it says after the next hop, samples (hop_length,) float32; 0: nothing yet."""

    def process_many(self, samples) -> np.ndarray:
        """The same for many hops: (T, hop_length) -> (T,) float32."""

    def reset(self) -> None:
        """Forget all sound."""

    def fork(self) -> "Ear":
        """Another ear with a copy of the present state."""


class Ears:
    """The ears of one lane, in the order in which its detector takes them.

    Parameters
    ----------
    names : sequence of str
        What the detector takes; one column each.
    ears : sequence of Ear
        Those that there are; a name without one stays silent. They are taken over.
    counters : gate.meters.Counters
        Where failures are counted.
    rows : int
        Lanes that are heard side by side: samples and values have so many rows then.

    Attributes
    ----------
    heard : tuple of str
        Names that sound: there, and not failing at present.

    Notes
    -----
    An ear that raises or says what is not finite is reset and asked again after 1, 2, 4 .. 64
    hops; its column is 0 until it answers.
    """

    def __init__(self, names, ears, counters, rows=1):
        self.names, self.counters, self._rows = tuple(names), counters, rows
        found = {ear.name: ear for ear in ears}
        self._ears = [found.get(name) for name in self.names]
        self._values = np.zeros((rows, len(self.names)), np.float32)
        self.reset()

    def reset(self):
        """All ears to their initial state, failures forgotten."""
        self._retry_in = [0] * len(self.names)
        self._retry_hops = [1] * len(self.names)
        self._values[:] = 0.0
        for column, ear in enumerate(self._ears):
            if ear is not None:
                self._calm(column, ear)
        self._look()

    @property
    def found(self):
        """The ears that there are, heard or failing, a list."""
        return [ear for ear in self._ears if ear is not None]

    def fork(self):
        """The same ears in the same state; shares the counters."""
        other = Ears.__new__(Ears)
        other.__dict__.update(self.__dict__)
        other._ears = [None if ear is None else ear.fork() for ear in self._ears]
        other._values = self._values.copy()
        other._retry_in, other._retry_hops = list(self._retry_in), list(self._retry_hops)
        return other

    def __deepcopy__(self, memo):
        return self.fork()

    def _look(self):
        pairs = zip(self.names, self._ears, self._retry_hops, strict=True)
        self.heard = tuple(name for name, ear, wait in pairs if ear is not None and wait == 1)

    def process(self, samples):
        """Hear a hop (hop_length,); returns (rows, k) float32, overwritten by the next call."""
        for column, ear in enumerate(self._ears):
            if ear is not None:
                self._values[:, column] = self._one(column, ear, samples)
        return self._values

    def _one(self, column, ear, samples):
        if self._retry_in[column]:
            self._retry_in[column] -= 1
            return 0.0
        try:
            value = ear.process(samples)
            finite = math.isfinite(value) if self._rows == 1 else np.isfinite(value).all()
            if not finite:
                raise FloatingPointError("what the ear said is not finite")
        except Exception:
            self._fail(column, ear)
            return 0.0
        if self._retry_hops[column] > 1:
            self._retry_hops[column] = 1
            self._look()
        return value

    def process_many(self, samples):
        """Hear many hops: (T, hop_length) -> (T, k) float32."""
        values = np.zeros((len(samples), len(self.names)), np.float32)
        for column, ear in enumerate(self._ears):
            if ear is not None and len(samples):
                values[:, column] = self._many(column, ear, samples)
        return values

    def _many(self, column, ear, samples):
        if self._retry_hops[column] == 1:
            unchanged = ear.fork()
            try:
                found = ear.process_many(samples)
                if not np.isfinite(found).all():
                    raise FloatingPointError("what the ear said is not finite")
                return found
            except Exception:  # then hop by hop, as in the stream
                self._ears[column] = ear = unchanged
        return [self._one(column, ear, hop) for hop in samples]

    def _fail(self, column, ear):
        self.counters.ear_failures += 1
        self._retry_in[column] = self._retry_hops[column] - 1
        self._retry_hops[column] = max(2, min(2 * self._retry_hops[column], _MAX_RETRY_HOPS))
        self._calm(column, ear)
        self._look()

    def _calm(self, column, ear):
        try:
            ear.reset()
        except Exception:
            self.counters.ear_failures += 1
