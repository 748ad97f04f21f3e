"""The recordings the voice detector learns from: manifest, decode cache, event classes.

Every recording is decoded once to 16 kHz int16 into one memory-mapped file, so that the mixer
reads any stretch of any recording without opening a file.
"""

import csv
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gate.errors import AudioFileError, ConfigError

SAMPLE_RATE = 16000
"""Hz of everything in the cache."""

_AUDIO, _INDEX = "audio.i16", "index.json"


@dataclass(frozen=True)
class Recording:
    """One recording of the corpus.

    Attributes
    ----------
    split : str
        ``train``, ``dev`` or ``test``.
    kind : str
        ``speech``, ``noise``, ``music``, ``human_nonspeech``, ``voice_cry``, ``voice_sung``
        or ``ir`` (an impulse response).
    source, file, speaker, cls, lang : str
        Collection, path below the corpus folder, speaker, event class, language; may be empty.
    source_rate : int
        Sample rate before any resampling in Hz, 0 where unknown.
    """

    split: str
    kind: str
    source: str
    file: str
    speaker: str
    cls: str
    lang: str
    source_rate: int

    @property
    def event_class(self):
        """Name of the event: the source's class, or the kind where there is none."""
        return f"{self.kind}:{self.cls or self.source}"


def read_manifest(folder):
    """Recordings of ``MANIFEST.csv`` and the impulse responses beside it.

    Parameters
    ----------
    folder : path-like
        The corpus folder.

    Returns
    -------
    list of Recording
    """
    folder = Path(folder)
    manifest = folder / "MANIFEST.csv"
    if not manifest.is_file():
        raise ConfigError(f"data={folder} must be a folder with a MANIFEST.csv")
    recordings = []
    with manifest.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            recordings.append(
                Recording(
                    row["split"], row["kind"], row["source"], row["file"], row["speaker"],
                    row["cls"], row["lang"], int(row["sr_src"] or 0),
                )
            )  # fmt: skip
    for split in ("train", "dev", "test"):
        for path in sorted((folder / split / "ir").glob("*.flac")):
            name = path.relative_to(folder).as_posix()
            recordings.append(Recording(split, "ir", "ir", name, "", path.stem, "", 0))
    return recordings


def decode(path):
    """Decode a file to mono float32 at `SAMPLE_RATE`."""
    import soundfile
    import soxr

    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise AudioFileError(f"cannot read {path}: {error}") from None
    mono = samples.mean(axis=1)
    return mono if rate == SAMPLE_RATE else soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ")


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
    recordings : list of Recording
    """

    def __init__(self, cache):
        cache = Path(cache)
        if not (cache / _INDEX).is_file():
            raise ConfigError(f"cache={cache} must hold decoded audio (see --data)")
        index = json.loads((cache / _INDEX).read_text(encoding="utf-8"))
        self.recordings = [Recording(**entry["recording"]) for entry in index]
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


def build_cache(folder, cache, recordings=None, workers=2):
    """Decode the corpus into `cache`; does nothing where that is already done.

    Parameters
    ----------
    folder, cache : path-like
        Corpus folder and the folder to write to (about 1.2 GB for the whole corpus).
    recordings : list of Recording or None
        What to decode; the whole manifest by default.
    workers : int
        Decoding processes.

    Returns
    -------
    Corpus
    """
    folder, cache = Path(folder), Path(cache)
    if not (cache / _INDEX).is_file():
        recordings = read_manifest(folder) if recordings is None else recordings
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
