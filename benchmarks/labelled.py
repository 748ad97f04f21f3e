"""A folder of labelled recordings as an evaluation set.

Labels are either one CSV file with the columns ``file,start_s,end_s`` (further columns are
ignored), paths relative to the folder or to its parents, or one Audacity label track beside
each recording: ``talk.wav`` with ``talk.txt``, lines of start, end and name between tabs.
"""

import csv
import functools
from pathlib import Path

from benchmarks.clips import Clip, Loaded, Sound, read_mono
from gate.errors import AudioFileError, ConfigError
from gate.metrics import clip_segments
from realtime.labels import read_labels

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".aif", ".aiff", ".mp3", ".w64", ".rf64"}


def _labelled_names(table):
    """The recordings that a label CSV names, in order."""
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = {"file", "start_s", "end_s"} - set(reader.fieldnames or [])
        if missing:
            raise ConfigError(f"{table}: column {sorted(missing)[0]!r} is missing")
        return list(dict.fromkeys(row["file"] for row in reader if row["file"]))


def _find(name, folder):
    """The recording that a label names, relative to the folder or one of its parents."""
    for base in (folder, *folder.resolve().parents[:2]):
        if (base / name).is_file():
            return base / name
    raise AudioFileError(f"{name}: named in the labels but not found under {folder}")


def _load(path, labels, name):
    samples, rate = read_mono(path)
    segments = clip_segments(read_labels(labels, name), len(samples) / rate)
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
        Where there are no labels.
    AudioFileError
        Where a labelled recording is missing; a label that breaks a rule shows when the clip
        is loaded.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ConfigError(f"labelled={folder} must be a folder")
    beside = [folder / name for name in ("LABELS.csv", "labels.csv") if (folder / name).is_file()]
    table = Path(labels) if labels else (beside[0] if beside else None)
    if table is not None:
        if not table.is_file():
            raise ConfigError(f"labels={table} must be a file")
        found = [(_find(name, folder), table, name) for name in _labelled_names(table)]
    else:
        found = [
            (path, path.with_suffix(".txt"), None)
            for path in sorted(folder.rglob("*"))
            if path.suffix.lower() in AUDIO_SUFFIXES and path.with_suffix(".txt").is_file()
        ]
    if not found:
        raise ConfigError(f"{folder}: no labels.csv, and no recording with a label track beside it")
    return [
        Clip(path.stem, group, path.stem, functools.partial(_load, path, source, name))
        for path, source, name in found
    ]
