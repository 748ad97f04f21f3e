"""Which files a command line names: paths, globs and folders."""

import glob
import itertools
import os
from dataclasses import dataclass, field
from pathlib import Path

from gate.errors import AudioFileError
from realtime.files.formats import AUDIO_SUFFIXES, FOREIGN_SUFFIXES
from realtime.outputs import why

_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"riff", b"fLaC", b"OggS", b"FORM", b"caff", b".snd")

_LEFT_OUT = "outputs go there; what lies in it is left out"


@dataclass
class Inputs:
    """What was found.

    Attributes
    ----------
    files : dict of Path to Path
        A file, and its name relative to the folder that was given; in order, each once.
    failures : list of (str, str)
        Folders that could not be read, and why.
    notes : list of str
        What was left out.
    """

    files: dict = field(default_factory=dict)
    failures: list = field(default_factory=list)
    notes: list = field(default_factory=list)


def expand_inputs(patterns, output=None, marker=None):
    """Audio files named by paths, globs and folders, in order, each once.

    Parameters
    ----------
    patterns : sequence of str
    output : Path, optional
        The folder that outputs go to: what lies in it is no input, unless it is named itself.
    marker : str, optional
        A file of this name marks a folder as one that outputs went to before; left out likewise.

    Returns
    -------
    Inputs

    Raises
    ------
    AudioFileError
        For an empty name, one that matches nothing, or a folder without audio.
    """
    found = Inputs()
    for pattern in patterns:
        if not str(pattern):
            raise AudioFileError("an input without a name: nothing is meant by ''")
        path = Path(pattern)
        if path.is_dir():
            inside = _Folder(path, output, marker, found).files()
            if not inside and not found.failures:
                raise AudioFileError(f"{pattern}: folder without audio files")
            found.files.update({p: p.relative_to(path) for p in inside})
        elif os.path.lexists(path) or not glob.has_magic(pattern):
            found.files[path] = Path(path.name)
        else:
            matches = sorted(Path(p) for p in glob.glob(pattern, recursive=True))
            matches = [p for p in matches if p.is_file()]
            if not matches:
                raise AudioFileError(f"{pattern}: matches no file")
            kept = [p for p in matches if not _lies_in(p, output)]
            if len(kept) < len(matches):
                found.notes.append(f"{output}: {_LEFT_OUT}")
            gone = {f: None for p in kept if (f := _marked(p, pattern, marker)) is not None}
            found.notes += [f"{folder}: {_LEFT_OUT}" for folder in gone]
            kept = [p for p in kept if _marked(p, pattern, marker) is None]
            if not kept:
                raise AudioFileError(f"{pattern}: matches no file but outputs")
            found.files.update({p: Path(p.name) for p in kept})
    return found


def _marked(path, pattern, marker):
    """The folder of outputs in which a match lies, where the pattern does not name it."""
    named = itertools.takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts[:-1])
    top = Path(*named)
    below = [top / folder for folder in path.relative_to(top).parents][:-1]
    return next((f for f in below if marker is not None and (f / marker).is_file()), None)


def _lies_in(path, folder):
    """Whether a file lies in a folder, or below it, whatever they are called."""
    if folder is None or not Path(folder).is_dir():
        return False
    return Path(os.path.realpath(folder)) in Path(os.path.realpath(path)).parents


class _Folder:
    """Looks through a folder."""

    def __init__(self, top, output, marker, found):
        self._top, self._marker, self._found = top, marker, found
        self._output = None
        if output is not None and os.path.isdir(output):
            state = os.stat(output)
            top_state = os.stat(top)
            if (state.st_dev, state.st_ino) != (top_state.st_dev, top_state.st_ino):
                self._output = (state.st_dev, state.st_ino)
        self._seen = set()
        self._foreign = {}

    def files(self):
        inside = self._look(self._top)
        for suffix, count in sorted(self._foreign.items()):
            self._found.notes.append(
                f"{self._top}: {count} {'file' if count == 1 else 'files'} in {suffix} left out: "
                "that format cannot be read"
            )
        return sorted(inside)

    def _look(self, folder):
        """Audio files in a folder and below; links are followed, but not in circles."""
        try:
            state = os.stat(folder)
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self._found.failures.append((str(folder), f"{folder}: folder: {why(error)}"))
            return []
        identity = state.st_dev, state.st_ino
        if identity in self._seen:
            return []
        self._seen.add(identity)
        if folder != self._top and self._is_output(folder, identity):
            self._found.notes.append(f"{folder}: {_LEFT_OUT}")
            return []
        inside = []
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = Path(folder) / entry.name
            try:
                if entry.is_dir():
                    inside += self._look(path)
                elif self._is_audio(path, entry):
                    inside.append(path)
            except OSError as error:
                self._found.failures.append((str(path), f"{path}: {why(error)}"))
        return inside

    def _is_output(self, folder, identity):
        if identity == self._output:
            return True
        return self._marker is not None and (Path(folder) / self._marker).is_file()

    def _is_audio(self, path, entry):
        suffix = path.suffix.lower()
        if suffix in AUDIO_SUFFIXES:
            # A link to nowhere is an input that cannot be read, and is told so.
            return entry.is_file() or entry.is_symlink()
        if suffix in FOREIGN_SUFFIXES:
            self._foreign[suffix] = self._foreign.get(suffix, 0) + 1
            return False
        if not entry.is_file() or not os.access(path, os.R_OK):
            return False
        with open(path, "rb") as file:
            head = file.read(12)
        if head[:4] == b"RIFF" and head[8:] != b"WAVE":
            return False
        if head[:4] == b"FORM" and head[8:] not in (b"AIFF", b"AIFC", b"8SVX"):
            return False
        return head[:4] in _MAGIC
