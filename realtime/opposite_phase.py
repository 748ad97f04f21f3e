"""Channels in opposite phase: heard by a linked gate, lost in a mix to one."""

import numpy as np

_OPPOSITE = -0.9  # correlation
_QUIETEST = 1e-7  # mean square of a channel that says something, -70 dBFS


class OppositePhase:
    """Watches for two channels that would all but vanish when they are mixed to one.

    Parameters
    ----------
    numbers : sequence of int
        What the channels are called.

    Attributes
    ----------
    n_samples : int
        Heard so far.
    """

    def __init__(self, numbers):
        self._numbers = list(numbers)
        self._products = np.zeros((len(self._numbers), len(self._numbers)))
        self.n_samples = 0

    def add(self, samples):
        """Take samples (n, channels)."""
        products = np.dot(samples.T, samples)
        if not np.isfinite(products).all():
            finite = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
            products = np.dot(finite.T, finite)
        self._products += products
        self.n_samples += len(samples)

    def note(self):
        """A line for people, or None."""
        power = np.diag(self._products)
        scale = np.sqrt(np.outer(power, power))
        heard = scale > _QUIETEST * max(self.n_samples, 1)
        likeness = np.divide(self._products, scale, out=np.zeros_like(scale), where=heard)
        first, second = np.unravel_index(np.argmin(likeness), likeness.shape)
        if likeness[first, second] > _OPPOSITE:
            return None
        return (
            f"channels {self._numbers[first]} and {self._numbers[second]} are in opposite phase "
            f"(correlation {likeness[first, second]:.2f}): mixed to one they would all but vanish; "
            "the gate hears them by power"
        )
