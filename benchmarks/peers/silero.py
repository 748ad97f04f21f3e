"""Silero VAD: the ONNX file of the `silero-vad` package, without torch.

The package asks for torch, which its ONNX file does not need:
``pip install --no-deps silero-vad`` is enough.
"""

from benchmarks.peers.base import ChunkedDetector, folder_of, systems_of
from benchmarks.quality.decisions import Rule
from realtime.onnx_session import open_session
from training.voice.teachers import silero_scores

EVIDENCE = (0.5, 0.5)
"""Costs of the two-state machine over its chunks. With a neutral probability of .7 the best mean
balanced accuracy of a grid on the dev mixtures."""


class Silero(ChunkedDetector):
    """512 samples at 16 kHz a decision, 64 samples of context, known at the chunk's end."""

    name, package, chunk = "silero", "silero-vad", 512

    def __init__(self):
        path = folder_of("silero_vad") / "data" / "silero_vad.onnx"
        self.size_bytes = path.stat().st_size
        self._session = open_session(path)

    def scores(self, chunks):
        """From a fresh state."""
        return silero_scores(self._session, chunks.reshape(1, -1))[0]


def systems():
    """Silero at its default threshold, and as its own iterator uses it."""
    evidence = (
        f"raw ONNX, logits above .7 added up, opening costs {EVIDENCE[0]:g}, shutting "
        f"{EVIDENCE[1]:g} nats (chosen on dev)"
    )
    iterator = "raw ONNX, opens at .5, shuts at .35, hold 100 ms"
    return systems_of(
        Silero(),
        ("Silero .5", "raw ONNX, threshold .5, no hold", Rule(0.5)),
        ("Silero .5/.35", iterator, Rule(0.5, 0.15, 100.0)),
        ("Silero, evidence", evidence, Rule(0.7, costs=EVIDENCE)),
    )
