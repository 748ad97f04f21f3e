"""The plugin's core from Python, over its C interface."""

import ctypes
from dataclasses import dataclass

import numpy as np

from gate.key import KeyBand
from gate.settings import LEARNED

_METERS = (
    "time_s",
    "input_dbfs",
    "key_level_dbfs",
    "presence",
    "open",
    "gain_db",
    "attack_ms",
    "hold_ms",
    "release_ms",
    "key_low_hz",
    "key_high_hz",
    "reason",
    "evidence",
    "evidence_low",
    "evidence_high",
    "ears",
)
_FLOATS = ctypes.POINTER(ctypes.c_float)


class _Meters(ctypes.Structure):
    _fields_ = [(name, ctypes.c_double) for name in _METERS]


@dataclass
class NativeCounters:
    """As `gate.lane.Counters`."""

    hops: int
    open_hops: int
    opens: int
    failed_hops: int
    detector_failures: int
    nonfinite_samples: int


class _Counters(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in NativeCounters.__dataclass_fields__]


_ON_HOP = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Meters))


def load_core(path):
    """Open the shared library and declare its functions."""
    core = ctypes.CDLL(str(path))
    handle = ctypes.c_void_p
    pointers = ctypes.POINTER(_FLOATS)
    signatures = {
        "gate_new": (handle, [ctypes.c_int, ctypes.c_int]),
        "gate_free": (None, [handle]),
        "gate_set": (ctypes.c_int, [handle, ctypes.c_char_p, ctypes.c_float]),
        "gate_profile": (ctypes.c_char_p, [handle, ctypes.c_char_p]),
        "gate_reset": (None, [handle]),
        "gate_latency": (ctypes.c_int, [handle]),
        "gate_on_hop": (None, [handle, _ON_HOP]),
        "gate_spoil": (None, [handle]),
        "gate_counters": (None, [handle, ctypes.POINTER(_Counters)]),
        "gate_process": (None, [handle, pointers, pointers, ctypes.c_int, pointers, ctypes.c_int]),
        "gate_detector_new": (handle, []),
        "gate_detector_free": (None, [handle]),
        "gate_detector_process": (None, [handle, _FLOATS, _FLOATS, pointers]),
        "gate_detector_ears": (ctypes.c_int, []),
        "gate_ear_column": (ctypes.c_int, []),
        "gate_ear_new": (handle, []),
        "gate_ear_free": (None, [handle]),
        "gate_ear_reset": (None, [handle]),
        "gate_ear_process": (ctypes.c_float, [handle, _FLOATS, ctypes.c_int]),
        "gate_detector_sha256": (ctypes.c_char_p, []),
        "gate_parameters": (
            ctypes.c_char_p,
            [ctypes.c_int] + [ctypes.POINTER(ctypes.c_double)] * 3,
        ),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(core, name)
        function.restype, function.argtypes = result, arguments
    return core


def parameter_table(core):
    """Symbol -> (low, high, initial), in the host's order."""
    table, values = {}, [ctypes.c_double() for _ in range(3)]
    index = 0
    while symbol := core.gate_parameters(index, *values):
        table[symbol.decode()] = tuple(value.value for value in values)
        index += 1
    return table


def host_values(settings, targets=("speech", "voice")):
    """`GateSettings` as parameter values of the plugin, a dict."""
    values = {
        "threshold_db": settings.threshold_db,
        "range_db": settings.range_db,
        "hysteresis_db": settings.hysteresis_db,
        "lookahead_ms": settings.lookahead_ms,
        "target": targets.index(settings.target),
        "key_listen": settings.key_listen,
        "mode": settings.mode == "duck",
        "bypass": settings.bypass,
        "presence_mode": settings.presence_threshold != LEARNED,
        "key": 2 if isinstance(settings.key, KeyBand) else int(settings.key == "off"),
    }
    if isinstance(settings.key, KeyBand):
        values |= {"key_low_hz": settings.key.low_hz, "key_high_hz": settings.key.high_hz}
    if settings.presence_threshold != LEARNED:
        values["presence_threshold"] = settings.presence_threshold
        values["presence_hysteresis"] = settings.presence_hysteresis
    for name in ("attack", "hold", "release"):
        value = getattr(settings, f"{name}_ms")
        values[f"{name}_mode"] = value != LEARNED
        if value != LEARNED:
            values[f"{name}_ms"] = value
    return {name: float(value) for name, value in values.items()}


class NativeGate:
    """The plugin's gate with the shape of `gate.processor.GateProcessor`."""

    def __init__(self, core, settings=None, *, sample_rate, channels=1):
        self._core = core
        self.channels = channels
        self._handle = core.gate_new(sample_rate, channels)
        self.trace = []
        self._callback = _ON_HOP(self._note)
        if settings is not None:
            self.configure(settings)
            self.reset()

    def __del__(self):
        self._core.gate_free(self._handle)

    def configure(self, settings):
        for name, value in host_values(settings).items():
            assert self._core.gate_set(self._handle, name.encode(), value) == 0, name

    def load_profile(self, text):
        """None, or why the profile is refused."""
        reason = self._core.gate_profile(self._handle, text.encode())
        return None if reason is None else reason.decode()

    def reset(self):
        self._core.gate_reset(self._handle)

    def keep_trace(self):
        """From now on append a dict of meters to `trace` after every decision."""
        self._core.gate_on_hop(self._handle, self._callback)

    def spoil(self):
        """Make the next detection fail."""
        self._core.gate_spoil(self._handle)

    @property
    def latency_samples(self):
        return self._core.gate_latency(self._handle)

    @property
    def counters(self):
        raw = _Counters()
        self._core.gate_counters(self._handle, ctypes.byref(raw))
        return NativeCounters(*(getattr(raw, name) for name, _ in _Counters._fields_))

    def process(self, block, key=None):
        """float32 (n, channels) in and out; key (n, k) or None."""
        planes = np.ascontiguousarray(block.T, dtype=np.float32)
        out = np.empty_like(planes)
        keys = None if key is None else np.ascontiguousarray(key.T, dtype=np.float32)
        self._core.gate_process(
            self._handle,
            _rows(planes),
            None if keys is None else _rows(keys),
            0 if keys is None else len(keys),
            _rows(out),
            planes.shape[1],
        )
        return out.T

    def _note(self, meters):
        self.trace.append({name: getattr(meters.contents, name) for name in _METERS})


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
