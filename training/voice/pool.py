"""A ring of finished items on disk: one process mixes into it, the trainer draws from it.

Mixing and training then go at their own speeds; an item is used about once to three times before
it is overwritten. Stored small: features as float16, powers in steps of half a decibel.
"""

import json
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np

from gate.errors import GateError
from training.voice.classes import CLASSES

_STEP_DB, _FLOOR_DB = 0.5, -127.5
_WEIGHT_STEP = 1.0 / 32.0
_TOGETHER = 16  # items whose mixtures the ears hear in one go


def _fields(n_hops, n_ears, taught):
    return {
        "features": ((n_hops, 64), np.float16),
        "ears": ((n_hops, n_ears), np.float16),
        "teacher": ((n_hops if taught else 0,), np.float16),
        "classes": ((n_hops, len(CLASSES)), np.uint8),
        "classes_weight": ((n_hops, len(CLASSES)), np.uint8),
        "band_power": ((n_hops, 64), np.uint8),
        "s_band_power": ((n_hops, 64), np.uint8),
        "n_band_power": ((n_hops, 64), np.uint8),
        "s_fine": ((4 * n_hops,), np.uint8),
        "n_fine": ((4 * n_hops,), np.uint8),
        "speaker": ((), np.int32),
        "event": ((), np.int32),
    }


_POWERS = ("band_power", "s_band_power", "n_band_power", "s_fine", "n_fine")
_POWER_OF_CODE = np.where(
    np.arange(256) == 0, 0.0, 10.0 ** ((np.arange(256) * _STEP_DB + _FLOOR_DB) / 10.0)
).astype(np.float32)


def _encode_power(power):
    db = 10.0 * np.log10(np.maximum(power, 1e-13))
    return np.clip(np.round((db - _FLOOR_DB) / _STEP_DB), 0, 255).astype(np.uint8)


class ItemPool:
    """The ring.

    Parameters
    ----------
    folder : path-like
    n_hops, capacity : int
        Hops an item, items in the ring (about 270 kB an item of 800 hops).
    n_ears : int
        Ears heard beside the log-mel.
    taught : bool
        Whether items hold what a teacher says (`training.voice.teachers.FireRed`).

    Attributes
    ----------
    folder : Path
    capacity : int
    """

    def __init__(self, folder, n_hops=800, capacity=12000, n_ears=0, taught=False):
        self.folder, self.n_hops, self.capacity = Path(folder), n_hops, capacity
        self.n_ears, self.taught = n_ears, taught
        self.folder.mkdir(parents=True, exist_ok=True)
        self._arrays = {
            name: self._map(name, (capacity, *shape), dtype)
            for name, (shape, dtype) in _fields(n_hops, n_ears, taught).items()
            if 0 not in shape
        }
        self._count = self._map("count", (1,), np.int64)

    def _map(self, name, shape, dtype):
        path = self.folder / f"{name}.bin"
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if not path.is_file() or path.stat().st_size != size:
            with path.open("wb") as file:
                file.truncate(size)
        return np.memmap(path, dtype=dtype, mode="r+", shape=shape)

    @property
    def names(self):
        """Fields of an item."""
        return tuple(self._arrays)

    @property
    def made(self):
        """Items ever put in."""
        return int(self._count[0])

    @property
    def filled(self):
        """Items that can be drawn."""
        return min(self.made, self.capacity)

    def clear(self):
        """Forget all items."""
        self._count[0] = 0

    def put(self, item):
        """Store an item (see `training.voice.mixer.VoiceMixer.item`), over the oldest."""
        slot = self.made % self.capacity
        for name, array in self._arrays.items():
            value = item[name]
            if name in _POWERS:
                value = _encode_power(value)
            elif name == "classes_weight":
                value = np.clip(np.round(value / _WEIGHT_STEP), 0, 255)
            array[slot] = value
        self._count[0] += 1

    def take(self, slots, names=None, hops=slice(None)):
        """Items of these slots as a batch: dict of float32 arrays (int64 for the classes).

        Only the fields of `names` where given, and of each item only `hops`.
        """
        batch = {}
        for name in names or self._arrays:
            array = self._arrays[name]
            value = array[slots, hops] if array.ndim > 1 else array[slots]
            if name in _POWERS:
                value = _POWER_OF_CODE[value]
            elif name in ("speaker", "event"):
                value = value.astype(np.int64)
            else:
                value = value.astype(np.float32)
                if name == "classes_weight":
                    value *= _WEIGHT_STEP
            batch[name] = value
        return batch


def _fill(make_mixer, about, stop, niceness):
    os.nice(niceness)
    pool = ItemPool(*about)
    mixer = make_mixer(pool.made)
    names = {"speakers": mixer.library.speaker_names, "events": mixer.library.event_names}
    (pool.folder / "names.json").write_text(json.dumps(names), encoding="utf-8")
    while not stop.is_set():
        for item in mixer.items(_TOGETHER):
            pool.put(item)


class PoolFiller:
    """The process that mixes.

    Parameters
    ----------
    make_mixer : callable
        Makes the mixer, in the other process, from the number of items made so far; must be
        picklable.
    pool : ItemPool
    niceness : int
        Of the process.
    """

    def __init__(self, make_mixer, pool, niceness=0):
        self._pool = pool
        context = multiprocessing.get_context("spawn")
        self._stop = context.Event()
        about = (pool.folder, pool.n_hops, pool.capacity, pool.n_ears, pool.taught)
        arguments = (make_mixer, about, self._stop, niceness)
        self._process = context.Process(target=_fill, args=arguments, daemon=True)

    def __enter__(self):
        self._process.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._process.join(timeout=30)

    def wait(self, n_items):
        """Wait until the pool holds so many items; raises `GateError` if the mixing has died."""
        while self._pool.filled < n_items:
            if not self._process.is_alive() and self._pool.filled < n_items:
                raise GateError("the mixing process has died; its message is above")
            time.sleep(0.2)
