"""The world: everyday sounds that a taught gate stays shut on although nobody showed them.

A file ``NAME.world.npz`` of short excerpts, each of a class that has a name, in the form in which
a profile remembers its examples: 8-bit log-mel and what the second ear said. No sound can be
played from it. It holds no embeddings, so that it serves every detector.
"""

import functools
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import numpy as np

from gate.errors import ModelError
from realtime.learn.recording import (
    FINE_PER_HOP,
    SHUT,
    SILENT_EAR,
    Recording,
    find_sounding,
    pack_energy,
    unpack_log_mel,
)
from realtime.learn.stored import read_arrays
from realtime.outputs import write_arrays

FORMAT, VERSION = "exemplar-gate-world", 1
SHIPPED = "shipped"
"""Stands for the world that comes with the gate."""

_MOST_HOPS = 200_000
_ENERGY_OF_POWER = 1e-3  # mean squares of a mean squared mel magnitude, about


@dataclass(frozen=True)
class World:
    """Excerpts of everyday sounds.

    Attributes
    ----------
    recordings : tuple of Recording
        Excerpts, all to stay shut on; the name of each is its class.
    groups : tuple of str
        Of each excerpt: ``speech``, ``music`` and so on.
    ears : tuple of str
        Names of the second ears whose answers are stored.
    about : str
        What is in it, one line.
    """

    recordings: tuple
    groups: tuple
    ears: tuple = ()
    about: str = ""

    @property
    def seconds(self):
        """Duration of all excerpts."""
        return sum(r.seconds for r in self.recordings)

    def heard_by(self, info):
        """The excerpts with the ears that a detector has, in its order.

        Parameters
        ----------
        info : gate.detector.DetectorInfo
        """
        names = tuple(info.ears)
        if not names:
            return tuple(replace(r, ears=None) for r in self.recordings)
        if names == self.ears:
            return self.recordings
        return tuple(replace(r, ears=self._picked(r, names)) for r in self.recordings)

    def _picked(self, recording, names):
        silent = np.full(len(recording.label), SILENT_EAR, np.uint8)
        columns = [
            recording.ears[:, self.ears.index(name)] if name in self.ears else silent
            for name in names
        ]
        return np.stack(columns, axis=1)

    @property
    def classes(self):
        """Names of the classes, each once, sorted."""
        return sorted({r.name for r in self.recordings})


def save_world(path, world):
    """Write a world; the file is replaced whole.

    Parameters
    ----------
    path : str or Path
    world : World
    """
    classes = world.classes
    number = {name: i for i, name in enumerate(classes)}
    groups = sorted(set(world.groups))
    write_arrays(
        path,
        format=np.array(FORMAT),
        version=np.array(VERSION),
        about=np.array(world.about),
        ear_names=np.array(world.ears, dtype=np.str_),
        class_names=np.array(classes),
        group_names=np.array(groups),
        class_of=np.array([number[r.name] for r in world.recordings], np.uint16),
        group_of=np.array([groups.index(g) for g in world.groups], np.uint8),
        lengths=np.array([len(r.label) for r in world.recordings], np.uint16),
        log_mel=np.concatenate([r.log_mel for r in world.recordings]),
        ears=np.concatenate([_ears_of(r, len(world.ears)) for r in world.recordings]),
    )


def _ears_of(recording, n_ears):
    if n_ears:
        return recording.ears
    return np.zeros((len(recording.label), 0), np.uint8)


def load_world(path=SHIPPED):
    """Read a world.

    Parameters
    ----------
    path : str or Path
        `SHIPPED`, or a file.

    Raises
    ------
    ModelError
        One line: the file and the rule that it breaks.
    """
    if path == SHIPPED:
        return _shipped()
    path = Path(path)
    arrays = read_arrays(path, _ARRAYS, "world")
    try:
        return _from_arrays(arrays)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


@functools.cache
def _shipped():
    return load_world(Path(str(files("models") / "voice.world.npz")))


_ARRAYS = ("format", "version", "about", "ear_names", "class_names", "group_names", "class_of",
           "group_of", "lengths", "log_mel", "ears")  # fmt: skip


def _from_arrays(a):
    if a["format"].shape or str(a["format"]) != FORMAT:
        raise ModelError(f"not a world (format must be {FORMAT!r})")
    if a["version"].shape or a["version"].dtype.kind not in "iu" or int(a["version"]) != VERSION:
        raise ModelError(f"version={a['version']} must be {VERSION}")
    lengths = a["lengths"]
    n, total = lengths.size, int(lengths.sum(dtype=np.int64)) if lengths.dtype.kind == "u" else -1
    shapes = {
        "lengths": (n,), "class_of": (n,), "group_of": (n,), "log_mel": (total, 64),
        "ears": (total, a["ear_names"].size),
    }  # fmt: skip
    for name, shape in shapes.items():
        if a[name].shape != shape or a[name].dtype.kind != "u":
            raise ModelError(
                f"{name} of {a[name].dtype} {a[name].shape} must be unsigned and {shape}"
            )
    if not 0 < total <= _MOST_HOPS:
        raise ModelError(f"{total} hops must be from 1 to {_MOST_HOPS}")
    for name, names in (("class_of", "class_names"), ("group_of", "group_names")):
        if a[names].dtype.kind != "U" or a[names].ndim != 1 or int(a[name].max()) >= a[names].size:
            raise ModelError(f"{name} must point into {names}")
    classes, groups = a["class_names"].tolist(), a["group_names"].tolist()
    recordings, end = [], 0
    has_ears = a["ear_names"].size > 0
    for length, cls in zip(lengths.tolist(), a["class_of"].tolist(), strict=True):
        begin, end = end, end + length
        ears = a["ears"][begin:end].astype(np.uint8) if has_ears else None
        recordings.append(excerpt(classes[cls], a["log_mel"][begin:end].astype(np.uint8), ears))
    return World(
        tuple(recordings), tuple(groups[g] for g in a["group_of"].tolist()),
        tuple(a["ear_names"].tolist()), str(a["about"]),
    )  # fmt: skip


def excerpt(name, log_mel, ears=None):
    """An excerpt as a recording to stay shut on; its energy is taken from its spectrum.

    Parameters
    ----------
    name : str
        Of the class.
    log_mel : ndarray, shape (T, 64), uint8
    ears : ndarray, shape (T, k), uint8, optional
    """
    unpacked = unpack_log_mel(log_mel)
    power = np.mean(np.exp(2.0 * unpacked), axis=1) * _ENERGY_OF_POWER
    energy = pack_energy(np.repeat(power, FINE_PER_HOP))
    label = np.full(len(log_mel), SHUT, np.int8)
    return Recording(name, log_mel, energy, label, find_sounding(unpacked), ears)
