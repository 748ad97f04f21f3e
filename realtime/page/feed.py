"""What a page is sent: hops since the last frame and what has changed. No network here."""

import json
import math

import numpy as np

from gate.settings import CHOICES, RANGES
from realtime.live.shared_state import HOP_FIELDS
from realtime.live.status import snapshot
from realtime.page.health import Health

HISTORY_HOPS = 1000
"""Ten seconds: what the page draws."""
_SCALES = {"input_dbfs": 10, "key_level_dbfs": 10, "presence": 1000, "evidence": 100, "gain_db": 10,
           "open": 1}  # fmt: skip
_COLUMNS = tuple(name for name in _SCALES if name in HOP_FIELDS)
_TAKE = [HOP_FIELDS.index(name) for name in _COLUMNS]
_FACTORS = np.array([_SCALES[name] for name in _COLUMNS], np.float64)
_LIMIT = 2.0**31
_MOST_EVENTS = 20
# Once every so many frames: the figures over seconds, which cost more to look up.
_SLOW_EVERY = 5
_FAST = ("reason", "open", "attack_ms", "hold_ms", "release_ms", "key_low_hz", "key_high_hz",
         "evidence_low", "evidence_high")  # fmt: skip


class Feed:
    """Makes messages out of the shared state and the control.

    Parameters
    ----------
    state : SharedState
    control : LiveControl
    version : str
        Of the page's files: a page that holds others loads itself anew.
    """

    def __init__(self, state, control, version=""):
        self._state = state
        self._control = control
        self._version = version
        self._health = Health()
        self._row = state.hop_rows
        self._event = 0
        self._ticks = 0
        self._slow = {}
        self._sent = {}

    def hello(self):
        """Everything up to the last frame, for a page that knows nothing: JSON text.

        What has changed since is in the next frame, for this page as for the others.
        """
        rows, end = self._state.hops_since(max(self._row - HISTORY_HOPS, 0))
        rows = rows[: max(len(rows) - (end - self._row), 0)]
        events, _ = self._control.events_since(0)
        return _text({
            "hello": {
                "version": self._version,
                "columns": _COLUMNS,
                "factors": [_SCALES[name] for name in _COLUMNS],
                "history": HISTORY_HOPS,
                "ranges": RANGES,
                "choices": CHOICES,
            },
            "row": self._row - len(rows),
            "hops": whole_numbers(rows),
            "now": self._sent,
            "events": [e for e in events if e["number"] <= self._event][-_MOST_EVENTS:],
        })  # fmt: skip

    def frame(self, soon=False):
        """What is new since the last frame: JSON text.

        Parameters
        ----------
        soon : bool
            Look everything up now: somebody has just done something.
        """
        self._ticks += 1
        changed = self._look(slow=soon or self._ticks % _SLOW_EVERY == 0)
        rows, end = self._state.hops_since(self._row)
        rows = rows[-HISTORY_HOPS:]
        message = {"row": end - len(rows), "hops": whole_numbers(rows)}
        self._row = end
        if changed:
            message["now"] = changed
        events, self._event = self._control.events_since(self._event)
        if events:
            message["events"] = events[-_MOST_EVENTS:]
        return _text(message)

    def _look(self, slow):
        """Look the fields up; returns those that differ from what was sent."""
        control = self._control
        if slow or not self._slow:
            self._slow = self._look_slowly()
        hop = self._state.last_hop() or {}
        now = {**self._slow, **control.settings.to_mapping()}
        now.update((name, _known(hop.get(name))) for name in _FAST)
        now.update(muted=control.muted, profile=control.profile, targets=control.targets)
        changed = {k: v for k, v in now.items() if k not in self._sent or self._sent[k] != v}
        self._sent = now
        return changed

    def _look_slowly(self):
        status = snapshot(self._state, self._control)
        for name in HOP_FIELDS:
            status.pop(name, None)
        lines, summary = self._health.lines(status)
        for name in ("callbacks", "frames"):  # these change all the time and nobody reads them
            status.pop(name, None)
        stream = {k: v for k, v in self._control.stream.items() if k != "event"}
        profiles = [{"name": p["name"], "path": p["path"]} for p in self._control.profiles()]
        return {**status, "stream": stream, "health": lines, "summary": summary,
                "profiles": profiles}  # fmt: skip


def whole_numbers(rows):
    """Hops as lists of whole numbers, each column times its factor; None for not known.

    Parameters
    ----------
    rows : ndarray, shape (n, len(HOP_FIELDS))

    Returns
    -------
    list of list of int or None
    """
    scaled = np.rint(np.clip(rows[:, _TAKE] * _FACTORS, -_LIMIT, _LIMIT))
    return [[None if v != v else int(v) for v in row] for row in scaled.tolist()]


def _known(value):
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None
    return value


def _text(message):
    return json.dumps(message, separators=(",", ":"), allow_nan=False)
