"""The screen of `gate-live`: draws ten times a second and on every change, listens to keys."""

import signal
import threading
import time
from collections import deque

from gate.errors import GateError
from realtime.live.keyboard import Keyboard
from realtime.live.panels import hops_needed, in_letters_of, screen
from realtime.live.status import snapshot

_PERIOD_S = 0.1


class ScreenView:
    """Takes the terminal over until `stop` is set or q is pressed, then puts it back.

    Parameters
    ----------
    state : SharedState
    control : LiveControl
    """

    def __init__(self, state, control):
        self._state = state
        self._control = control
        self._events = deque(maxlen=50)
        self._adding = threading.Lock()
        c = control
        self.keys = {
            "up": lambda: c.nudge("threshold_db", 1.0),
            "down": lambda: c.nudge("threshold_db", -1.0),
            "right": lambda: c.nudge("range_db", 3.0),
            "left": lambda: c.nudge("range_db", -3.0),
            "]": lambda: c.nudge("lookahead_ms", 1.0),
            "[": lambda: c.nudge("lookahead_ms", -1.0),
            "b": lambda: c.toggle("bypass"),
            "l": lambda: c.toggle("key_listen"),
            "m": lambda: c.toggle("muted"),
            "t": c.next_target,
            "p": c.next_profile,
            "o": c.mark_open,
            "s": c.mark_shut,
            "w": c.wrong,
            "u": c.undo_mark,
            "h": c.take_hint,
        }

    def say(self, line):
        """An event: shown at the bottom."""
        with self._adding:
            self._events.append(f"{time.strftime('%H:%M:%S')} {line}")

    def run(self, stop):
        """Until the event `stop` is set or q is pressed."""
        from rich.console import Console
        from rich.live import Live

        console = Console()
        suspend = getattr(signal, "SIGTSTP", None)
        before = signal.signal(suspend, signal.SIG_IGN) if suspend else None
        try:
            with (
                Keyboard() as keyboard,
                Live(console=console, screen=True, auto_refresh=False) as live,
            ):
                while not stop.is_set():
                    shown = self._control.in_force
                    text = in_letters_of(self._draw(console.size), console.encoding)
                    live.update(text, refresh=True)
                    drawn = time.monotonic()
                    while not stop.is_set() and time.monotonic() < drawn + _PERIOD_S:
                        if shown != self._control.in_force:  # by OSC, a page, the configuration
                            break
                        for key in keyboard.read(0.02):
                            if key == "q":
                                return
                            self.press(key)
        finally:
            if suspend:
                signal.signal(suspend, before)

    def press(self, key):
        """Do what a key does."""
        action = self.keys.get(key)
        if action is None:
            return
        try:
            action()
        except GateError as error:
            self.say(str(error))

    def _draw(self, size):
        status = snapshot(self._state, self._control)
        hops, row = self._state.hops_since(-hops_needed(size.width))
        with self._adding:
            events = list(self._events)
        return screen(status, self._control.stream, hops, row, events, size.width, size.height)
