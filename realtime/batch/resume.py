"""Which files an earlier run finished: one JSON line each in the output folder."""

import hashlib
import json
from pathlib import Path

from realtime.engine import NO_MODEL
from realtime.models import find_model

STATE_NAME = ".gate-batch.jsonl"


def settings_hash(config, job):
    """Hash of all that decides the output beside the input: settings, detector, profile, key."""
    from gate import __version__

    def digest(path):
        return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else None

    model = config.engine.model
    tree = {
        "version": __version__,
        "gate": config.gate.to_mapping(),
        "model": None if model == NO_MODEL else digest(find_model(model)),
        "profile": digest(config.engine.profile),
        "key": digest(job.key),
        "beside": [job.trace, job.plot, job.allow_truncated],
    }
    return hashlib.sha256(json.dumps(tree, sort_keys=True, default=str).encode()).hexdigest()


class Finished:
    """The state file.

    Parameters
    ----------
    folder : Path
        Output folder.
    settings : str
        From `settings_hash`.
    """

    def __init__(self, folder, settings):
        self._folder, self._settings = Path(folder), settings
        self._path = self._folder / STATE_NAME
        self._lines = {}
        self._whole = True
        if self._path.is_file():
            text = self._path.read_text(encoding="utf-8", errors="replace")
            self._whole = not text or text.endswith("\n")
            for line in text.splitlines():
                try:
                    entry = json.loads(line)
                    self._lines[entry["output"]] = entry["input"]
                except (ValueError, KeyError, TypeError):
                    continue  # a line cut off when the run was killed

    def has(self, job):
        """Whether the job's output is there, from this input with these settings."""
        try:
            return job.output.is_file() and self._lines.get(self._name(job)) == self._input(job)
        except OSError:
            return False

    def add(self, job):
        """Record a finished file."""
        entry = {"output": self._name(job), "input": self._input(job)}
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(("" if self._whole else "\n") + json.dumps(entry) + "\n")
        self._whole = True

    def _name(self, job):
        return job.output.relative_to(self._folder).as_posix()

    def _input(self, job):
        state = job.source.stat()
        return [state.st_size, state.st_mtime_ns, self._settings]
