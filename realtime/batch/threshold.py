"""A threshold for a voice that is softer than expected: the hint, and ``--threshold-db auto``."""

import numpy as np

from gate.errors import ConfigError
from gate.threshold_hint import PATIENCE_S, SpeechLevel, ThresholdHint
from realtime.engine import NO_MODEL

_LOWEST_DB = -100.0
_ENOUGH_S = 0.3  # of speech, for a threshold from a file


class _Hops:
    """Collects what the first lane hears until it is asked."""

    def __init__(self):
        self._parts = [(np.zeros(0, bool), np.zeros(0, "f4"), np.zeros(0, bool))]

    def hops(self, lane, table, threshold):
        """Take hops; `threshold` is that of the presence, for the classic rule."""
        if lane == 0:
            by_evidence = table["evidence_high"] > table["evidence_low"]
            present = np.where(by_evidence, table["evidence"] > 0, table["presence"] >= threshold)
            levels = np.nan_to_num(table["key_level_dbfs"].astype("f4"), nan=0.0)
            self._parts.append((present, levels, table["open"]))

    def take(self):
        """(present, level in dBFS, open) of the hops since the last call."""
        taken = tuple(map(np.concatenate, zip(*self._parts, strict=True)))
        self.__init__()
        return taken


class Hint:
    """Says that the wanted sound stays below the threshold, where it does for ten seconds.

    Parameters
    ----------
    gate : GateProcessor
        Needs a detector; one that goes by level alone is told apart by `wanted`.
    """

    def __init__(self, gate):
        self._gate, self._hint, self._hops = gate, ThresholdHint(), _Hops()

    @staticmethod
    def wanted(config):
        """Whether there is a detector that could hear it."""
        return config.engine.model != NO_MODEL and not config.gate.bypass

    def hops(self, lane, table):
        """Take decisions; has the form of `GateProcessor.on_hops`."""
        self._hops.hops(lane, table, self._gate.presence_threshold)

    def look(self):
        """Judge the hops so far."""
        self._hint.hops(*self._hops.take(), self._gate.settings.threshold_db)

    def note(self):
        """The line for people, or None."""
        self.look()
        settings = self._gate.settings
        return self._hint.text(settings.threshold_db, self._hint.longest, settings.target)


class AutoThreshold:
    """Takes the threshold from the first ten seconds of the wanted sound; for pipes.

    Parameters
    ----------
    gate : GateProcessor
        Its settings are changed once.
    """

    def __init__(self, gate):
        self._gate, self._level, self._hops = gate, SpeechLevel(), _Hops()
        self.note = None

    def hops(self, lane, table):
        """Take decisions; has the form of `GateProcessor.on_hops`."""
        if self.note is None:
            self._hops.hops(lane, table, self._gate.presence_threshold)

    def look(self):
        """Judge the hops so far."""
        if self.note is not None:
            return
        present, levels, _ = self._hops.take()
        self._level.add(levels[present])
        if self._level.seconds >= PATIENCE_S:
            settings = self._gate.settings
            self._gate.settings = settings.with_changes({"threshold_db": self._level.threshold_db})
            self.note = _chosen(self._level, settings.target)


def check_auto(config):
    """Refuse ``auto`` where nothing tells the wanted sound from the rest.

    Raises
    ------
    ConfigError
    """
    if config.engine.auto_threshold and config.engine.model == NO_MODEL:
        raise ConfigError("threshold_db=auto needs a detector: it is taken from the wanted sound")


def threshold_of_file(gate, chunks, key):
    """Listen to a file for its threshold.

    Parameters
    ----------
    gate : gate.hindsight.FileGate
        Used up.
    chunks : iterable of ndarray
        The file.
    key : object with ``take(n)``, or None
        External key.

    Returns
    -------
    (float or None, str)
        The threshold in dBFS, None where the wanted sound was not heard; and a line for people.
    """
    level, hops = SpeechLevel(), _Hops()
    gate.settings = gate.settings.with_changes({"threshold_db": _LOWEST_DB})
    threshold = gate.presence_threshold
    gate.on_hops = lambda lane, table: hops.hops(lane, table, threshold)
    for audio in chunks:
        gate.feed(audio, None if key is None else key.take(len(audio)))
        present, levels, _ = hops.take()
        level.add(levels[present])
    if level.seconds < _ENOUGH_S:
        target = gate.settings.target
        return None, f"no {target} was heard to take a threshold from; the one set is kept"
    return level.threshold_db, _chosen(level, gate.settings.target)


def _chosen(level, target):
    return f"threshold {level.threshold_db:g} dBFS, from {target} at {level.speech_dbfs:.0f}"
