"""The stream's side of "that was wrong": finds the taught detector, labels, learns, saves."""

from collections import deque

from gate.errors import GateError
from realtime.learn.correct import Corrector
from realtime.learn.profile import save_profile
from realtime.learn.profile_detector import WINDOW_HOPS, ProfileDetector
from realtime.live.shared_state import HOP_FIELDS

_OPEN_SHARE = 0.1  # of the last two seconds: from here on, what was wrong was opening


def taught_detectors(gate):
    """(what the lane holds, the `ProfileDetector` in it) of every lane that has a profile."""
    found = []
    for lane in gate.lanes:
        inner = getattr(lane.detector, "wrapped", lane.detector)
        if isinstance(inner, ProfileDetector):
            found.append((lane.detector, inner))
    return found


class LiveCorrections:
    """Corrections of the stream that runs now.

    Parameters
    ----------
    state : SharedState
        Tells whether the gate was open lately.
    save_to : callable
        Returns the profile's path to write after every correction, or None.

    Attributes
    ----------
    lines : deque of str
        What happened, for the interface; filled from the fitting thread.
    """

    def __init__(self, state, save_to):
        self._state = state
        self._save_to = save_to
        self._path = self._corrector = self._mine = None
        self.lines = deque(maxlen=50)

    def attach(self, path):
        """Take the `AudioPath` that has just begun to flow; analyses the examples meanwhile."""
        self._path = path
        self._find()

    def _find(self):
        """The corrector of the profile that runs; a new one after another was loaded."""
        lanes = taught_detectors(self._path.gate) if self._path is not None else []
        if not lanes:
            self._corrector = self._mine = None
            return None
        first = lanes[0][1]
        if self._mine is not first:
            self._corrector, self._mine = None, first
            if first.profile.memory:
                self._corrector = Corrector(first, self._apply, self._told)
        return self._corrector

    def _need(self):
        corrector = self._find()
        if corrector is None:
            raise GateError("only a profile that keeps its examples can be corrected (--profile)")
        return corrector

    def wrong(self):
        """What the gate did in the last two seconds was wrong: it opened, or it stayed shut."""
        hops, _ = self._state.hops_since(-WINDOW_HOPS)
        opened = bool(len(hops)) and hops[:, HOP_FIELDS.index("open")].mean() >= _OPEN_SHARE
        self._need().wrong(opened)
        self.lines.append("learning: " + ("opened wrongly" if opened else "stayed shut wrongly"))

    def undo(self):
        """Take the last correction back."""
        self._need().undo()

    def _apply(self, prepared):
        def change(gate):
            for holder, detector in taught_detectors(gate):
                detector.swap(prepared)
                holder.info = detector.info
            gate.settings = gate.settings

        self._path.changes.append(change)

    def _told(self, text):
        self.lines.append(text)
        path = self._save_to()
        if path is not None and not text.startswith("not learned"):
            try:
                save_profile(self._corrector.profile, path)
                self.lines.append(f"saved: {path}")
            except GateError as error:
                self.lines.append(str(error))
