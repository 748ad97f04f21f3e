"""WebRTC's VAD, from `webrtcvad-wheels`."""

import importlib.metadata

import numpy as np

from benchmarks.peers.base import DetectorGate
from benchmarks.quality.decisions import Decisions

_FRAME = 160


class WebRtc:
    """10 ms at 16 kHz a decision, yes or no, mode 3 (the most aggressive)."""

    name = "webrtc"
    sample_rate = 16000

    def __init__(self):
        import webrtcvad

        self._make = lambda: webrtcvad.Vad(3)
        self._make()

    def decide(self, hearing):
        """Stream the recording from a fresh state."""
        samples = np.clip(hearing.at(self.sample_rate) * 32767.0, -32768, 32767).astype("<i2")
        vad, n_frames = self._make(), len(samples) // _FRAME
        frames = samples[: n_frames * _FRAME].reshape(n_frames, _FRAME)
        scores = [float(vad.is_speech(frame.tobytes(), self.sample_rate)) for frame in frames]
        return Decisions((np.arange(n_frames) + 1) * 0.01, np.array(scores))


def systems():
    """Mode 3 without hold."""
    version = importlib.metadata.version("webrtcvad-wheels")
    return [
        DetectorGate(
            "WebRTC 3", "mode 3, 10 ms frames, no hold", detector=WebRtc(), version=version
        )
    ]
