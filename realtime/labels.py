"""Label files: CSV ``file,start_s,end_s`` or an Audacity label track."""

import csv
import math
import os
from pathlib import Path

from gate.errors import AudioFileError
from gate.metrics import merge_segments
from realtime.text_files import TextError, read_bounded

_MAX_BYTES = 64_000_000


class LabelFile:
    """A label file, read and checked.

    Parameters
    ----------
    path : str or Path
        CSV with the columns ``file,start_s,end_s`` (others are ignored), or an Audacity label
        track: ``start<TAB>end<TAB>text`` in seconds.

    Attributes
    ----------
    names : list of str or None
        Recordings that it names, in order, each once; None where it names none: it is then one
        recording's.

    Raises
    ------
    AudioFileError
        One line: file, line, rule.
    """

    def __init__(self, path):
        self.path = Path(path)
        lines = _text(self.path).splitlines()
        try:
            header = next(csv.reader(lines[:1]), [])
            if {"start_s", "end_s"} <= set(header):
                rows = list(enumerate(csv.DictReader(lines), 2))
                named = "file" in header
                found = [((row["file"] or "") if named else None, row["start_s"], row["end_s"], n)
                         for n, row in rows]  # fmt: skip
            else:
                found = self._track(lines)
                named = False
        except csv.Error as error:
            raise AudioFileError(f"{path}: not CSV ({error})") from None
        self._rows = [(name, *self._seconds(start, end, n)) for name, start, end, n in found]
        self.names = list(dict.fromkeys(row[0] for row in self._rows)) if named else None

    @staticmethod
    def _track(lines):
        # Audacity writes the frequency range of a label on a line of its own after a backslash.
        return [
            (None, *[*line.split("\t"), ""][:2], n)
            for n, line in enumerate(lines, 1)
            if line.strip() and not line.startswith("\\")
        ]

    def _seconds(self, start, end, line):
        try:
            start_s, end_s = float(start), float(end)
        except (TypeError, ValueError):
            raise AudioFileError(
                f"{self.path}, line {line}: must be CSV file,start_s,end_s or an Audacity label "
                "track"
            ) from None
        if not (math.isfinite(start_s) and math.isfinite(end_s) and 0 <= start_s <= end_s):
            raise AudioFileError(f"{self.path}, line {line}: must be 0 <= start <= end in seconds")
        return start_s, end_s

    def segments(self, name=None):
        """Wanted segments of one recording, or of all.

        Parameters
        ----------
        name : str, optional
            Of the recording: its name, or a path that ends like the label's.

        Returns
        -------
        ndarray, shape (n, 2)
            Start and end in seconds, sorted, overlaps merged.
        """
        take_all = name is None or self.names is None
        return merge_segments([row[1:] for row in self._rows if take_all or _same(row[0], name)])

    def check_inputs(self, inputs):
        """Refuse labels that cannot be these recordings'.

        Parameters
        ----------
        inputs : sequence of Path

        Raises
        ------
        AudioFileError
        """
        if self.names is None:
            if len(inputs) > 1:
                raise AudioFileError(
                    f"{self.path}: names no recordings, so it can be one's only, not that of "
                    f"{len(inputs)} inputs (a CSV with file,start_s,end_s can)"
                )
            if not self._rows:
                raise AudioFileError(f"{self.path}: labels nothing")
            return
        named = {name: [p for p in inputs if _same(name, str(p))] for name in self.names}
        if not any(named.values()):
            raise AudioFileError(
                f"{self.path}: names none of the inputs" + _for_instance(self.names)
            )
        for name, matches in named.items():
            if len(matches) > 1:
                raise AudioFileError(
                    f"{self.path}: {name!r} is {matches[0]} and {matches[1]}; give more of the path"
                )

    def of_recording(self, path, seconds):
        """Segments of an input, and a line about them or None.

        Parameters
        ----------
        path : Path
        seconds : float
            How long it is.

        Raises
        ------
        AudioFileError
            Where all of them lie behind its end.
        """
        segments = self.segments(str(path))
        if not len(segments):
            return segments, f"{self.path} does not name it: no measures"
        if segments[0, 0] >= seconds:
            raise AudioFileError(
                f"{self.path}: its labels for {path} begin at {segments[0, 0]:.1f} s, beyond the "
                f"end at {seconds:.1f} s"
            )
        if segments[-1, 1] > seconds + 0.5:
            return segments, (f"{self.path}: labels go on to {segments[-1, 1]:.1f} s, the end is "
                              f"at {seconds:.1f} s")  # fmt: skip
        return segments, None


def read_labels(path, name=None):
    """Wanted segments from a label file; see `LabelFile`.

    Parameters
    ----------
    path : str or Path
    name : str, optional
        Take only rows of this file: its name, or a path that ends like the row's. A track has
        no file names and is taken whole.

    Returns
    -------
    ndarray, shape (n, 2)

    Raises
    ------
    AudioFileError
    """
    return LabelFile(path).segments(name)


def _text(path):
    """The file's text; a name in it need not be UTF-8 (nor are file names)."""
    try:
        data = read_bounded(path, _MAX_BYTES)
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return data.decode("utf-16")
        if b"\0" in data:
            raise TextError("cannot be read (not UTF-8 text)")
        return data.decode("utf-8-sig", "surrogateescape")
    except TextError as error:
        raise AudioFileError(f"{path}: labels {error}") from None
    except UnicodeDecodeError:
        raise AudioFileError(f"{path}: labels cannot be read (not UTF-8 text)") from None


def _for_instance(names):
    shown = ", ".join(repr(name) for name in names[:3])
    return f" (it names {shown}{', ...' if len(names) > 3 else ''})" if names else ""


def _same(row, name):
    row, name = Path(row).as_posix(), Path(name).as_posix()
    if not row or row == ".":
        return False
    return row == name or name.endswith("/" + row) or os.path.normpath(row).endswith("/" + name)
