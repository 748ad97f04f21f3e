"""RNNoise's voice probability, from the library in `pyrnnoise`.

The library is loaded directly: the package around it imports much that is not needed here.
"""

import ctypes

import numpy as np

from benchmarks.peers.base import ChunkedDetector, folder_of, systems_of
from benchmarks.quality.decisions import Rule


class RnNoise(ChunkedDetector):
    """10 ms at 48 kHz a decision, known at the frame's end."""

    name, package, sample_rate, chunk = "rnnoise", "pyrnnoise", 48000, 480

    def __init__(self):
        folder = folder_of("pyrnnoise")
        names = [folder / n for n in ("librnnoise.so", "librnnoise.dylib", "rnnoise.dll")]
        path = next((path for path in names if path.is_file()), None)
        if path is None:
            raise ImportError("librnnoise")
        self.size_bytes = path.stat().st_size
        self._library = library = ctypes.CDLL(str(path))
        library.rnnoise_create.argtypes = library.rnnoise_destroy.argtypes = [ctypes.c_void_p]
        library.rnnoise_create.restype = ctypes.c_void_p
        library.rnnoise_process_frame.argtypes = [ctypes.c_void_p] * 3  # state, out, in
        library.rnnoise_process_frame.restype = ctypes.c_float

    def scores(self, chunks):
        """From a fresh state."""
        out = np.empty(self.chunk, np.float32)
        state = self._library.rnnoise_create(None)
        try:
            for chunk in chunks * np.float32(32768.0):
                yield self._library.rnnoise_process_frame(state, out.ctypes.data, chunk.ctypes.data)
        finally:
            self._library.rnnoise_destroy(state)


def systems():
    """As voice-activated plugins around RNNoise run it: half a probability, 200 ms of grace."""
    rule = Rule(0.5, 0.0, 200.0)
    return systems_of(RnNoise(), ("RNNoise", "voice probability .5, hold 200 ms", rule))
