"""A look at something, every so often, in a thread of its own."""

import threading


class Periodic:
    """Calls `look` every `period_s` seconds from `start` to `stop`.

    Parameters
    ----------
    name : str
        Of the thread.
    period_s : float
    """

    def __init__(self, name, period_s):
        self._period_s = period_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=name, daemon=True)

    def start(self):
        """Begin to watch."""
        self._thread.start()

    def stop(self):
        """End."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(5.0)

    def look(self):
        """What is done every time."""
        raise NotImplementedError

    def _watch(self):
        while not self._stopping.wait(self._period_s):
            self.look()
