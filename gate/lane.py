"""From one key signal to one gain curve: decimate, log-mel, detect, measure, decide, smooth.

A linked gate has one lane for all its channels, an independent one a lane a channel.
"""

import copy
import itertools
import math

import numpy as np

from gate.control import Control, Reason
from gate.decision import ClassicRule, lag_hops
from gate.ears import Ears
from gate.envelope import Envelope
from gate.frontend import Frontend
from gate.key import KeyLevel
from gate.meters import Decision, Meters
from gate.settings import FILE, LEARNED, RANGES
from gate.units import MIN_DBFS, db_to_gain, gain_to_db, mean_square_dbfs, power_to_dbfs

_CLICK_FREE_S = 0.005  # time constant of bypass and of failing open
_MAX_RETRY_HOPS = 64
_SHUT = (Reason.BELOW_THRESHOLD, Reason.TARGET_ABSENT)


class Lane:
    """One key signal, one gain curve.

    Parameters
    ----------
    settings : GateSettings
    sample_rate : int
        Hz.
    detector : Detector
        Its own: the lane resets it.
    counters : Counters
        Where failures are counted; shared between lanes.
    ears : sequence of gate.ears.Ear
        Its own second ears; those that the detector names are heard.

    Notes
    -----
    The curve for the samples after a hop is computed when the hop ends; its length is
    the distance to the next hop's end. Latency of the gain against the sound that caused it:
    the decimator's, and up to one hop.
    """

    def __init__(self, settings, sample_rate, detector, counters, ears=()):
        self.sample_rate = sample_rate
        self.detector = detector
        self.counters = counters
        self.frontend = Frontend(sample_rate, detector.info.mel)
        self.ears = Ears(detector.info.ears, ears, counters)
        self._longest = self.frontend.longest_hop
        self._curve = np.empty(self._longest, dtype=np.float32)
        self.control = Control(0.0, 0.0, ClassicRule())
        self.envelope = Envelope(sample_rate, self._longest, 0.0)
        self.configure(settings)
        self.reset()

    def configure(self, settings):
        """Take new settings and keep all state."""
        info = self.detector.info
        columns = info.target_columns(settings.target)
        self._columns = columns if len(columns) > 1 else columns[0]
        rule = info.rule(
            settings.target,
            settings.hold_ms != LEARNED,
            *(None if value == LEARNED else value
              for value in (settings.presence_threshold, settings.presence_hysteresis)),
            whole_file=settings.lookahead_ms == FILE and not settings.key_listen,
        )  # fmt: skip
        self.presence_threshold = rule.threshold
        hop_ms = 1e3 * info.mel.hop_length / info.mel.sample_rate
        self.control.configure(
            settings.threshold_db,
            settings.hysteresis_db,
            rule,
            0 if settings.lookahead_ms == FILE else lag_hops(settings.lookahead_ms, hop_ms),
        )
        # A pinned time is a range of one value.
        self._bounds = 1e-3 * np.array(
            [
                RANGES[name] if value == LEARNED else (value, value)
                for name in ("attack_ms", "hold_ms", "release_ms")
                for value in (getattr(settings, name),)
            ]
        )
        self._limits = self._bounds.tolist()
        self.key_level = KeyLevel(settings.key, info.mel)
        reduced = db_to_gain(settings.range_db)
        duck = settings.mode == "duck"
        self._open_gain, self._shut_gain = (reduced, 1.0) if duck else (1.0, reduced)
        self._bypass = settings.bypass
        # A gate that starts bypassed passes its first sample as it is.
        self.envelope.set_initial_gain(1.0 if settings.bypass else self._shut_gain)
        if self.frontend.position == 0:
            self._begin()

    def _begin(self):
        """The gain until the first hop has ended."""
        self.envelope.reset()
        self._gain = self.envelope.gain
        self.curve = self._curve[: self.needed]
        self.curve[:] = self._gain

    def take_detector(self, detector, ears, settings):
        """Take another detector; its ears go on where they are the ones in use."""
        self.detector = detector
        if self.ears.names != detector.info.ears or ears is not None:
            found = self.ears.found if ears is None else ears
            self.ears = Ears(detector.info.ears, found, self.counters)
        self.configure(settings)

    def reset(self):
        """Back to the state of a new lane; settings stay."""
        self.frontend.reset()
        self.ears.reset()
        self.detector.reset()
        self.control.reset()
        self._now = 0
        self._retry_in = 0
        self._retry_hops = 1
        self.key_weights = np.ones(self.detector.info.mel.n_mels, dtype=np.float32)
        self._input_dbfs = self._level_dbfs = MIN_DBFS
        self._presence = 0.0
        self._opened = False
        self._evidence = None
        self._ballistics = (0.0, 0.0, 0.0)
        self._begin()

    def copy(self):
        """A lane in the same state; it shares only the counters."""
        shared = {id(self.counters): self.counters, id(self.detector): self.detector.fork()}
        return copy.deepcopy(self, shared)

    def adopt(self, other):
        """Take over what another lane hears and decides, but go on from this one's gain."""
        self.frontend = copy.deepcopy(other.frontend)
        self.ears = other.ears.fork()
        self.control = copy.deepcopy(other.control)
        self.detector = other.detector.fork()
        self.key_weights = other.key_weights.copy()
        self._retry_in, self._retry_hops = other._retry_in, other._retry_hops

    @property
    def needed(self):
        """Input samples until the hop ends."""
        return self.frontend.needed

    @property
    def now(self):
        """Input samples from the reset to the end of the last hop."""
        return self._now

    def push(self, samples):
        """Append key samples (n,) or (n, channels), n at most `needed`."""
        self.frontend.push(samples)

    def end_hop(self):
        """Decide: call when `needed` is 0. Afterwards `curve` holds the gains that follow."""
        samples, features, power = self.frontend.take()
        self.decide(features, power, self.ears.process(samples) if self.ears.names else None)

    def decide(self, features, power, ears=None):
        """Second half of `end_hop`, from one hop of the frontend and what the ears say of it."""
        self._now += len(self.curve)
        reading = self._detect(features, power, ears)
        self.curve = self._curve[: self.needed]
        self._apply(reading, mean_square_dbfs(power.sum()), self.curve)

    def process_many(self, samples, on_hop=None):
        """Take many samples at once; the vectorised twin of `push` and `end_hop`.

        Parameters
        ----------
        samples : ndarray, shape (n,) or (n, channels), float32
            Key samples, any number of hops long.
        on_hop : callable, optional
            Called after every decision.

        Returns
        -------
        ndarray, shape (n,), float32
            The gain of every sample. Within float32 rounding of the detector what the stream
            gives; decisions are taken by the same code.
        """
        before = self.curve[len(self.curve) - self.needed :]
        gains = np.empty(len(samples) + self._longest, dtype=np.float32)
        gains[: len(before)] = before
        heard, at = self.hear_many(samples), len(before)
        for reading, input_dbfs, key_weights, length in heard:
            self.step(gains[at : at + length], reading, input_dbfs, key_weights)
            at += length
            if on_hop is not None:
                on_hop()
        if heard:
            last = self.curve
            self.curve = self._curve[: len(last)]
            self.curve[:] = last
        return gains[: len(samples)]

    def hear_many(self, samples):
        """Hear the hops that end in many samples and decide nothing.

        Returns
        -------
        list of (reading, input_dbfs, key_weights, length)
            Of each hop: what `decide` would find, and how many samples its decision is for.
        """
        start = self.frontend.position
        hops = self.frontend.process(samples)
        n_hops = len(hops.ends)
        if n_hops == 0:
            return []
        levels = power_to_dbfs(hops.power.sum(axis=1)).tolist()
        ears = self.ears.process_many(hops.samples) if self.ears.names else None
        readings, keys = self._detect_many(hops.log_mel, hops.power, ears)
        if readings is None:
            readings, keys = [], []
            for hop in range(n_hops):
                heard = None if ears is None else ears[hop : hop + 1]
                readings.append(self._detect(hops.log_mel[hop], hops.power[hop], heard))
                keys.append(self.key_weights.copy())
        edges = [*(hops.ends - start).tolist(), len(samples) + self.needed]
        lengths = [end - begin for begin, end in itertools.pairwise(edges)]
        return list(zip(readings, levels, keys, lengths, strict=True))

    def step(self, curve, reading, input_dbfs, key_weights, verdict=None):
        """Go on to a hop of `hear_many`, whose gains are written to `curve`."""
        self._evidence = None if verdict is None else verdict.evidence
        self._now += len(self.curve)
        self.curve, self.key_weights = curve, key_weights
        self._apply(reading, input_dbfs, curve, verdict)

    def _detect_many(self, features, power, ears):
        """Readings and keys of many hops; (None, None) where they have to be taken one by one."""
        if self._retry_in > 0:
            return None, None
        unchanged = self.detector.fork()
        try:
            found = self._ask(features, ears)
            presence = found.presence[:, self._columns]
            presence = presence if presence.ndim == 1 else presence.max(axis=1)
            level = self.key_level.process_many(power, found.key)
            readings = np.column_stack([level, presence, found.ballistics])
            if not np.isfinite(readings).all():
                raise FloatingPointError("the detector returned what is not finite")
            np.clip(readings[:, 2:], *self._bounds.T, out=readings[:, 2:])
        except Exception:
            self.detector = unchanged  # fail open hop by hop, as the stream does
            return None, None
        self._retry_hops = 1
        return readings.tolist(), found.key.copy() if len(features) == 1 else found.key

    def _ask(self, features, ears):
        process = self.detector.process
        return process(features) if ears is None else process(features, ears)

    def _detect(self, features, power, ears):
        """Key level, presence and ballistics of the hop, or None where the detector failed."""
        if self._retry_in > 0:
            self._retry_in -= 1
            return None
        try:
            found = self._ask(features[None], ears)
            presence = found.presence[0, self._columns]
            presence = float(presence if np.ndim(presence) == 0 else presence.max())
            self.key_weights = found.key[0]
            level = self.key_level.process(power, self.key_weights)
            times = found.ballistics[0].tolist()
            if not math.isfinite(level + presence + sum(times)):
                raise FloatingPointError("the detector returned what is not finite")
        except Exception:
            self._fail()
            return None
        self._retry_hops = 1
        bounded = [
            low if time < low else high if time > high else time
            for time, (low, high) in zip(times, self._limits, strict=True)
        ]
        return (level, presence, *bounded)

    def _fail(self):
        """Count, forget the detector's state, and wait before it is asked again."""
        self.counters.detector_failures += 1
        self._retry_in = self._retry_hops - 1
        self._retry_hops = min(2 * self._retry_hops, _MAX_RETRY_HOPS)
        self.key_weights = np.ones(self.detector.info.mel.n_mels, dtype=np.float32)
        try:
            self.detector.reset()
        except Exception:
            self.counters.detector_failures += 1

    def _apply(self, reading, input_dbfs, curve, verdict=None):
        """Decide on one hop's reading and write the gains of the samples that follow it.

        A verdict that has been reached in hindsight takes the place of the decision.
        """
        length = len(curve)
        now, until = self._now, self._now + length
        counters, envelope, control = self.counters, self.envelope, self.control
        counters.hops += 1
        self._input_dbfs = input_dbfs
        self._gain = envelope.gain
        if reading is None:
            counters.failed_hops += 1
            self._level_dbfs, self._presence = input_dbfs, math.nan
            if verdict is None:
                control.miss()
            control.reason = Reason.DETECTOR_FAILED
            envelope.process(curve, 1.0, _CLICK_FREE_S)
            return
        level, presence, attack_s, hold_s, release_s = reading
        self._level_dbfs, self._presence = level, presence
        self._ballistics = (attack_s, hold_s, release_s)
        hold_samples = round(hold_s * self.sample_rate)
        was_shut = not self._opened
        if verdict is None:
            n_open = control.process(now, until, level, presence, hold_samples)
        else:
            n_open = length if verdict.open else 0
            control.reason = verdict.reason
        self._opened = n_open > 0
        counters.open_hops += self._opened
        counters.opens += self._opened and was_shut
        if self._bypass:
            control.reason = Reason.BYPASS
            envelope.process(curve, 1.0, _CLICK_FREE_S)
            return
        if n_open == length:
            envelope.process(curve, self._open_gain, attack_s)
            return
        if n_open:
            envelope.process(curve[:n_open], self._open_gain, attack_s)
        envelope.process(curve[n_open:], self._shut_gain, release_s)

    @property
    def bin_weights(self):
        """The key's weights on the bins of the detector's spectrum."""
        return self.key_level.bin_weights(self.key_weights)

    @property
    def decision(self):
        """`Decision` of the last hop."""
        evidence, low, high = self._evidence or self.control.meter
        present = evidence > 0.0 if high > low else self._presence >= self.presence_threshold
        return Decision(present, self._level_dbfs, self.control.reason not in _SHUT)

    @property
    def meters(self):
        """`Meters` of the last hop."""
        low_hz, high_hz = self.key_level.band_hz(self.key_weights)
        attack_s, hold_s, release_s = self._ballistics
        evidence, low, high = self._evidence or self.control.meter
        return Meters(
            time_s=self._now / self.sample_rate,
            input_dbfs=self._input_dbfs,
            key_level_dbfs=self._level_dbfs,
            presence=self._presence,
            open=self.control.reason not in _SHUT,
            gain_db=float(gain_to_db(self._gain)),
            attack_ms=attack_s * 1e3,
            hold_ms=hold_s * 1e3,
            release_ms=release_s * 1e3,
            key_low_hz=low_hz,
            key_high_hz=high_hz,
            reason=self.control.reason.label,
            evidence=evidence,
            evidence_low=low,
            evidence_high=high,
            ears=len(self.ears.heard),
        )
