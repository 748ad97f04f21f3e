"""Teaching a gate while it runs: marks are collected, a worker fits, the stream goes over to it."""

import shutil
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

from gate.errors import ConfigError, GateError
from realtime.engine import NO_MODEL
from realtime.learn.recording import OPEN, SHUT
from realtime.live.marks import correction_of, mark_of, seconds
from realtime.live.teach_process import TeachProcess

NEED_S, GOOD_S = 5.0, 10.0
"""Seconds of sound to open on from which on the gate is taught, and to stay shut on that are asked
for beside the world; from which more adds little."""

_NEXT = {
    "off": "this gate cannot be taught: it has no detector, or runs in engine native",
    "open": "make the sound that should open the gate for some seconds, then mark it as open",
    "shut": "it stays shut on everyday sounds already; for more, make what should stay shut and "
    "mark it as shut",
    "more open": "some more of what should open the gate, please: mark it as open",
    "more shut": "some more of what should stay shut, please: mark it as shut",
    "fitting": "learning: go on making sounds, it takes a few seconds",
    "try": "try it: say what was wrong, mark more, undo, or keep it under a name",
    "failed": "it could not be learned: undo, or mark more",
}


def own_file(save, base):
    """The file that may be written anew after every fit: the profile that runs, or None.

    Parameters
    ----------
    save : bool or str
        As for `LiveTeaching`.
    base : str or None
        Profile that the stream starts with.

    Raises
    ------
    ConfigError
        For a name that is no name, or that is taken by another profile.
    """
    from realtime.learn.profile_folder import profile_path

    if save is True and base is not None:
        return Path(base)
    if not isinstance(save, str):
        return None
    path = profile_path(save)
    if base is not None and path.resolve() == Path(base).resolve():
        return path
    if path.exists():
        raise ConfigError(f"save={save}: {path} is there already; choose another name")
    return None


class LiveTeaching:
    """Marks, the worker, and what the view shows of both. Methods return at once.

    Parameters
    ----------
    state : SharedState
        What was heard and decided.
    model : str
        Detector.
    use : callable
        Given the path of a profile, or None: the stream is to go over to it.
    say : callable
        Called with one line for people.
    base : str or None
        Profile that the stream starts with: its examples count, too.
    save : bool or str
        Keep the profile after every fit: True where the profile that runs is kept or under a name
        made of the date, a name or a path to keep it there.
    worker : callable, optional
        Makes what teaches: `TeachProcess`.

    Attributes
    ----------
    path : str or None
        The newest profile made here.
    kept : str or None
        Where it was kept.
    """

    def __init__(self, state, model, use, say, base=None, save=False,
                 worker=None):  # fmt: skip
        self._state, self._model, self._use, self._say = state, str(model), use, say
        self._save = save
        self._lock = threading.RLock()
        self._marks, self._base = [], base
        self._used = base  # what the stream was last asked for, or runs by somebody's choice
        self._marked_row, self._rows_before = 0, []
        self._made = self._asked = self._answered = 0
        self._folder = None
        self._worker = (worker or TeachProcess)(self._model, self.take)
        self._quality = self._error = None
        self._own = own_file(save, base)
        self.path = self.kept = None

    @property
    def can_teach(self):
        """Whether there is a detector to teach on."""
        return self._model != NO_MODEL

    @property
    def unsaved(self):
        """Whether something was taught that has not been kept."""
        return self.path is not None and self.kept is None

    def mark(self, label):
        """The last seconds should open the gate, or should not.

        Parameters
        ----------
        label : int
            `OPEN` or `SHUT`.

        Raises
        ------
        GateError
        """
        with self._lock:
            self._check()
            mark, row = mark_of(self._state, label, self._marked_row, self._made + 1)
            self._add(mark, row)

    def wrong(self, stays_present):
        """What the gate did in the last two seconds was wrong.

        Parameters
        ----------
        stays_present : float
            Presence from which on an open gate stays open.

        Raises
        ------
        GateError
        """
        with self._lock:
            self._check()
            mark = correction_of(self._state, stays_present, self._made + 1)
            self._add(mark, self._marked_row)
            self._say(f"learning: {mark.what}")

    def begin_with(self, path):
        """Begin anew with a profile that somebody chose, or with none."""
        with self._lock:
            self._used = self._base = path
            self._marks, self._rows_before = [], []
            self._asked += 1  # what is being learned is of no use any more
            self._answered = self._asked
            self._error = None

    def _check(self):
        if not self.can_teach:
            raise GateError(_NEXT["off"])

    def _add(self, mark, row):
        self._made += 1
        self._marks.append(mark)
        self._rows_before.append(self._marked_row)
        self._marked_row = row
        self._error = None
        if mark.level != "ok":
            self._say(f"{mark.what}: {mark.level} ({mark.level_dbfs:.0f} dBFS)")
        self._fit()

    def undo(self):
        """Take the last mark or correction back."""
        with self._lock:
            if not self._marks:
                raise GateError("there is no mark or correction to undo")
            mark = self._marks.pop()
            self._marked_row = self._rows_before.pop()  # the same seconds can be marked otherwise
            self._error = None
            self._say(f"undone: {mark.recording.name}")
            if self._fit():
                return
            self._asked += 1  # an answer on its way is of no use any more
            self._answered = self._asked
            if self._used != self._base:
                self.path = None
                self._go_over(self._base)

    def _go_over(self, path):
        self._used = path
        self._use(path)

    @property
    def is_enough(self):
        """Whether there is enough to fit: of what opens, as the world counts as shut."""
        if not self._marks:
            return False
        return self._base is not None or seconds(self._marks, OPEN) >= NEED_S

    def _fit(self):
        """Ask the worker where there is enough; start it early, it takes a second."""
        self._worker.start()
        if not self.is_enough:
            return False
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="gate-live-"))
        self._asked += 1
        path = self._folder / f"taught-{self._asked}.gate.yaml"
        self._worker.ask(self._asked, self._base, list(self._marks), str(path))
        return True

    def take(self, number, error, found):
        """An answer of the worker: see `TeachWorker.answer`."""
        with self._lock:
            if number != self._asked:
                return  # it was asked again meanwhile
            self._answered = number
            if error is not None:
                self._error = error
                self._say(f"not learned: {error}")
                return
            self._quality, self.path, self.kept = found["quality"], found["path"], None
            for warning in found["warnings"]:
                self._say(f"taught, but {warning}")
            what = self._marks[-1].what if self._marks else "nothing"
            self._say(f"learned: {what}")
            self._go_over(self.path)
        self._keep_as_asked()

    def _keep_as_asked(self):
        if not self._save:
            return
        try:
            if self._own is not None:
                self._write(self._own)
            else:
                self.keep(self._save if isinstance(self._save, str) else None)
        except GateError as error:
            self._say(str(error))

    def keep(self, name=None):
        """Keep the newest profile.

        Parameters
        ----------
        name : str or None
            A name in the user's folder of profiles, or a path that ends with ``.gate.yaml``; None
            makes a name of the date.

        Returns
        -------
        str
            The path.

        Raises
        ------
        GateError
            If nothing has been taught, or that name is taken.
        """
        from realtime.learn.profile_folder import profile_path

        with self._lock:
            if self.path is None:
                raise GateError("nothing has been taught yet")
            path = profile_path(name or time.strftime("taught-%Y%m%d-%H%M%S"))
            if path.exists() and path != self._own:
                raise ConfigError(f"{path}: is there already; choose another name")
            self._write(path)
            self._own = path
            return str(path)

    def _write(self, path):
        from realtime.learn.profile import load_profile, save_profile

        profile = load_profile(self.path)
        if profile.name == "taught":
            profile = replace(profile, name=path.name.removesuffix(".gate.yaml"))
        path.parent.mkdir(parents=True, exist_ok=True)
        save_profile(profile, path)
        self.kept = str(path)
        self._say(f"kept: {path}")

    @property
    def _step(self):
        if not self.can_teach:
            return "off"
        if self._asked != self._answered:
            return "fitting"
        if self._error is not None:
            return "failed"
        n_open, n_shut = seconds(self._marks, OPEN), seconds(self._marks, SHUT)
        if self.path is not None and self._marks and (self._base or n_shut >= NEED_S):
            return "try"
        if n_open < NEED_S:
            return "more open" if n_open > 0 else "open"
        return "more shut" if n_shut > 0 else "shut"

    def status(self, running):
        """What the view shows.

        Parameters
        ----------
        running : str or None
            Profile that the stream uses.

        Returns
        -------
        dict
            Names begin with ``teach_``; see `realtime.live.status.snapshot`.
        """
        with self._lock:
            step = self._step
            last = self._marks[-1] if self._marks else None
            return {
                "teach_open_s": round(seconds(self._marks, OPEN), 1),
                "teach_shut_s": round(seconds(self._marks, SHUT), 1),
                "teach_need_s": NEED_S,
                "teach_good_s": GOOD_S,
                "teach_level": last and last.level,
                "teach_level_dbfs": last and round(last.level_dbfs, 1),
                "teach_step": step,
                "teach_next": _NEXT[step] + (f" ({self._error})" if self._error else ""),
                "teach_fitting": step == "fitting",
                "teach_fitted": self.path is not None and running == self.path,
                "teach_error": self._error,
                "teach_quality": self._quality if self.path else None,
                "teach_marks": len(self._marks),
                "teach_kept": self.kept,
            }

    def close(self):
        """End the worker and remove what it made."""
        self._worker.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
