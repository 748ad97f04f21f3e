"""RNNoise's voice probability, from the library in `pyrnnoise`.

The library is loaded directly: the package around it imports much that is not needed here.
"""

import ctypes
import importlib.metadata
import importlib.util
from pathlib import Path

import numpy as np

from benchmarks.peers.base import DetectorGate
from benchmarks.quality.decisions import Decisions, Rule

_FRAME = 480


class RnNoise:
    """10 ms at 48 kHz a decision, known at the frame's end."""

    name = "rnnoise"
    sample_rate = 48000

    def __init__(self):
        spec = importlib.util.find_spec("pyrnnoise")
        if spec is None:
            raise ImportError("pyrnnoise")
        folder = Path(spec.submodule_search_locations[0])
        names = [folder / n for n in ("librnnoise.so", "librnnoise.dylib", "rnnoise.dll")]
        self.path = next((path for path in names if path.is_file()), None)
        if self.path is None:
            raise ImportError("librnnoise")
        self._library = library = ctypes.CDLL(str(self.path))
        pointer = ctypes.POINTER(ctypes.c_float)
        library.rnnoise_create.argtypes, library.rnnoise_create.restype = (
            [ctypes.c_void_p], ctypes.c_void_p,
        )  # fmt: skip
        library.rnnoise_destroy.argtypes = [ctypes.c_void_p]
        library.rnnoise_process_frame.argtypes = [ctypes.c_void_p, pointer, pointer]
        library.rnnoise_process_frame.restype = ctypes.c_float
        self._pointer = pointer

    def decide(self, hearing):
        """Stream the recording from a fresh state."""
        samples = (hearing.at(self.sample_rate) * np.float32(32768.0)).astype(np.float32)
        n_frames = len(samples) // _FRAME
        out = np.empty(_FRAME, np.float32)
        state = self._library.rnnoise_create(None)
        try:
            scores = np.array(
                [
                    self._library.rnnoise_process_frame(
                        state,
                        out.ctypes.data_as(self._pointer),
                        samples[k * _FRAME : (k + 1) * _FRAME].ctypes.data_as(self._pointer),
                    )
                    for k in range(n_frames)
                ]
            )
        finally:
            self._library.rnnoise_destroy(state)
        return Decisions((np.arange(n_frames) + 1) * 0.01, scores)


def systems():
    """As voice-activated plugins around RNNoise run it: half a probability, 200 ms of grace."""
    detector = RnNoise()
    return [
        DetectorGate(
            "RNNoise", "voice probability .5, hold 200 ms", detector=detector,
            rule=Rule(0.5, 0.0, 200.0), version=importlib.metadata.version("pyrnnoise"),
            size_bytes=detector.path.stat().st_size,
        )
    ]  # fmt: skip
