"""The plugin's core from Python: the library of the engine native, with what only tests ask."""

import ctypes
import math
from ctypes import POINTER, c_char_p, c_float, c_int, c_void_p
from types import SimpleNamespace

import numpy as np

from gate.settings import LEARNED
from realtime import native_gate
from realtime.native_core import NativeCore

_FLOATS = POINTER(c_float)
_PLANES = POINTER(_FLOATS)
_SIGNATURES = {
    "gate_set": (c_int, [c_void_p, c_char_p, c_float]),
    "gate_profile": (c_char_p, [c_void_p, c_char_p]),
    "gate_spoil": (None, [c_void_p]),
    "gate_process": (None, [c_void_p, _PLANES, _PLANES, c_int, _PLANES, c_int]),
    "gate_detector_new": (c_void_p, []),
    "gate_detector_free": (None, [c_void_p]),
    "gate_detector_process": (None, [c_void_p, _FLOATS, _FLOATS, _PLANES]),
    "gate_detector_ears": (c_int, []),
    "gate_ear_new": (c_void_p, []),
    "gate_ear_free": (None, [c_void_p]),
    "gate_ear_reset": (None, [c_void_p]),
    "gate_ear_process": (c_float, [c_void_p, _FLOATS, c_int]),
}


class Core(NativeCore):
    """Its functions are attributes."""

    def __init__(self, path):
        super().__init__(path)
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(self.call, name)
            function.restype, function.argtypes = result, arguments

    def __getattr__(self, name):
        if not name.startswith("gate_"):
            raise AttributeError(name)
        return getattr(self.call, name)


def parameter_table(core):
    """Symbol -> (low, high, initial), in the host's order."""
    table, values = {}, [ctypes.c_double() for _ in range(3)]
    index = 0
    while symbol := core.gate_parameters(index, *values):
        table[symbol.decode()] = tuple(value.value for value in values)
        index += 1
    return table


class NativeGate(native_gate.NativeGate):
    """The gate of the engine native, with what only tests ask of it."""

    def __init__(self, core, settings=None, *, sample_rate, channels=1):
        info = SimpleNamespace(name="built in", ears=("silero",))
        super().__init__(core, settings, sample_rate=sample_rate, channels=channels, info=info)
        self.trace = []

    def configure(self, settings):
        self.settings = settings

    def set_as_hosts_do(self, settings):
        """Every parameter by its name, one after the other."""
        values = native_gate.input_values(settings, self._core.targets)
        values["presence_mode"] = settings.presence_threshold != LEARNED
        for name, value in values.items():
            if not math.isnan(value):
                assert self._core.gate_set(self.lanes[0].handle, name.encode(), value) == 0, name

    def load_profile(self, text):
        """None, or why the profile is refused."""
        reason = self._core.gate_profile(self.lanes[0].handle, text.encode())
        return None if reason is None else reason.decode()

    def keep_trace(self):
        """From now on append a dict of meters to `trace` after every decision."""
        self.on_hop = lambda _, meters: self.trace.append(vars(meters))

    def spoil(self):
        """Make the next detection fail."""
        self._core.gate_spoil(self.lanes[0].handle)

    def process(self, block, key=None):
        """A whole block at once, as hosts hand it over; key (n, k) or None."""
        planes = np.ascontiguousarray(block.T, dtype=np.float32)
        out = np.empty_like(planes)
        keys = None if key is None else np.ascontiguousarray(key.T, dtype=np.float32)
        self._core.gate_process(
            self.lanes[0].handle,
            _rows(planes),
            None if keys is None else _rows(keys),
            0 if keys is None else len(keys),
            _rows(out),
            planes.shape[1],
        )
        return out.T


def _rows(planes):
    return (_FLOATS * len(planes))(*(row.ctypes.data_as(_FLOATS) for row in planes))


def run_detector(core, features, ears=None):
    """Outputs of the generated detector on features (T, n_mels): list of four arrays.

    `ears` (T, k) is what the other ears say; None is silence.
    """
    detector = core.gate_detector_new()
    widths = (128, 5, 64, 3)
    out = [np.empty((len(features), width), np.float32) for width in widths]
    pointers = (_FLOATS * 4)()
    features = np.ascontiguousarray(features, np.float32)
    if ears is None:
        ears = np.zeros((len(features), core.gate_detector_ears()))
    ears = np.ascontiguousarray(ears, np.float32)
    for hop, (row, heard) in enumerate(zip(features, ears, strict=True)):
        inputs = (array.ctypes.data_as(_FLOATS) for array in (row, heard))
        core.gate_detector_process(detector, *inputs, pointers)
        for array, pointer, width in zip(out, pointers, widths, strict=True):
            array[hop] = np.ctypeslib.as_array(pointer, (width,))
    core.gate_detector_free(detector)
    return out


class NativeEar:
    """The second ear alone, as the core computes it."""

    def __init__(self, core):
        self._core, self._handle = core, core.gate_ear_new()

    def __del__(self):
        self._core.gate_ear_free(self._handle)

    def reset(self):
        self._core.gate_ear_reset(self._handle)

    def process(self, samples):
        """Hear 16 kHz samples; the value afterwards."""
        samples = np.ascontiguousarray(samples, np.float32)
        return self._core.gate_ear_process(
            self._handle, samples.ctypes.data_as(_FLOATS), len(samples)
        )
