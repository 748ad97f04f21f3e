"""A signal that ends the program lets it clear up first."""

import contextlib
import signal
import threading

_TAKEN = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interrupted(KeyboardInterrupt):
    """The program was told to end.

    Attributes
    ----------
    number : int
        Of the signal.
    """

    def __init__(self, number):
        super().__init__(number)
        self.number = number


class Interrupts:
    """While entered, SIGTERM and SIGHUP end the work as Ctrl-C does: by an exception.

    The first one is raised, further ones are not: clearing up is not interrupted. One that gets
    lost in a callback of a library is raised again by `check`.
    """

    def __init__(self):
        self._number = None
        self._before = {}

    def __enter__(self):
        global _current
        if threading.current_thread() is threading.main_thread():
            for name in _TAKEN:
                number = getattr(signal, name)
                with contextlib.suppress(OSError, ValueError):
                    # One that is ignored (nohup) or has its own handler (gate-live) stays so.
                    if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                        self._before[number] = signal.signal(number, self._take)
        _current = self
        return self

    def _take(self, number, frame):
        if self._number is None:
            self._number = number
            raise Interrupted(number)

    def check(self):
        """Raise what has come before and got lost."""
        if self._number is not None:
            raise Interrupted(self._number)

    def __exit__(self, *exc):
        global _current
        _current = None
        for number, handler in self._before.items():
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, handler)


_current = None


def check_interrupt():
    """Raise a signal that got lost; for loops."""
    if _current is not None:
        _current.check()
