"""What happens in the audio callback: channels, gate, mute, recording, meters. No device here."""

import time
from collections import deque

import numpy as np

from realtime.live.detector_budget import without_budget
from realtime.opposite_phase import OppositePhase

_PIECE = 4096
_FADE_SECONDS = 0.010
_PHASE_SECONDS = 10.0


class AudioPath:
    """Takes device blocks of any size and gates them.

    Parameters
    ----------
    gate : GateProcessor
    state : SharedState
        Where counters and meters go.
    in_columns, out_columns : sequence of int
        Columns of the device's arrays, counted from 0. One gated channel goes to all outputs.
    key_columns : sequence of int or None
        Columns that key the gate.
    record : RecordRing, optional
    muted : bool

    Notes
    -----
    Linked channels are watched for opposite phase by `phase`.
    What a `HeardDetector` of the first lane heard goes beside its meters.
    `process` never raises, locks or grows a buffer. Changes come through `changes`, a deque of
    callables that are called with the gate between two blocks.
    """

    def __init__(self, gate, state, *, in_columns, out_columns, key_columns=None, record=None,
                 muted=False):  # fmt: skip
        self.gate = gate
        self.state = state
        self.record = record
        self.muted = muted
        self.changes = deque()
        self.error = None
        self.overruns = None
        self._in_columns = list(in_columns)
        self._out_columns = list(out_columns)
        self._key_columns = None if key_columns is None else list(key_columns)
        self._dry = np.zeros((_PIECE, len(self._in_columns)), np.float32)
        self._key = np.zeros((_PIECE, len(self._key_columns or [0])), np.float32)
        self._wet = np.zeros((_PIECE, len(self._in_columns)), np.float32)
        self._mute_gain = 0.0 if muted else 1.0
        self._fade_step = 1.0 / (_FADE_SECONDS * gate.sample_rate)
        self._steps = np.arange(1, _PIECE + 1)
        gate.on_hop = self._on_hop
        linked = gate.settings.stereo_link == "linked" and len(self._in_columns) > 1
        self.phase = OppositePhase(c + 1 for c in self._in_columns) if linked else None

    def process(self, indata, outdata):
        """Gate one block of the device.

        Parameters
        ----------
        indata, outdata : ndarray, shape (n, channels), float32
            Any n; `outdata` is overwritten.
        """
        started = time.perf_counter()
        state = self.state
        n = len(indata)
        outdata.fill(0.0)
        for at in range(0, n, _PIECE):
            self._piece(indata[at : at + _PIECE], outdata[at : at + _PIECE])
        counters = self.gate.counters
        state.nonfinite_samples = counters.nonfinite_samples
        state.hops = counters.hops
        state.failed_hops = counters.failed_hops
        state.detector_failures = counters.detector_failures
        if self.overruns is not None:
            state.detector_overruns = self.overruns.count
            state.detector_late_ms = self.overruns.late_s * 1e3
        state.block_frames = n
        state.add("frames", n)
        load = (time.perf_counter() - started) * self.gate.sample_rate / max(n, 1)
        state.put_load(load)
        if load > 1.0:
            state.add("late_callbacks")
        state.add("callbacks")

    def phase_note(self):
        """A line on channels in opposite phase, once, after ten seconds of them; else None."""
        phase = self.phase
        if phase is None or phase.n_samples < _PHASE_SECONDS * self.gate.sample_rate:
            return None
        note = phase.note()
        self.phase = None if note else OppositePhase(c + 1 for c in self._in_columns)
        return note

    def _piece(self, indata, outdata):
        n = len(indata)
        dry, key, wet = self._dry[:n], None, self._wet[:n]
        for column, source in enumerate(self._in_columns):
            dry[:, column] = indata[:, source]
        try:
            while self.changes:
                self.changes.popleft()(self.gate)
            if self._key_columns is not None:
                key = self._key[:n]
                for column, source in enumerate(self._key_columns):
                    key[:, column] = indata[:, source]
            self.gate.process(dry, key, out=wet)
            phase = self.phase  # the one that looks may take it away
            if phase is not None:
                phase.add(dry)
        except Exception as error:
            # Fail open: what comes in goes out, and the interface is told.
            self.state.add("callback_errors")
            self.error = f"{type(error).__name__}: {error}"
            np.nan_to_num(dry, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
            wet[:] = dry
        if self.record is not None:
            self.record.put(dry, wet)
        if self.muted or self._mute_gain < 1.0:
            self._fade(wet)
        mono = wet.shape[1] == 1
        for column, sink in enumerate(self._out_columns):
            outdata[:, sink] = wet[:, 0 if mono else column]

    def _fade(self, wet):
        """Go towards silence or back within 10 ms."""
        n = len(wet)
        step = -self._fade_step if self.muted else self._fade_step
        gains = np.clip(self._mute_gain + step * self._steps[:n], 0.0, 1.0)
        self._mute_gain = float(gains[-1])
        wet *= gains[:, None].astype(np.float32)

    def _on_hop(self, lane, meters):
        if lane == 0:
            detector = self.gate.lanes[0].detector
            detector = without_budget(detector)
            heard = getattr(detector, "log_mel", None), getattr(detector, "ears_said", None)
            self.state.put_hop(meters, *heard)
