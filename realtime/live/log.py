"""The views without a screen: a line now and then, or JSON once a second."""

import json
import os
import sys
import threading
import time

from realtime.live.status import log_line, snapshot


class LogView:
    """Prints a line every `period_s` seconds, and events when they happen.

    Parameters
    ----------
    state : SharedState
    control : LiveControl
    period_s : float
    out : file, optional
        Standard output by default.
    """

    def __init__(self, state, control, period_s=10.0, out=None):
        self._state = state
        self._control = control
        self._period_s = period_s
        self._out = out or sys.stdout
        self._printing = threading.Lock()
        self._heard = True

    def say(self, line):
        """An event, for people."""
        with self._printing:
            self._heard = _print(f"{time.strftime('%H:%M:%S')} {line}", self._out)

    def run(self, stop):
        """Until the event `stop` is set or nobody reads any more."""
        while self._heard and not stop.wait(self._period_s):
            self.say(log_line(snapshot(self._state, self._control)))


class JsonView:
    """Prints a JSON object a second; what happened since the last one is its ``events``.

    Parameters are `LogView`'s.
    """

    def __init__(self, state, control, period_s=1.0, out=None):
        self._state = state
        self._control = control
        self._period_s = period_s
        self._out = out or sys.stdout
        self._events = []
        self._adding = threading.Lock()

    def say(self, line):
        """An event: told with the next object."""
        with self._adding:
            self._events.append(line)

    def run(self, stop):
        """Until the event `stop` is set or nobody reads any more."""
        heard = True
        while heard and not stop.wait(self._period_s):
            heard = self._tell()
        self._tell()

    def _tell(self):
        with self._adding:
            events, self._events = self._events, []
        status = snapshot(self._state, self._control)
        line = {"time": round(time.time(), 3), **status, "events": events}
        return _print(json.dumps(line), self._out)


def _print(line, out):
    """Print a line; whether there is still somebody who reads."""
    try:
        print(line, file=out, flush=True)
    except (OSError, ValueError):  # the reader of a pipe has left
        if out is sys.stdout:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nor shall Python's farewell fail
        return False
    return True
