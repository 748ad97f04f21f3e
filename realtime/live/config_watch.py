"""Watches the configuration file and hands over every good new reading of it."""

from pathlib import Path

from gate.errors import GateError
from realtime.live.periodic import Periodic


class ConfigWatch(Periodic):
    """Looks at a file four times a second, in a thread of its own.

    Parameters
    ----------
    path : str or Path
    read : callable
        Returns the `Config` of the file with the flags laid over it; raises `GateError`.
    first : Config
        What it said at the start.
    on_change : callable
        Called with the old and the new `Config`; may raise `GateError`.
    say : callable
        Called with one line for people.
    period_s : float
    """

    def __init__(self, path, read, first, on_change, say, period_s=0.25):
        super().__init__("config watch", period_s)
        self._path = Path(path)
        self._read = read
        self._config = first
        self._on_change = on_change
        self._say = say
        self._seen = self._settling = self._stamp()

    def look(self):
        """Read the file again if it has changed and was left alone since the last look."""
        stamp = self._stamp()
        if stamp == self._seen:
            return
        if stamp != self._settling:  # an editor may be in the middle of writing
            self._settling = stamp
            return
        self._seen = stamp
        if stamp is None:
            self._say(f"config: {self._path} is gone; what it said stays in force")
            return
        try:
            config = self._read()
            self._on_change(self._config, config)
        except GateError as error:
            self._say(f"config ignored: {error}")
            return
        self._config = config

    def _stamp(self):
        try:
            about = self._path.stat()
        except OSError:
            return None
        return about.st_mtime_ns, about.st_size, about.st_ino
