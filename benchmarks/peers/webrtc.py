"""WebRTC's VAD, from `webrtcvad-wheels`."""

import numpy as np

from benchmarks.peers.base import ChunkedDetector, systems_of
from benchmarks.quality.decisions import Rule


class WebRtc(ChunkedDetector):
    """10 ms at 16 kHz a decision, yes or no, mode 3 (the most aggressive)."""

    name, package = "webrtc", "webrtcvad-wheels"

    def __init__(self):
        import webrtcvad

        self._make = lambda: webrtcvad.Vad(3)
        self._make()

    def scores(self, chunks):
        """From a fresh state."""
        vad = self._make()
        for chunk in np.clip(chunks * 32767.0, -32768, 32767).astype("<i2"):
            yield vad.is_speech(chunk.tobytes(), self.sample_rate)


def systems():
    """Mode 3 without hold."""
    return systems_of(WebRtc(), ("WebRTC 3", "mode 3, 10 ms frames, no hold", Rule()))
