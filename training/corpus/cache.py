"""The recordings the voice detector learns from, decoded.

Every recording is decoded once to 16 kHz int16 into one memory-mapped file, so that the mixer
reads any stretch of any recording without opening a file.
"""

import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from gate.errors import ConfigError
from training.corpus.decode import decode
from training.corpus.manifest import Entry, read_manifest, read_responses

_AUDIO, _INDEX = "audio.i16", "index.json"


def _decode_int16(path):
    return np.round(np.clip(decode(path), -1.0, 1.0) * 32767.0).astype(np.int16)


class Corpus:
    """Decoded recordings, read through a memory map.

    Parameters
    ----------
    cache : path-like
        Folder written by `build_cache`.

    Attributes
    ----------
    recordings : list of Entry
    """

    def __init__(self, cache):
        cache = Path(cache)
        if not (cache / _INDEX).is_file():
            raise ConfigError(f"cache={cache} must hold decoded audio (see --data)")
        index = json.loads((cache / _INDEX).read_text(encoding="utf-8"))
        self.recordings = [Entry(**entry["recording"]) for entry in index]
        self._begin = np.array([entry["begin"] for entry in index], dtype=np.int64)
        self._length = np.array([entry["length"] for entry in index], dtype=np.int64)
        self._audio = np.memmap(cache / _AUDIO, dtype=np.int16, mode="r")

    def __len__(self):
        return len(self.recordings)

    def length(self, i):
        """Samples of recording `i`."""
        return int(self._length[i])

    def read(self, i, start=0, count=None):
        """Samples of recording `i` as float32, at most `count` from `start`."""
        count = self.length(i) - start if count is None else min(count, self.length(i) - start)
        begin = self._begin[i] + start
        return self._audio[begin : begin + count].astype(np.float32) / 32768.0

    def select(self, split, *kinds):
        """Indices of the recordings of a split and of any of the kinds."""
        return [
            i
            for i, recording in enumerate(self.recordings)
            if recording.split == split and recording.kind in kinds
        ]


def build_cache(folder, cache, workers=2):
    """Decode the corpus into `cache`; does nothing where that is already done.

    Parameters
    ----------
    folder, cache : path-like
        Corpus folder and the folder to write to (about 1.2 GB for the whole corpus).
    workers : int
        Decoding processes.

    Returns
    -------
    Corpus
    """
    folder, cache = Path(folder), Path(cache)
    if not (cache / _INDEX).is_file():
        recordings = read_manifest(folder) + read_responses(folder)
        cache.mkdir(parents=True, exist_ok=True)
        index, begin = [], 0
        with (cache / _AUDIO).open("wb") as out, ProcessPoolExecutor(workers) as pool:
            paths = [folder / recording.file for recording in recordings]
            for recording, samples in zip(
                recordings, pool.map(_decode_int16, paths, chunksize=16), strict=True
            ):
                out.write(samples.tobytes())
                entry = {"recording": vars(recording), "begin": begin, "length": len(samples)}
                index.append(entry)
                begin += len(samples)
        temporary = cache / (_INDEX + ".part")
        temporary.write_text(json.dumps(index), encoding="utf-8")
        temporary.replace(cache / _INDEX)
    return Corpus(cache)
