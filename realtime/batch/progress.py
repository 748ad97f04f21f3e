"""Progress of `gate-batch`."""

import sys
from contextlib import nullcontext


class _Silent:
    """Progress for pipes and ``--quiet``."""

    def __init__(self, quiet):
        self._quiet = quiet

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

    def say(self, text, error=False):
        """Print a line, an error to standard error."""
        if error or not self._quiet:
            print(text, file=sys.stderr if error else sys.stdout, flush=True)

    def file(self, job):
        """A context for one file that is gated here; gives what to call with its seconds."""
        return nullcontext()

    def files(self, total):
        """Say how many files there are."""

    def file_done(self):
        """One of them is done."""


class _Bars(_Silent):
    """Progress on a terminal."""

    def __init__(self):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        super().__init__(quiet=False)
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

    def say(self, text, error=False):
        self._progress.stop()
        super().say(text, error)
        self._progress.start()

    def file(self, job):
        task = self._progress.add_task(job.source.name, total=_seconds(job.source))

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
    import soundfile

    try:
        return soundfile.info(path).duration
    except (soundfile.LibsndfileError, TypeError):
        return None


def make_progress(quiet):
    """Bars on a terminal, else plain lines, or errors only."""
    return _Silent(quiet) if quiet or not sys.stderr.isatty() else _Bars()
