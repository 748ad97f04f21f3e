"""Starts the worker that teaches, asks it, and hears its answers."""

import contextlib
import multiprocessing
import threading

_ENDED = "the teacher's process ended; mark again to start another"


class TeachProcess:
    """A process of its own for `realtime.live.teach_worker.run_worker`; methods return at once.

    Parameters
    ----------
    model : str
        Detector to teach on.
    on_answer : callable
        Called with a request's number, an error's line or None, and what was found, from a thread.
    """

    def __init__(self, model, on_answer):
        self._model, self._on_answer = model, on_answer
        self._process = self._connection = None
        self._sending = threading.Lock()
        self._asked = self._answered = 0

    def start(self):
        """Start it unless it runs: it loads the detector meanwhile."""
        if self._process is not None and self._process.is_alive():
            return
        from realtime.live.teach_worker import run_worker

        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        with self._sending:
            self._connection = ours
        self._process = context.Process(
            target=run_worker, args=(theirs, self._model), name="gate-live teacher", daemon=True
        )
        self._process.start()
        theirs.close()
        threading.Thread(target=self._listen, args=(ours,), name="teacher", daemon=True).start()

    def ask(self, number, base, marks, path):
        """Ask for a profile; parameters are those of `TeachWorker.answer`."""
        self._asked = number
        try:
            with self._sending:
                self._connection.send((number, base, marks, path))
        except OSError:
            self._tell_end()

    def _listen(self, connection):
        with contextlib.suppress(EOFError, OSError):
            while True:
                number, error, found = connection.recv()
                self._answered = number
                self._on_answer(number, error, found)
        if connection is self._connection:
            self._tell_end()

    def _tell_end(self):
        """Once for what is still to be answered."""
        if self._asked != self._answered:
            self._answered = self._asked
            self._on_answer(self._asked, _ENDED, {})

    def close(self):
        """End it, by force where it is busy."""
        with self._sending:
            connection, self._connection = self._connection, None
            if connection is not None:
                with contextlib.suppress(OSError):
                    connection.send(None)
        if self._process is None:
            return
        self._process.join(0.2)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(1.0)
        connection.close()
