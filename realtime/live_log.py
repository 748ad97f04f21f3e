"""The views without a screen: a line now and then, or JSON once a second."""

import json
import sys
import threading
import time

from realtime.live_status import log_line, snapshot


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

    def say(self, line):
        """An event, for people."""
        with self._printing:
            print(time.strftime("%H:%M:%S"), line, file=self._out, flush=True)

    def run(self, stop):
        """Until the event `stop` is set."""
        while not stop.wait(self._period_s):
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

    def say(self, line):
        """An event: told with the next object."""
        self._events.append(line)

    def run(self, stop):
        """Until the event `stop` is set."""
        while not stop.wait(self._period_s):
            self._print()
        self._print()

    def _print(self):
        events, self._events = self._events, []
        status = snapshot(self._state, self._control)
        line = {"time": round(time.time(), 3), **status, "events": events}
        print(json.dumps(line), file=self._out, flush=True)
