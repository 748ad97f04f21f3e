"""A folder of labelled recordings as an evaluation set.

Labels are either one CSV file with the columns ``file,start_s,end_s`` (further columns are
ignored), paths relative to the folder or to its parents, or one Audacity label track beside
each recording: ``talk.wav`` with ``talk.txt``, lines of start, end and name between tabs.
"""

import csv
import functools
import math
from pathlib import Path

import numpy as np

from benchmarks.clips import Clip, Loaded, Sound, read_mono
from gate.errors import AudioFileError, ConfigError
from gate.metrics import clip_segments, merge_segments

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".aif", ".aiff", ".mp3", ".w64", ".rf64"}


def _times(start, end, where):
    try:
        start, end = float(start), float(end)
    except (TypeError, ValueError):
        raise ConfigError(f"{where}: start={start!r} and end={end!r} must be seconds") from None
    if not (math.isfinite(start) and math.isfinite(end) and 0 <= start <= end):
        raise ConfigError(f"{where}: start={start:g}, end={end:g} must satisfy 0 <= start <= end")
    return start, end


def read_labels_csv(path):
    """Segments of a label CSV: a dict of file name to a list of (start, end) in seconds."""
    labels = {}
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = {"file", "start_s", "end_s"} - set(reader.fieldnames or [])
        if missing:
            raise ConfigError(f"{path}: column {sorted(missing)[0]!r} is missing")
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            times = _times(row["start_s"], row["end_s"], where)
            labels.setdefault(row["file"], []).append(times)
    return labels


def read_audacity_labels(path):
    """Segments of an Audacity label track."""
    segments = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip() or line.startswith("\\"):  # a line of frequencies follows its label
            continue
        cells = line.split("\t")
        segments.append(_times(cells[0], cells[1] if len(cells) > 1 else None,
                               f"{path}, line {number}"))  # fmt: skip
    return segments


def _find(name, folder):
    """The recording that a label names, relative to the folder or one of its parents."""
    for base in (folder, *folder.resolve().parents[:2]):
        if (base / name).is_file():
            return base / name
    raise AudioFileError(f"{name}: named in the labels but not found under {folder}")


def _load(path, segments):
    samples, rate = read_mono(path)
    segments = clip_segments(merge_segments(np.array(segments)), len(samples) / rate)
    return Loaded(Sound(samples), rate, segments)


def labelled_clips(folder, group="recording", labels=None):
    """Clips of a folder with labels.

    Parameters
    ----------
    folder : path-like
    group : str
        The table's row that they count in.
    labels : path-like, optional
        The CSV file; by default ``LABELS.csv`` or ``labels.csv`` in the folder, and label tracks
        beside the recordings where there is neither.

    Returns
    -------
    list of Clip

    Raises
    ------
    ConfigError
        Where there are no labels, or a label breaks a rule.
    AudioFileError
        Where a labelled recording is missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ConfigError(f"labelled={folder} must be a folder")
    found = [folder / name for name in ("LABELS.csv", "labels.csv") if (folder / name).is_file()]
    table = Path(labels) if labels else (found[0] if found else None)
    if table is not None:
        if not table.is_file():
            raise ConfigError(f"labels={table} must be a file")
        entries = [(_find(name, folder), rows) for name, rows in read_labels_csv(table).items()]
    else:
        entries = [
            (path, read_audacity_labels(path.with_suffix(".txt")))
            for path in sorted(folder.rglob("*"))
            if path.suffix.lower() in AUDIO_SUFFIXES and path.with_suffix(".txt").is_file()
        ]
    if not entries:
        raise ConfigError(f"{folder}: no labels.csv, and no recording with a label track beside it")
    return [
        Clip(path.stem, group, path.stem, functools.partial(_load, path, rows))
        for path, rows in entries
    ]
