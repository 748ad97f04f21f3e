"""A folder of labelled recordings as an evaluation set.

Labels are either one CSV file with the columns ``file,start_s,end_s`` (further columns are
ignored), paths relative to the folder or to its parents, or one Audacity label track beside
each recording: ``talk.wav`` with ``talk.txt``, lines of start, end and name between tabs.
"""

import csv
import functools
from pathlib import Path

from gate.errors import AudioFileError, ConfigError
from gate.metrics import clip_segments
from realtime.files import AUDIO_SUFFIXES
from realtime.labels import read_labels
from training.corpus.clips import Clip, Loaded, Sound
from training.corpus.decode import read_mono

_SUFFIXES = (*AUDIO_SUFFIXES, ".mp3")


def _labelled_names(table):
    """The recordings that a label CSV names, in order."""
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = {"file", "start_s", "end_s"} - set(reader.fieldnames or [])
        if missing:
            raise ConfigError(
                f"{table}: column {sorted(missing)[0]!r} is missing (file,start_s,end_s)"
            )
        names = list(dict.fromkeys(row["file"] for row in reader if row["file"]))
    read_labels(table)  # a line that breaks a rule is told before anything is run
    if not names:
        raise ConfigError(f"{table}: names no recording")
    return names


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


def find_labelled(folder, labels=None):
    """Recordings with labels, and those without.

    Parameters
    ----------
    folder : path-like
    labels : path-like, optional
        The CSV file; by default ``LABELS.csv`` or ``labels.csv`` in the folder, and label tracks
        beside the recordings where there is neither.

    Returns
    -------
    found : list of (Path, Path, str or None)
        Recording, label file, and name in it.
    left_out : list of Path
        Recordings of the folder without labels.

    Raises
    ------
    ConfigError
        Where there are no labels.
    AudioFileError
        Where a label breaks a rule, or a labelled recording is missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ConfigError(f"labelled={folder} must be a folder")
    beside = [folder / name for name in ("LABELS.csv", "labels.csv") if (folder / name).is_file()]
    table = Path(labels) if labels else (beside[0] if beside else None)
    recordings = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES)
    if table is not None:
        if not table.is_file():
            raise ConfigError(f"labels={table} must be a file")
        found = [(_find(name, folder), table, name) for name in _labelled_names(table)]
    else:
        tracks = [(path, path.with_suffix(".txt")) for path in recordings]
        found = [(path, track, None) for path, track in tracks if track.is_file()]
        for _, track, _ in found:
            read_labels(track)
    if not found:
        raise ConfigError(
            f"{folder}: no labels.csv (file,start_s,end_s), and no recording with an Audacity "
            "label track beside it (talk.wav, talk.txt)"
        )
    taken = {path.resolve() for path, _, _ in found}
    return found, [path for path in recordings if path.resolve() not in taken]


def labelled_clips(folder, group="recording", labels=None):
    """Clips of a folder with labels.

    Parameters
    ----------
    folder : path-like
    group : str
        The table's row that they count in.
    labels : path-like, optional
        See `find_labelled`, also for what is raised.

    Returns
    -------
    list of Clip
    """
    found, _ = find_labelled(folder, labels)
    clips = []
    for path, source, name in found:
        inside = path.is_relative_to(folder)
        title = (path.relative_to(folder) if inside else Path(path.name)).as_posix()
        load = functools.partial(_load, path, source, name)
        clips.append(Clip(title, group, title, load))
    return clips
