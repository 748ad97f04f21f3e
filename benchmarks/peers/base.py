"""What the benchmark asks of a gate, ours or a peer's."""

import hashlib
import importlib.metadata
import importlib.util
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.quality.decisions import Decisions, Rule, drive
from training.corpus.decode import resample


class Hearing:
    """One recording as the systems hear it; resampled copies and detections are kept.

    Parameters
    ----------
    audio : ndarray, shape (n,), float32
    sample_rate : int
    cache : path-like, optional
        Folder in which peers' decisions are kept, by the sound itself and the peer's version.
    """

    def __init__(self, audio, sample_rate, cache=None):
        self.audio, self.sample_rate = audio, sample_rate
        self._cache = None
        if cache is not None:
            digest = hashlib.sha256(audio.tobytes() + str(sample_rate).encode()).hexdigest()
            self._cache = Path(cache) / digest[:24]
        self._copies = {sample_rate: audio}
        self._decisions = {}

    def at(self, sample_rate):
        """The recording at another rate, resampled without delay."""
        if sample_rate not in self._copies:
            self._copies[sample_rate] = resample(self.audio, self.sample_rate, sample_rate)
        return self._copies[sample_rate]

    def decisions(self, detector, version=""):
        """`Decisions` of a detector, computed once a recording."""
        if detector.name not in self._decisions:
            self._decisions[detector.name] = self._decide(detector, version)
        return self._decisions[detector.name]

    def _decide(self, detector, version):
        if self._cache is None:
            return detector.decide(self)
        path = self._cache.with_name(f"{self._cache.name}-{detector.name}-{version}.npy")
        if path.is_file():
            return Decisions(*np.load(path, allow_pickle=False))
        found = detector.decide(self)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.stack([found.known_s, found.score]))
        return found


@dataclass
class Answer:
    """What a gate did with a recording.

    Attributes
    ----------
    gain : ndarray, shape (n,)
        Applied to each sample of the recording; a delay of the audio is taken out.
    decisions : Decisions or None
        What the gain follows, where it follows scores.
    """

    gain: np.ndarray
    decisions: Decisions | None = None


@dataclass
class System:
    """A gate in the comparison.

    Attributes
    ----------
    name : str
        Short, for tables.
    settings : str
        How it was run: one line for the reader.
    range_db : float
        Gain of the closed gate.
    latency_ms : float
        Delay of its audio.
    version, size_bytes : str, int
        Of what decides; 0 where there is nothing to load.
    """

    name: str
    settings: str
    range_db: float = -60.0
    latency_ms: float = 0.0
    version: str = ""
    size_bytes: int = 0

    @property
    def timed(self):
        """What `cost_s` times."""
        return "whole gate, one call"

    def run(self, hearing):
        """`Answer` to a `Hearing`."""
        raise NotImplementedError

    def cost_s(self, hearing):
        """Processor seconds to gate the recording, resampling not counted."""
        begin = processor_time()
        self.run(hearing)
        return processor_time() - begin


@dataclass
class DetectorGate(System):
    """A voice activity detector that drives the benchmark's envelope.

    Attributes
    ----------
    detector : object
        With ``name``, ``sample_rate`` and ``decide(hearing)``.
    rule : benchmarks.quality.decisions.Rule
    """

    detector: object = None
    rule: Rule = field(default_factory=Rule)

    @property
    def timed(self):
        """What `cost_s` times."""
        return f"detector alone, streamed, {self.detector.sample_rate / 1000:g} kHz"

    def run(self, hearing):
        """Detect, then drive the envelope."""
        decisions = hearing.decisions(self.detector, self.version)
        gain = drive(decisions, self.rule, len(hearing.audio), hearing.sample_rate)
        return Answer(gain, decisions)

    def cost_s(self, hearing):
        """Processor seconds for the detector alone."""
        hearing.at(self.detector.sample_rate)
        begin = processor_time()
        self.detector.decide(hearing)
        return processor_time() - begin


class ChunkedDetector:
    """A detector that decides chunk by chunk, each decision known at its chunk's end.

    Attributes
    ----------
    name, package : str
        Short; what is installed.
    sample_rate, chunk, size_bytes : int
        Hz; samples a decision; of what is loaded.
    """

    name = package = ""
    sample_rate, chunk, size_bytes = 16000, 160, 0

    def scores(self, chunks):
        """Presence in each row of `chunks`; None where there is no decision."""
        raise NotImplementedError

    def decide(self, hearing):
        """Stream the recording from a fresh state."""
        samples = hearing.at(self.sample_rate)
        chunks = samples[: len(samples) // self.chunk * self.chunk].reshape(-1, self.chunk)
        found = [(k, s) for k, s in enumerate(self.scores(chunks), 1) if s is not None]
        ends, scores = np.array(found, dtype=float).reshape(-1, 2).T
        return Decisions(ends * self.chunk / self.sample_rate, scores)


def systems_of(detector, *ways):
    """A `DetectorGate` for each way to run a `ChunkedDetector`: (name, settings, rule)."""
    version = importlib.metadata.version(detector.package)
    return [
        DetectorGate(name, settings, version=version, size_bytes=detector.size_bytes,
                     detector=detector, rule=rule)
        for name, settings, rule in ways
    ]  # fmt: skip


def folder_of(module):
    """Where a module is installed, which is not imported."""
    spec = importlib.util.find_spec(module)
    if spec is None:
        raise ImportError(module)
    return Path(spec.submodule_search_locations[0])


def processor_time():
    """Processor seconds of this process, its threads, and the programs it has run."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def gain_between(before, after, floor):
    """The gain that turned `before` into `after`, sample by sample.

    Where the input is too soft to tell, the last gain goes on.
    """
    audible = np.abs(before) > 1e-5
    gain = np.full(len(before), np.nan)
    np.divide(after, before, out=gain, where=audible)
    index = np.where(audible, np.arange(len(before)), -1)
    index = np.maximum.accumulate(index)
    gain = np.where(index >= 0, gain[np.maximum(index, 0)], floor)
    return np.clip(np.abs(gain), floor, 1.0).astype(np.float32)
