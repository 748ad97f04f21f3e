"""What earlier runs did: a journal in the output folder, a JSON line whenever a file begins,
is finished, or fails.

A file that began and did neither was under way when its run was killed: what is at its output
is ours, whole or not there (outputs are renamed into place), and is gated again.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from gate.errors import AudioFileError
from realtime.engine import NO_MODEL
from realtime.models import find_model
from realtime.outputs import why

JOURNAL_NAME = ".gate-batch.jsonl"
BEGUN, FINISHED, FAILED = "begun", "finished", "failed"


def journal_folder(output, jobs):
    """Where the journal of these jobs lies; `output` is a folder or the one job's file."""
    output = Path(output)
    return output.parent if jobs[0].output == output else output


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
        "key": digest(job.key_input),
        "beside": [job.trace, job.plot, job.allow_truncated, job.quality],
        "engine": [config.engine.auto_threshold, config.engine.ears, config.engine.kind],
    }
    return hashlib.sha256(json.dumps(tree, sort_keys=True, default=str).encode()).hexdigest()


class Journal:
    """The journal of an output folder.

    Parameters
    ----------
    folder : Path
    settings : str
        From `settings_hash`.
    """

    def __init__(self, folder, settings):
        self._folder, self._settings = Path(folder), settings
        self._path = self._folder / JOURNAL_NAME
        self._entries = {}
        self._inputs = {}
        self._cut_off = False
        if self._path.is_file():
            text = self._path.read_text(encoding="utf-8", errors="replace")
            self._cut_off = bool(text) and not text.endswith("\n")
            for line in text.splitlines():
                try:
                    entry = json.loads(line)
                    self._entries[entry["output"]] = entry
                except (ValueError, KeyError, TypeError):
                    continue  # a line cut off when the run was killed

    def left_to_do(self, jobs):
        """The jobs that are not finished; those that were under way may overwrite."""
        left = [job for job in jobs if not self._is_finished(job)]
        return [replace(job, overwrite=True) if self._was_begun(job) else job for job in left]

    def begin(self, job):
        """Record that a file is begun."""
        self._inputs[job] = self._input(job)
        self._write(job, BEGUN)

    def end(self, job, done):
        """Record that a file that was begun is finished, or has failed."""
        source = self._inputs.pop(job)  # as it was then: one that has changed is gated again
        if done:
            self._write(job, FINISHED, input=source, sizes=self._sizes(job))
        else:
            self._write(job, FAILED)

    def _write(self, job, state, **more):
        entry = {"output": self._name(job), "state": state, **more}
        self._append(json.dumps(entry) + "\n")

    def _append(self, line):
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write("\n" + line if self._cut_off else line)
        except OSError as error:
            self._cut_off = True
            raise AudioFileError(f"{self._path}: cannot be written ({why(error)})") from None
        self._cut_off = False

    def _is_finished(self, job):
        entry = self._entries.get(self._name(job), {})
        try:
            return (
                entry.get("state") == FINISHED
                and entry.get("input") == self._input(job)
                and entry.get("sizes") == self._sizes(job)
            )
        except OSError:
            return False

    def _was_begun(self, job):
        return self._entries.get(self._name(job), {}).get("state") == BEGUN

    def _name(self, job):
        return job.output.relative_to(self._folder).as_posix()

    def _input(self, job):
        state = job.source.stat()
        return [state.st_size, state.st_mtime_ns, self._settings]

    @staticmethod
    def _sizes(job):
        return [path.stat().st_size for path in job.outputs]
