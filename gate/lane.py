"""From one key signal to one gain curve: decimate, log-mel, detect, measure, decide, smooth.

A linked gate has one lane for all its channels, an independent one a lane a channel.
"""

import copy
import math

import numpy as np

from gate.control import Control, Reason
from gate.decision import ClassicRule, lag_hops
from gate.ears import Ears
from gate.envelope import Envelope
from gate.frontend import Frontend
from gate.key import KeyLevel
from gate.meters import Meters
from gate.settings import FILE, LEARNED, RANGES
from gate.stretches import CLICK_FREE_S, Stretches
from gate.units import MIN_DBFS, db_to_gain, gain_to_db, mean_square_dbfs

_MAX_RETRY_HOPS = 64
_SHUT = (Reason.BELOW_THRESHOLD, Reason.TARGET_ABSENT)


class Lane(Stretches):
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
        self._one_column = len(columns) == 1
        self._columns = columns[0] if self._one_column else columns
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
    def evidence_rule(self):
        """The `EvidenceRule` that decides; None: the classic rule does."""
        return None if self.control.evidence is None else self.control.evidence.rule

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
        self._apply(reading, mean_square_dbfs(np.add.reduce(power)), self.curve)

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
            presence = float(presence if self._one_column else presence.max())
            self.key_weights = found.key[0]
            level = self.key_level.process(power, self.key_weights)
            times = found.ballistics[0].tolist()
            if not math.isfinite(level + presence + sum(times)):
                raise FloatingPointError("the detector returned what is not finite")
        except Exception:
            self._fail()
            return None
        self._retry_hops = 1
        for column, (low, high) in enumerate(self._limits):
            if not low <= times[column] <= high:
                times[column] = low if times[column] < low else high
        return (level, presence, *times)

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

    def _apply(self, reading, input_dbfs, curve):
        """Decide on one hop's reading and write the gains of the samples that follow it."""
        length = len(curve)
        now, until = self._now, self._now + length
        counters, envelope, control = self.counters, self.envelope, self.control
        counters.hops += 1
        self._input_dbfs = input_dbfs
        self._gain = envelope.gain
        if reading is None:
            counters.failed_hops += 1
            self._level_dbfs, self._presence = input_dbfs, math.nan
            control.miss()
            control.reason = Reason.DETECTOR_FAILED
            envelope.process(curve, 1.0, CLICK_FREE_S)
            return
        level, presence, attack_s, hold_s, release_s = reading
        self._level_dbfs, self._presence = level, presence
        self._ballistics = (attack_s, hold_s, release_s)
        hold_samples = round(hold_s * self.sample_rate)
        was_shut = not self._opened
        n_open = control.process(now, until, level, presence, hold_samples)
        self._opened = n_open > 0
        counters.open_hops += self._opened
        counters.opens += self._opened and was_shut
        if self._bypass:
            control.reason = Reason.BYPASS
            envelope.process(curve, 1.0, CLICK_FREE_S)
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
