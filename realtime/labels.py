"""Label files: CSV ``file,start_s,end_s`` or an Audacity label track."""

import csv
import math
from pathlib import Path

from gate.errors import AudioFileError
from gate.metrics import merge_segments


def read_labels(path, name=None):
    """Wanted segments from a label file.

    Parameters
    ----------
    path : str or Path
        CSV with the columns ``file,start_s,end_s`` (others are ignored), or an Audacity label
        track: ``start<TAB>end<TAB>text`` in seconds.
    name : str, optional
        Take only rows of this file: its name, or a path that ends like the row's. A track has
        no file names and is taken whole.

    Returns
    -------
    ndarray, shape (n, 2)
        Start and end in seconds, sorted, overlaps merged.

    Raises
    ------
    AudioFileError
        One line: file, line, rule.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise AudioFileError(f"{path}: labels cannot be read ({reason})") from None
    lines = text.splitlines()
    header = next(csv.reader(lines[:1]), [])
    if {"start_s", "end_s"} <= set(header):
        rows = [(n + 2, row) for n, row in enumerate(csv.DictReader(lines))]
        if name is not None and "file" in header:
            rows = [(n, row) for n, row in rows if _same_file(row["file"] or "", name)]
        pairs = [(row["start_s"], row["end_s"], n) for n, row in rows]
    else:
        # Audacity writes the frequency range of a label on a line of its own after a backslash.
        pairs = [
            (*[*line.split("\t"), ""][:2], n + 1)
            for n, line in enumerate(lines)
            if line.strip() and not line.startswith("\\")
        ]
    segments = []
    for start, end, line in pairs:
        try:
            start_s, end_s = float(start), float(end)
        except (TypeError, ValueError):
            raise AudioFileError(
                f"{path}, line {line}: must be CSV file,start_s,end_s or an Audacity label track"
            ) from None
        if not (math.isfinite(start_s) and math.isfinite(end_s) and 0 <= start_s <= end_s):
            raise AudioFileError(f"{path}, line {line}: must be 0 <= start <= end in seconds")
        segments.append((start_s, end_s))
    return merge_segments(segments)


def _same_file(row, name):
    row, name = Path(row).as_posix(), Path(name).as_posix()
    return row == name or name.endswith("/" + row) or row.endswith("/" + name)
