"""Watches what the gate decides, and says which threshold would open it for a voice below it."""

import numpy as np

from gate.errors import GateError
from gate.threshold_hint import PATIENCE_S, SpeechLevel, ThresholdHint
from realtime.engine import NO_MODEL
from realtime.live.periodic import Periodic
from realtime.live.shared_state import column, present

_PERIOD_S = 0.25
_SILENT_DBFS = -95.0  # what is softer is no voice, whatever a detector says


class LiveHint(Periodic):
    """Looks at the new hops four times a second, in a thread of its own.

    Parameters
    ----------
    state : SharedState
    control : LiveControl
        Told of the hint once, and asked for the threshold that suits where `automatic`.
    automatic : bool
        Set the threshold from the first ten seconds of the target, once.
    """

    def __init__(self, state, control, automatic=False):
        super().__init__("hint", _PERIOD_S)
        self._state, self._control = state, control
        self._hint = ThresholdHint()
        self._level = SpeechLevel() if automatic else None
        self._row = 0
        self._threshold_db = None
        self._said = False

    @property
    def found(self):
        """Level of the sound and a threshold that would work, in dBFS, or None."""
        return self._hint.found

    def status(self, threshold_db):
        """What the view shows."""
        found = self.found
        waiting = None
        if self._level is not None:
            waiting = round(max(0.0, PATIENCE_S - self._level.seconds), 1)
        return {
            "hint": self._hint.text(threshold_db, found, self._control.settings.target),
            "hint_threshold_db": found and found[1],
            "auto_threshold_s": waiting,
        }

    def look(self):
        """Take the hops since the last look in."""
        control = self._control
        hops, self._row = self._state.hops_since(self._row)
        threshold_db = control.settings.threshold_db
        if threshold_db != self._threshold_db:  # a hint about another threshold is none
            self._threshold_db = threshold_db
            self._hint.reset()
            self._said = False
        if not len(hops) or control.config.engine.model == NO_MODEL:
            return
        levels = np.nan_to_num(column(hops, "key_level_dbfs"), nan=0.0)
        heard = present(hops, control.presence_thresholds[0]) & (levels > _SILENT_DBFS)
        if self._level is not None:
            self._level.add(levels[heard])
            if self._level.seconds >= PATIENCE_S:
                self._take_automatic()
                return
        self._hint.hops(heard, levels, column(hops, "open"), threshold_db)
        if self.found and not self._said:
            self._said = True
            control.say(self._hint.text(threshold_db, what=control.settings.target))
        if not self.found:
            self._said = False

    def _take_automatic(self):
        level, self._level = self._level, None
        try:
            self._control.change({"threshold_db": level.threshold_db}, "auto")
        except GateError as error:
            self._control.say(str(error))
