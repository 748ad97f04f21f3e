"""The gate's core in machine code: finding the library, opening it, its C interface.

`make native` builds it from the detector's ONNX file and the sources of the plugin.
"""

import ctypes
import hashlib
import itertools
import os
from ctypes import POINTER, c_char_p, c_double, c_int, c_int64, c_void_p
from pathlib import Path

from gate.errors import ModelError

LIBRARY_VARIABLE = "EXEMPLAR_GATE_NATIVE"
"""Environment variable with the path of the library, where it is not in its place."""

LIBRARY = Path(__file__).resolve().parent / "native" / "libexemplar-gate-core.so"
"""Where `make native` puts it."""

BUILD_IT = "build it with 'make native' (docs/plugin.md)"

_ABI = 1

METERS = (
    "time_s", "input_dbfs", "key_level_dbfs", "presence", "open", "gain_db", "attack_ms",
    "hold_ms", "release_ms", "key_low_hz", "key_high_hz", "reason", "evidence", "evidence_low",
    "evidence_high", "ears",
)  # fmt: skip


class RawMeters(ctypes.Structure):
    """`gate::Meters`."""

    _fields_ = [(name, c_double) for name in METERS]


class RawCounters(ctypes.Structure):
    """`gate::Counters`."""

    _fields_ = [
        (name, c_int64)
        for name in (
            "hops", "open_hops", "opens", "failed_hops", "detector_failures", "nonfinite_samples",
        )
    ]  # fmt: skip


ON_HOP = ctypes.CFUNCTYPE(None, POINTER(RawMeters))

_SIGNATURES = {
    "gate_abi": (c_int, []),
    "gate_inputs": (c_int, []),
    "gate_target": (c_char_p, [c_int]),
    "gate_detector_sha256": (c_char_p, []),
    "gate_ear_column": (c_int, []),
    "gate_parameters": (c_char_p, [c_int] + [POINTER(c_double)] * 3),
    "gate_new": (c_void_p, [c_int, c_int]),
    "gate_free": (None, [c_void_p]),
    "gate_configure": (None, [c_void_p, POINTER(c_double)]),
    "gate_reset": (None, [c_void_p]),
    "gate_latency": (c_int, [c_void_p]),
    "gate_on_hop": (None, [c_void_p, c_void_p]),
    "gate_meters": (None, [c_void_p, POINTER(RawMeters)]),
    "gate_counters": (None, [c_void_p, POINTER(RawCounters)]),
    "gate_presence_threshold": (c_double, [c_void_p]),
    "gate_run": (
        None,
        [c_void_p, c_int, c_int, c_void_p, c_void_p, c_int, c_void_p, c_void_p, c_int],
    ),
}


class NativeCore:
    """The library, opened.

    Parameters
    ----------
    path : str or Path, optional
        None: `library_path`.

    Attributes
    ----------
    call : ctypes.CDLL
        Its functions; other Python threads run meanwhile.
    call_held : ctypes.PyDLL
        The same, holding the interpreter's lock: for blocks, which are shorter than the wait to
        get it back.
    inputs : dict
        Initial value of each input by name, in the order of `gate_configure`.
    targets : tuple of str
        In the order of the input ``target``.
    has_ear : bool
        Whether the second ear is built in.

    Raises
    ------
    ModelError
        One line where there is no library, or it is none of this version.
    """

    def __init__(self, path=None):
        self.path = library_path() if path is None else Path(path)
        if not self.path.is_file():
            raise ModelError(f"engine native: {self.path} is not there: {BUILD_IT}")
        try:
            self.call = _declared(ctypes.CDLL(str(self.path)))
            self.call_held = _declared(ctypes.PyDLL(str(self.path)))
        except (OSError, AttributeError) as error:
            raise ModelError(f"engine native: {self.path}: {error}: {BUILD_IT}") from None
        if self.call.gate_abi() != _ABI:
            raise ModelError(f"engine native: {self.path} is of another version: {BUILD_IT}")
        numbers = [c_double() for _ in range(3)]
        self.inputs = {}
        for index in range(self.call.gate_inputs()):
            name = self.call.gate_parameters(index, *numbers).decode()
            self.inputs[name] = numbers[2].value
        named = (self.call.gate_target(index) for index in itertools.count())
        self.targets = tuple(one.decode() for one in itertools.takewhile(bool, named))
        self.has_ear = self.call.gate_ear_column() >= 0

    def check_detector(self, path):
        """Raise `ModelError` unless the detector built in is this ONNX file."""
        wanted = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        if self.call.gate_detector_sha256().decode() != wanted:
            raise ModelError(
                f"engine native: the detector built into {self.path} is not {path}: {BUILD_IT}"
            )


def library_path():
    """Where the library is looked for, a Path."""
    named = os.environ.get(LIBRARY_VARIABLE)
    return Path(named) if named else LIBRARY


def _declared(library):
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
