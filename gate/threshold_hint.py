"""Finds out that the wanted sound lies below the threshold, and which threshold would do."""

import itertools

import numpy as np

from gate.settings import RANGES

HOP_S = 0.01
PATIENCE_S = 10.0
"""Seconds of presence below the threshold after which that is said."""

_LOWEST_DBFS, _STEP_DB, _STEPS = -120.0, 0.5, 241
_BELOW_MEDIAN_DB = 6.0
_SOFT_SHARE = 0.1


class SpeechLevel:
    """Key levels of the hops on which the target was present, as a histogram.

    Notes
    -----
    State: counts of 0.5 dB from -120 to 0 dBFS.
    """

    def __init__(self):
        self.reset()

    def reset(self):
        """Forget all."""
        self._counts = np.zeros(_STEPS, np.int64)

    def add(self, levels_dbfs):
        """Count the key levels of hops, shape (n,)."""
        steps = np.rint((np.asarray(levels_dbfs) - _LOWEST_DBFS) / _STEP_DB)
        self._counts += np.bincount(np.clip(steps, 0, _STEPS - 1).astype(int), minlength=_STEPS)

    @property
    def seconds(self):
        """How much was counted."""
        return float(self._counts.sum()) * HOP_S

    def quantile_dbfs(self, share):
        """Level below which a share of the hops lies; None before the first."""
        total = np.cumsum(self._counts)
        if total[-1] == 0:
            return None
        return _LOWEST_DBFS + _STEP_DB * int(np.searchsorted(total, share * total[-1]))

    @property
    def speech_dbfs(self):
        """The median; None before the first hop."""
        return self.quantile_dbfs(0.5)

    @property
    def threshold_db(self):
        """A threshold below nine tenths of it and at least 6 dB below its median; None at first.

        Worked: levels around -58 dBFS whose softest tenth begins at -63 give -64.
        """
        median = self.speech_dbfs
        if median is None:
            return None
        low, high = RANGES["threshold_db"]
        threshold = np.floor(min(median - _BELOW_MEDIAN_DB, self.quantile_dbfs(_SOFT_SHARE)))
        return float(min(max(threshold, low), high))


class ThresholdHint:
    """Watches the hops of a gate for a target that is present and stays below the threshold.

    Attributes
    ----------
    found : tuple of float or None
        Level of the sound and the threshold that would work, both dBFS, once ten seconds of
        presence have passed since the gate was last open.
    longest : tuple of float or None
        The same, and it stays: for files.
    """

    def __init__(self):
        self._level = SpeechLevel()
        self.reset()

    def reset(self):
        """Forget all."""
        self._level.reset()
        self.found = self.longest = None

    def hops(self, present, key_level_dbfs, is_open, threshold_db):
        """Take hops in.

        Parameters
        ----------
        present, is_open : ndarray, shape (n,), bool
            Whether the target is present, whether the gate was open.
        key_level_dbfs : ndarray, shape (n,)
        threshold_db : float
        """
        present, is_open = np.asarray(present, bool), np.asarray(is_open, bool)
        levels = np.asarray(key_level_dbfs)
        turns = np.flatnonzero(is_open[1:] != is_open[:-1]) + 1
        for begin, end in itertools.pairwise([0, *turns.tolist(), len(is_open)]):
            part = slice(begin, end)
            if begin == end:
                continue
            if is_open[begin]:
                self._level.reset()
                self.found = None
            else:
                below = present[part] & (levels[part] <= threshold_db)
                self._level.add(levels[part][below])
                self._judge(threshold_db)

    def _judge(self, threshold_db):
        if self._level.seconds < PATIENCE_S:
            return
        suggested = self._level.threshold_db
        if suggested < threshold_db:
            self.found = self.longest = (self._level.speech_dbfs, suggested)

    def text(self, threshold_db, found=None, what="speech"):
        """`found` as a line for people, or None."""
        found = found or self.found
        if found is None:
            return None
        return (
            f"{what} at {found[0]:.0f} dBFS stays below {threshold_db:g}: "
            f"try --threshold-db {found[1]:.0f}"
        )
