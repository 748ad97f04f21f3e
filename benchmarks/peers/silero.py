"""Silero VAD: the ONNX file of the `silero-vad` package, without torch.

The package asks for torch, which its ONNX file does not need:
``pip install --no-deps silero-vad`` is enough.
"""

import importlib.metadata
import importlib.util
from pathlib import Path

import numpy as np

from benchmarks.peers.base import DetectorGate
from benchmarks.quality.decisions import Decisions, Rule
from realtime.onnx_session import open_session

_CHUNK, _CONTEXT = 512, 64
EVIDENCE = (0.5, 0.5)
"""Costs of the two-state machine over its chunks. With a neutral probability of .7 the best mean
balanced accuracy of a grid on the dev mixtures."""


class Silero:
    """512 samples at 16 kHz a decision, 64 samples of context, known at the chunk's end."""

    name = "silero"
    sample_rate = 16000

    def __init__(self):
        spec = importlib.util.find_spec("silero_vad")
        if spec is None:
            raise ImportError("silero_vad")
        self.path = Path(spec.submodule_search_locations[0]) / "data" / "silero_vad.onnx"
        self._session = open_session(self.path)

    def decide(self, hearing):
        """Stream the recording from a fresh state."""
        samples = hearing.at(self.sample_rate)
        n_chunks = len(samples) // _CHUNK
        padded = np.concatenate([np.zeros(_CONTEXT, np.float32), samples])[None]
        state = np.zeros((2, 1, 128), np.float32)
        rate = np.array(self.sample_rate)
        scores = np.empty(n_chunks)
        for k in range(n_chunks):
            window = padded[:, k * _CHUNK : (k + 1) * _CHUNK + _CONTEXT]
            score, state = self._session.run(None, {"input": window, "state": state, "sr": rate})
            scores[k] = score[0, 0]
        known = (np.arange(n_chunks) + 1) * _CHUNK / self.sample_rate
        return Decisions(known, scores)


def systems():
    """Silero at its default threshold, and as its own iterator uses it."""
    detector = Silero()
    common = {
        "detector": detector,
        "version": importlib.metadata.version("silero-vad"),
        "size_bytes": detector.path.stat().st_size,
    }
    return [
        DetectorGate("Silero .5", "raw ONNX, threshold .5, no hold", rule=Rule(0.5), **common),
        DetectorGate(
            "Silero .5/.35", "raw ONNX, opens at .5, shuts at .35, hold 100 ms",
            rule=Rule(0.5, 0.15, 100.0), **common,
        ),
        DetectorGate(
            "Silero, evidence",
            f"raw ONNX, logits above .7 added up, opening costs {EVIDENCE[0]:g}, shutting "
            f"{EVIDENCE[1]:g} nats (chosen on dev)",
            rule=Rule(0.7, costs=EVIDENCE), **common,
        ),
    ]  # fmt: skip
