"""The "that was wrong" key: the last two seconds become an example, and the head learns it.

The audio thread only fills a ring of hops (`ProfileDetector(remember=True)`) and, later, swaps
a few references. Analysis and fitting run in a thread of their own, in under a second.
"""

import queue
import threading

import numpy as np

from gate.errors import ConfigError, GateError
from realtime.learn.profile import save_profile
from realtime.learn.recording import (
    FINE_PER_HOP,
    OPEN,
    SHUT,
    UNKNOWN,
    Recording,
    find_sounding,
    pack_energy,
    pack_log_mel,
)
from realtime.learn.refit import Refitter

_MIN_HOPS = 20


def correction_of(detector, opened_wrongly, name):
    """The last two seconds as an example of the other side.

    Parameters
    ----------
    detector : ProfileDetector
        With ``remember=True``.
    opened_wrongly : bool
        Else: stayed shut wrongly.
    name : str

    Returns
    -------
    Recording

    Raises
    ------
    GateError
        If there is nothing to learn from.
    """
    log_mel, _ = detector.recent()
    if len(log_mel) < _MIN_HOPS:
        raise GateError("nothing has been heard yet")
    profile = detector.profile
    sounding = find_sounding(log_mel)
    presence = detector.recent_presence()
    stays = profile.presence_threshold - profile.presence_hysteresis
    # What was right of these two seconds is not to be unlearned.
    wrong = sounding & ((presence >= stays) == bool(opened_wrongly))
    if not wrong.any():
        wrong = sounding
    label = np.where(wrong, SHUT if opened_wrongly else OPEN, UNKNOWN).astype(np.int8)
    energy = np.repeat(np.mean(np.exp(2.0 * log_mel), axis=1) * 1e-3, FINE_PER_HOP)
    return Recording(name, pack_log_mel(log_mel), pack_energy(energy), label, sounding)


class Corrector:
    """Corrections of a running gate, with undo.

    Parameters
    ----------
    detector : ProfileDetector
        The one that runs, with ``remember=True``.
    apply : callable
        Given a prepared detector (see `ProfileDetector.prepare`) once a new head is ready; must
        see to it that the audio thread calls ``detector.swap(prepared)`` between two blocks and
        then gives the gate its settings again. Called in the fitting thread.
    tell : callable, optional
        Given a line of text about what happened.

    Notes
    -----
    `wrong` and `undo` return at once. The old examples are analysed right away in the thread,
    so that a correction takes well under a second.
    """

    def __init__(self, detector, apply, tell=None):
        self._detector = detector
        self._apply, self._tell = apply, tell or (lambda text: None)
        self._original = detector.profile
        if not self._original.memory:
            raise GateError(f"{self._original.name}: keeps no examples, so it cannot be corrected")
        # The fit needs a detector of its own; forked here, while nothing else runs.
        self._spare = detector.detector.fork()
        self._latest = self._original
        self._corrections = []
        self._refitter = None
        self._jobs = queue.Queue()
        self._jobs.put(("warm up", None))
        self._thread = threading.Thread(target=self._work, name="corrector", daemon=True)
        self._thread.start()

    @property
    def n_corrections(self):
        """How many are in force or being learned."""
        return len(self._corrections)

    @property
    def profile(self):
        """The newest profile; in force as soon as the audio thread has taken it."""
        return self._latest

    def wrong(self, opened):
        """Say that what the gate did in the last two seconds was wrong.

        Parameters
        ----------
        opened : bool
            Whether it opened; else it stayed shut.
        """
        what = "opened wrongly" if opened else "stayed shut wrongly"
        name = f"correction {self.n_corrections + 1} ({what})"
        self._corrections.append(correction_of(self._detector, opened, name))
        self._jobs.put((tuple(self._corrections), f"learned: {what}"))

    def undo(self):
        """Take the last correction back."""
        if not self._corrections:
            raise GateError("there is no correction to undo")
        name = self._corrections.pop().name
        self._jobs.put((tuple(self._corrections), f"undone: {name}"))

    def wait(self):
        """Until all that was asked for is done; for tests and for the end of a run."""
        self._jobs.join()

    def save(self, path):
        """Write the newest profile, corrections among its examples.

        Raises
        ------
        ConfigError
            If the path is not a profile's.
        """
        if not str(path).endswith(".gate.yaml"):
            raise ConfigError(f"save={path} must end with .gate.yaml")
        self.wait()
        save_profile(self.profile, path)

    def close(self):
        """End the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self):
        while True:
            job = self._jobs.get()
            try:
                if job is None:
                    return
                corrections, text = job
                if text is None:
                    self._refitter = Refitter(self._original, self._spare)
                    continue
                self._learn(corrections)
                self._tell(text)
            except Exception as error:  # the gate goes on with the head that it has
                self._tell(f"not learned: {error}")
            finally:
                self._jobs.task_done()

    def _learn(self, corrections):
        if not corrections:
            profile = self._original
        else:
            if self._refitter is None:  # warming up failed: fail in words
                self._refitter = Refitter(self._original, self._spare)
            profile = self._refitter.fit(corrections)
        self._apply(self._detector.prepare(profile))
        self._latest = profile
