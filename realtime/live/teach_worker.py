"""The process in which a running gate is taught, beside the one in which its sound flows.

Requests come in over a pipe and are done one after the other; whoever asks again before an answer
is there looks at the last answer only. Between requests everything that took time is kept: the
detector, what was taught up to the last mark, and the analysis that makes corrections quick.
"""

import realtime.one_thread  # noqa: F401  # isort: skip  # before numpy

import contextlib
import os
import signal

from gate.errors import GateError
from realtime.learn.remarks import TeachingNotes

_NICE = 10


def run_worker(connection, model):
    """Entry point of the process.

    Parameters
    ----------
    connection : multiprocessing.connection.Connection
        Requests ``(number, base, marks, path)`` in, answers ``(number, error, found)`` out; a
        request of None ends it.
    model : str
        Detector to teach on.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # the interface's to handle
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):
        os.nice(_NICE)
    worker = TeachWorker(model)
    with contextlib.suppress(EOFError, OSError):
        worker.warm_up()
        while (request := connection.recv()) is not None:
            while connection.poll():
                newer = connection.recv()
                if newer is None:
                    return
                request = newer
            connection.send(worker.answer(*request))


class TeachWorker:
    """Teaches; all that `run_worker` does, without a pipe.

    Parameters
    ----------
    model : str or Detector
    """

    def __init__(self, model):
        self._model = model
        self._detector = None
        self._bases = {}
        self._taught = (None, None)
        self._refitter = (None, None)

    def warm_up(self):
        """Load what the first request needs; what fails here fails again there, in words."""
        with contextlib.suppress(Exception):
            self._open()
            import realtime.learn.teach  # noqa: F401

    def answer(self, number, base, marks, path):
        """Teach with these marks and write the profile.

        Parameters
        ----------
        number : int
            Of the request.
        base : str or None
            Profile whose examples count, too.
        marks : list of Mark
            In order.
        path : str
            Where the profile goes.

        Returns
        -------
        tuple
            The number, an error's line or None, and a dict: ``path``, ``quality`` (balanced
            accuracy that the estimate expects), ``warnings``.
        """
        from realtime.learn.profile import save_profile

        notes = TeachingNotes()
        try:
            profile = self._profile(base, marks, notes)
            save_profile(profile, path)
        except GateError as error:
            return number, str(error), {}
        except Exception as error:  # the gate goes on with what it has
            return number, f"{type(error).__name__}: {error}", {}
        found = {
            "path": str(path),
            "quality": profile.expected.get("balanced_accuracy"),
            "warnings": notes.warnings,
        }
        return number, None, found

    def _open(self):
        if self._detector is None:
            from realtime.engine import open_detector

            self._detector = open_detector(self._model)
        return self._detector

    def _profile(self, base, marks, notes):
        """What is taught up to the last mark, refitted with the corrections after it."""
        from realtime.learn.refit import Refitter

        last = max((i + 1 for i, mark in enumerate(marks) if not mark.is_correction), default=0)
        if base is None and last == 0:
            last = len(marks)  # corrections of an untaught gate are marks
        key = (base, tuple(mark.recording.name for mark in marks[:last]))
        if self._taught[0] != key:
            self._taught = (key, self._teach(base, marks[:last], notes))
        profile = self._taught[1]
        later = [mark.recording for mark in marks[last:]]
        if not later:
            return profile
        if self._refitter[0] is not profile:
            self._refitter = (profile, Refitter(profile, self._open()))
        return self._refitter[1].fit(later)

    def _teach(self, base, marks, notes):
        from realtime.learn.teach import teach

        known = None if base is None else self._base(base)
        if not marks:
            return known
        recordings = [mark.recording for mark in marks]
        if known is not None:
            recordings = [*known.memory, *recordings]
        name = "taught" if known is None else known.name
        return teach(recordings, self._open(), notes, name).profile

    def _base(self, path):
        from realtime.learn.profile import load_profile

        if path not in self._bases:
            profile = load_profile(path)
            if not profile.memory:
                raise GateError(f"{path}: keeps no examples, so nothing can be added to it")
            self._bases[path] = profile
        return self._bases[path]
