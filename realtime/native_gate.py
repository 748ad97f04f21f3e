"""`NativeGate`: the gate in machine code, behind the contract of `gate.processor.GateProcessor`.

The core is the plugin's; the Python gate is its oracle (tests hold the two together).
"""

import ctypes
import math

import numpy as np

from gate.checks import as_floats
from gate.control import Reason
from gate.errors import ConfigError
from gate.key import KeyBand
from gate.meters import Counters, Meters, MeterTable
from gate.settings import FILE, LEARNED, GateSettings, check_format
from realtime.native_core import METERS, ON_HOP, RawCounters, RawMeters

_EAR = "silero"
_KEYS = ("learned", "off")
_MAX_LINKED = 2


def input_values(settings, targets, second_ear=True):
    """`GateSettings` as inputs of the core, a dict; NaN leaves a value to the detector.

    Raises
    ------
    ConfigError
        For a target that the detector's table does not name.
    """
    if settings.target not in targets:
        raise ConfigError(
            f"target={settings.target!r} must be one of {', '.join(targets)} with engine native"
        )
    values = {
        name: getattr(settings, name)
        for name in ("threshold_db", "range_db", "hysteresis_db", "lookahead_ms")
    }
    values |= {
        "target": targets.index(settings.target),
        "key_listen": settings.key_listen,
        "mode": settings.mode == "duck",
        "bypass": settings.bypass,
        "second_ear": second_ear,
        "presence_mode": 1,
        "key": 2 if isinstance(settings.key, KeyBand) else _KEYS.index(settings.key),
    }
    if isinstance(settings.key, KeyBand):
        values |= {"key_low_hz": settings.key.low_hz, "key_high_hz": settings.key.high_hz}
    for name in ("presence_threshold", "presence_hysteresis"):
        value = getattr(settings, name)
        values[name] = math.nan if value == LEARNED else value
    for name in ("attack", "hold", "release"):
        value = getattr(settings, f"{name}_ms")
        values[f"{name}_mode"] = value != LEARNED
        if value != LEARNED:
            values[f"{name}_ms"] = value
    return values


class NativeLane:
    """One decision of a `NativeGate`: what watches a lane finds here.

    Attributes
    ----------
    detector : object
        With the detector's ``info``; it cannot be asked.
    """

    def __init__(self, core, sample_rate, channels, detector):
        self.detector, self._core = detector, core
        self.handle = core.call.gate_new(sample_rate, channels)

    def __del__(self):
        self._core.call.gate_free(self.handle)

    @property
    def meters(self):
        """`Meters` of the last hop."""
        raw = RawMeters()
        self._core.call_held.gate_meters(self.handle, raw)
        return _meters(raw)

    @property
    def counters(self):
        """What the core counted, a dict."""
        raw = RawCounters()
        self._core.call_held.gate_counters(self.handle, raw)
        return {name: getattr(raw, name) for name, _ in RawCounters._fields_}

    @property
    def presence_threshold(self):
        """The presence threshold in force, set or learned."""
        return self._core.call_held.gate_presence_threshold(self.handle)


class _BuiltIn:
    """Stands for the detector in the core: it has its `info`."""

    def __init__(self, info):
        self.info = info


class NativeGate:
    """A streaming gate for blocks of any size, in machine code.

    The same samples come out whatever the block size, bit for bit. Decisions are those of
    `gate.processor.GateProcessor`, gains its within rounding.

    Parameters
    ----------
    core : realtime.native_core.NativeCore
    settings : GateSettings or None
    sample_rate : int
        8,000 to 192,000 Hz.
    channels : int
        1 or 2 linked, 1 to 8 independent.
    info : gate.detector.DetectorInfo
        Of the detector that is built in.
    ears : sequence of str, optional
        Second ears to hear with, of those built in; None: all.

    Attributes
    ----------
    settings, latency_samples, counters, meters, on_hop, on_hops, on_gains
        As `gate.processor.GateProcessor`'s; `stereo_link` of several channels stays as it was
        opened.

    Raises
    ------
    ConfigError
        One line for what it cannot do: more than two linked channels, ``lookahead_ms: file``,
        another detector.
    """

    def __init__(self, core, settings=None, *, sample_rate, channels=1, info, ears=None):
        check_format(sample_rate, channels)
        settings = settings or GateSettings()
        self.sample_rate, self.channels = sample_rate, channels
        self._core, self._detector = core, _BuiltIn(info)
        self._linked = settings.stereo_link == "linked"
        if self._linked and channels > _MAX_LINKED:
            raise ConfigError(
                f"channels={channels} must be at most {_MAX_LINKED} linked with engine native "
                "(stereo_link=independent takes 8)"
            )
        self._hears = core.has_ear and _EAR in info.ears and (ears is None or _EAR in ears)
        self._wide = channels if self._linked else 1
        self._settings = settings
        values = self._values(settings)
        self._lanes = [
            NativeLane(core, sample_rate, self._wide, self._detector)
            for _ in range(channels // self._wide)
        ]
        self._handles = (ctypes.c_void_p * len(self._lanes))(*(one.handle for one in self._lanes))
        self._at = ctypes.addressof(self._handles)
        self._run, self._run_long = core.call_held.gate_run, core.call.gate_run
        self._counters, self._heard = Counters(), None  # hops of a stretch, for `on_hops`
        self._on_hop = self.on_hops = self.on_gains = self._error = None
        self._callbacks = [ON_HOP(self._told(index)) for index in range(len(self._lanes))]
        self._configure(values)
        self.reset()

    def _values(self, settings):
        if settings.lookahead_ms == FILE:
            raise ConfigError(
                "lookahead_ms='file' must be a number of ms with engine native, which streams"
            )
        values = self._core.inputs | input_values(settings, self._core.targets, self._hears)
        return (ctypes.c_double * len(values))(*values.values())

    def _configure(self, values):
        for lane in self._lanes:
            self._core.call_held.gate_configure(lane.handle, values)

    def reset(self):
        """Forget all sound and all counts; settings stay."""
        for lane in self._lanes:
            self._core.call_held.gate_reset(lane.handle)

    @property
    def settings(self):
        """The settings in force; assignable between blocks."""
        return self._settings

    @settings.setter
    def settings(self, settings):
        self.check(settings)
        self._configure(self._values(settings))
        self._settings = settings

    def check(self, settings):
        """Raise `ConfigError` for settings that this gate cannot take."""
        self._values(settings)
        if self.channels > 1 and (settings.stereo_link == "linked") != self._linked:
            raise ConfigError(
                f"stereo_link={settings.stereo_link!r} must stay "
                f"{self._settings.stereo_link!r} while engine native runs"
            )

    @property
    def detector(self):
        """What is built in, with its ``info``. It cannot be changed."""
        return self._detector

    @detector.setter
    def detector(self, detector):
        self.take_detector(detector)

    def take_detector(self, detector, ears=None):
        """Refused: the detector is built in."""
        raise ConfigError(
            f"engine native has detector {self._detector.info.name!r} built in and takes no other"
        )

    @property
    def latency_samples(self):
        """Delay of the audio path in samples."""
        return self._core.call_held.gate_latency(self._lanes[0].handle)

    @property
    def presence_threshold(self):
        """The presence threshold in force, set or learned."""
        return self._lanes[0].presence_threshold

    @property
    def ears_heard(self):
        """Names of the second ears that are heard, a tuple."""
        return (_EAR,) if self._hears else ()

    @property
    def ears_silent(self):
        """Why the others are not heard: name to reason, a dict."""
        heard, built = self.ears_heard, (_EAR,) if self._core.has_ear else ()
        return {
            name: "switched off" if name in built else "not built in"
            for name in self._detector.info.ears
            if name not in heard
        }

    @property
    def counters(self):
        """`Counters` since the last reset; the same object at every call."""
        found = [lane.counters for lane in self._lanes]
        for name in found[0]:
            setattr(self._counters, name, sum(one[name] for one in found))
        return self._counters

    @property
    def meters(self):
        """`Meters` of the last hop; of the lane with the highest gain where there are several."""
        return max(self.lane_meters, key=lambda m: m.gain_db)

    @property
    def lane_meters(self):
        """`Meters` of every lane, a tuple."""
        return tuple(lane.meters for lane in self._lanes)

    @property
    def lanes(self):
        """The lanes, a list of `NativeLane`."""
        return self._lanes

    @property
    def on_hop(self):
        """Called with the lane's index and `Meters` after every decision, or None."""
        return self._on_hop

    @on_hop.setter
    def on_hop(self, listener):
        self._on_hop = listener
        self._listen()

    def _listen(self):
        wanted = self._on_hop is not None or self._heard is not None
        for lane, callback in zip(self._lanes, self._callbacks, strict=True):
            told = ctypes.cast(callback, ctypes.c_void_p) if wanted else None
            self._core.call_held.gate_on_hop(lane.handle, told)

    def _told(self, index):
        def told(raw):
            try:
                if self._heard is not None:
                    self._heard[index] += raw.contents
                if self._on_hop is not None:
                    self._on_hop(index, _meters(raw.contents))
            except BaseException as error:  # it must not be lost in the C code between
                self._error = self._error or error

        return told

    def process(self, block, key_input=None, out=None):
        """Gate a block; see `gate.processor.GateProcessor.process`."""
        audio = as_floats(block)
        flat = audio.ndim == 1
        result = self._gated(audio[:, None] if flat else audio, key_input, self._run)
        if out is not None:
            out.reshape(len(result), -1)[:] = result
            return out
        return result[:, 0] if flat else result

    def process_many(self, audio, key_input=None):
        """Gate a long stretch at once; other Python threads run meanwhile."""
        if self.on_hops is None:
            return self._gated(as_floats(audio), key_input, self._run_long)
        heard = self._heard = [bytearray() for _ in self._lanes]
        self._listen()
        try:
            result = self._gated(as_floats(audio), key_input, self._run_long)
        finally:
            self._heard = None
            self._listen()
        for index, raws in enumerate(heard):
            self.on_hops(index, _table(raws))
        return result

    def _gated(self, audio, key_input, run):
        if audio.ndim != 2 or audio.shape[1] != self.channels:
            raise ConfigError(f"block of shape {audio.shape} must be (samples, {self.channels})")
        audio, n = np.ascontiguousarray(audio), len(audio)
        result = np.empty((n, self.channels), np.float32)
        key, n_keys = None, 0
        if key_input is not None:
            key = self._key(key_input, n)
            n_keys = key.shape[1]
        gains = None
        if self.on_gains is not None and run is self._run_long:
            gains = np.empty((len(self._lanes), n), np.float32)
        run(
            self._at, len(self._lanes), self._wide, audio.__array_interface__["data"][0],
            None if key is None else key.ctypes.data, n_keys,
            result.__array_interface__["data"][0], None if gains is None else gains.ctypes.data, n,
        )  # fmt: skip
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if gains is not None:
            for index, one in enumerate(gains):
                self.on_gains(index, one)
        return result

    def _key(self, key_input, n):
        key = as_floats(key_input)
        key = np.ascontiguousarray(key[:, None] if key.ndim == 1 else key)
        if len(key) != n:
            raise ConfigError(f"key_input of {len(key)} samples must be as long as the block")
        if key.ndim != 2 or not (1 <= key.shape[1] <= _MAX_LINKED or self._own(key)):
            raise ConfigError(
                f"key_input of shape {key.shape} must have 1 or {_MAX_LINKED} channels with "
                "engine native"
            )
        return key

    def _own(self, key):
        return not self._linked and key.shape[1] == self.channels


class NativeFileGate(NativeGate):
    """The same for recordings, with the contract of `gate.hindsight.FileGate`."""

    def reset(self):
        """Ready for another recording; settings stay."""
        super().reset()
        self._skip, self._taken = self.latency_samples, False

    def feed(self, audio, key_input=None):
        """Take the next stretch of a recording; returns what is decided, in place."""
        self._taken = self._taken or len(audio) > 0
        return self._cut(self.process_many(audio, key_input))

    def finish(self):
        """The rest of the recording; then `reset` before the next."""
        tail = np.zeros((self.latency_samples if self._taken else 0, self.channels), np.float32)
        listeners = self.on_hop, self.on_hops
        self.on_hop = self.on_hops = None  # no hop lies beyond the recording
        try:
            return self._cut(self.process_many(tail))
        finally:
            self.on_hop, self.on_hops = listeners

    def _cut(self, gated):
        drop = min(self._skip, len(gated))
        self._skip -= drop
        return gated[drop:]


def _meters(raw):
    found = {name: getattr(raw, name) for name in METERS}
    found["open"] = bool(raw.open)
    found["reason"] = Reason(int(raw.reason)).label
    found["ears"] = int(raw.ears)
    return Meters(**found)


def _table(raws):
    """`MeterTable` of the bytes of hops' `RawMeters`."""
    columns = dict(zip(METERS, np.frombuffer(raws).reshape(-1, len(METERS)).T, strict=True))
    whole = {name: columns[name].astype(int) for name in ("reason", "ears")}
    return MeterTable(**columns | whole | {"open": columns["open"] > 0.0})
