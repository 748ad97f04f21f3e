"""Progress of `gate-batch`."""

import sys
from contextlib import AbstractContextManager, nullcontext

from gate.errors import AudioFileError
from realtime.outputs import printable


class _Silent(AbstractContextManager):
    """Progress for pipes and ``--quiet``."""

    def __init__(self, quiet, lines=None):
        self._quiet = quiet
        self.lines = lines or sys.stdout

    def __exit__(self, *exc):
        pass

    def say(self, text, error=False, warning=False):
        """Print a line, errors and warnings to standard error."""
        if error or not self._quiet:
            aside = error or warning
            print(printable(text), file=sys.stderr if aside else self.lines, flush=True)

    def file(self, job):
        """A context for one file that is gated here; gives what to call with its seconds."""
        return nullcontext()

    def files(self, total):
        """Say how many files there are."""

    def file_done(self):
        """One of them is done."""


class _Bars(_Silent):
    """Progress on a terminal."""

    def __init__(self, lines):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        super().__init__(False, lines)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )

    def __enter__(self):
        self._progress.start()
        return self

    def __exit__(self, *exc):
        self._progress.stop()

    def say(self, text, error=False, warning=False):
        self._progress.stop()
        super().say(text, error, warning)
        self._progress.start()

    def file(self, job):
        task = self._progress.add_task(printable(job.source.name), total=_seconds(job.source))

        class Task:
            def __enter__(_):
                return lambda seconds: self._progress.update(task, completed=seconds)

            def __exit__(_, *exc):
                self._progress.remove_task(task)

        return Task()

    def files(self, total):
        self._all = self._progress.add_task("files", total=total)

    def file_done(self):
        self._progress.advance(self._all)


def _seconds(path):
    from realtime.files import AudioReader

    try:
        with AudioReader(path, allow_truncated=True) as reader:
            return reader.info.seconds or None
    except AudioFileError:
        return None


def make_progress(quiet, lines=None):
    """Bars on a terminal, else plain lines, or errors only.

    Parameters
    ----------
    quiet : bool
    lines : text file, optional
        Where lines that are no errors go; standard output unless given.
    """
    if quiet or not sys.stderr.isatty():
        return _Silent(quiet, lines)
    return _Bars(lines)
