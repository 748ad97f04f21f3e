"""Many hops of a lane at once: the way for recordings.

In two halves, so that a recording may be decided in hindsight: what is heard, and the decisions
with the gains that follow from them.
"""

from typing import NamedTuple

import numpy as np

from gate.control import Reason
from gate.meters import MeterTable
from gate.units import gain_to_db, power_to_dbfs

CLICK_FREE_S = 0.005
"""Time constant of bypass and of failing open."""


class Heard(NamedTuple):
    """Hops that have been heard and not decided.

    Attributes
    ----------
    level_dbfs, presence : ndarray, shape (T,), float64
        Key level and presence of the target; presence is NaN where the detector failed.
    ballistics : ndarray, shape (T, 3), float64
        Attack, hold and release in seconds, within their bounds.
    input_dbfs : ndarray, shape (T,), float64
    keys : ndarray, shape (T, n_mels), float32
        The learned key.
    band_hz : ndarray, shape (T, 2), float64
        Where it is above half its maximum.
    lengths : ndarray, shape (T,), int64
        How many samples the decision is for.
    """

    level_dbfs: np.ndarray
    presence: np.ndarray
    ballistics: np.ndarray
    input_dbfs: np.ndarray
    keys: np.ndarray
    band_hz: np.ndarray
    lengths: np.ndarray

    @classmethod
    def joined(cls, parts):
        """One after the other."""
        return parts[0] if len(parts) == 1 else cls(*map(np.concatenate, zip(*parts, strict=True)))

    def part(self, hops):
        """Some of the hops, a slice."""
        return Heard(*(column[hops] for column in self))


class Stretches:
    """What a `gate.lane.Lane` can do with many hops."""

    def process_many(self, samples):
        """Take many samples at once; the vectorised twin of `push` and `end_hop`.

        Parameters
        ----------
        samples : ndarray, shape (n,) or (n, channels), float32
            Key samples, any number of hops long.

        Returns
        -------
        gains : ndarray, shape (n,), float32
            The gain of every sample. Within float32 rounding of the detector what the stream
            gives; decisions are taken by the same code.
        table : gate.meters.MeterTable
            Of the hops that ended.
        """
        before = self.curve[len(self.curve) - self.needed :].copy()
        gains, table = self.decide_many(self.hear_many(samples))
        if len(table):
            last = gains[len(gains) - len(self.curve) :]
            self.curve = self._curve[: len(last)]
            self.curve[:] = last
        return np.concatenate([before, gains])[: len(samples)], table

    def hear_many(self, samples):
        """Hear the hops that end in many samples and decide nothing; returns `Heard`."""
        start = self.frontend.position
        hops = self.frontend.process(samples)
        ears = self.ears.process_many(hops.samples) if self.ears.names else None
        found = self._detect_many(hops.log_mel, hops.power, ears)
        if found is None:
            found = self._detect_each(hops.log_mel, hops.power, ears)
        readings, keys = found
        edges = np.r_[hops.ends - start, len(samples) + self.needed]
        return Heard(
            readings[:, 0], readings[:, 1], readings[:, 2:],
            power_to_dbfs(hops.power.sum(axis=1)).astype(np.float64), keys,
            self.key_level.bands_hz(keys), np.diff(edges),
        )  # fmt: skip

    def _detect_many(self, features, power, ears):
        """Readings (T, 5) and keys of many hops; None where they have to be taken one by one."""
        if self._retry_in > 0:
            return None
        if not len(features):
            return np.zeros((0, 5)), np.zeros((0, features.shape[1]), np.float32)
        unchanged = self.detector.fork()
        try:
            found = self._ask(features, ears)
            presence = found.presence[:, self._columns]
            presence = presence if presence.ndim == 1 else presence.max(axis=1)
            level = self.key_level.process_many(power, found.key)
            readings = np.column_stack([level, presence, found.ballistics]).astype(np.float64)
            if not np.isfinite(readings).all():
                raise FloatingPointError("the detector returned what is not finite")
            np.clip(readings[:, 2:], *self._bounds.T, out=readings[:, 2:])
        except Exception:
            self.detector = unchanged  # fail open hop by hop, as the stream does
            return None
        self._retry_hops = 1
        return readings, found.key.copy() if len(features) == 1 else found.key

    def _detect_each(self, features, power, ears):
        """The same, as the stream takes them."""
        readings, keys = np.full((len(features), 5), np.nan), []
        for hop, one in enumerate(features):
            found = self._detect(one, power[hop], None if ears is None else ears[hop : hop + 1])
            if found is not None:
                readings[hop] = found
            keys.append(self.key_weights.copy())
        return readings, np.array(keys, np.float32).reshape(features.shape)

    def decide_many(self, heard, verdicts=None):
        """Decide hops of `hear_many`, in order.

        Parameters
        ----------
        heard : Heard
        verdicts : gate.hindsight.Verdicts, optional
            Decisions that have been taken in hindsight; None: as in the stream.

        Returns
        -------
        gains : ndarray, shape (sum of lengths,), float32
        table : gate.meters.MeterTable
        """
        n, lengths = len(heard.lengths), heard.lengths
        ends = self._now + len(self.curve) + np.cumsum(lengths) - lengths
        valid = ~np.isnan(heard.presence)
        if verdicts is None:
            n_open, reason, evidence = self._decide_each(heard, ends, valid)
        else:
            n_open, reason = np.where(verdicts.open, lengths, 0), verdicts.reason.copy()
            evidence = verdicts.evidence
        reason[~valid] = Reason.DETECTOR_FAILED
        self._count(n_open[valid] > 0, n)
        gains = np.empty(int(lengths.sum()), np.float32)
        times = np.where(valid[:, None], heard.ballistics, 0.0)
        before = self._shape(gains, lengths, n_open, times, valid)
        if self._bypass:
            reason[valid] = Reason.BYPASS
        if not n:
            return gains, self._table(heard, ends, reason, evidence, before, times)
        # Where the detector failed, the last times before stay in view.
        last = np.maximum.accumulate(np.where(valid, np.arange(n), -1))
        times = np.where((last < 0)[:, None], self._ballistics, times[np.maximum(last, 0)])
        table = self._table(heard, ends, reason, evidence, before, times)
        self._now, self._gain, self._ballistics = int(ends[-1]), before[-1], tuple(times[-1])
        self.curve = gains[len(gains) - int(lengths[-1]) :]
        self.key_weights = heard.keys[-1]
        self._input_dbfs, self._presence = float(heard.input_dbfs[-1]), float(heard.presence[-1])
        self._level_dbfs = float(table["key_level_dbfs"][-1])
        self._evidence = None if verdicts is None else tuple(evidence[:, -1].tolist())
        self.control.reason = Reason(int(reason[-1]))
        return gains, table

    def _decide_each(self, heard, ends, valid):
        """How many samples are open, why, and the evidence, by the stream's own decision."""
        control, rate = self.control, self.sample_rate
        n_open, reasons, evidence = [], [], []
        columns = (heard.level_dbfs, heard.presence, heard.ballistics[:, 1], heard.lengths, ends)
        for known, level, presence, hold_s, length, now in zip(
            valid.tolist(), *(column.tolist() for column in columns), strict=True
        ):
            if known:
                hold = round(hold_s * rate)
                n_open.append(control.process(now, now + length, level, presence, hold))
            else:
                control.miss()
                n_open.append(0)
            reasons.append(control.reason)
            evidence.append(control.meter)
        found = np.array(evidence, np.float64).reshape(-1, 3).T
        return np.array(n_open, np.int64), np.array(reasons, np.int64), found

    def _count(self, is_open, n_hops):
        """Count hops, of which those that the detector answered were open or not."""
        counters = self.counters
        counters.hops += n_hops
        counters.failed_hops += n_hops - len(is_open)
        counters.open_hops += int(is_open.sum())
        counters.opens += int((is_open & ~np.r_[self._opened, is_open][: len(is_open)]).sum())
        if len(is_open):
            self._opened = bool(is_open[-1])

    def _shape(self, gains, lengths, n_open, times, valid):
        """Write the gains of all hops; returns the one before each."""
        passes = ~valid | self._bypass
        opens = np.where(passes, lengths, n_open)
        first = opens > 0  # what a hop begins with
        targets = np.where(passes, 1.0, np.where(first, self._open_gain, self._shut_gain))
        taus = np.where(passes, CLICK_FREE_S, np.where(first, times[:, 0], times[:, 2]))
        cut = np.flatnonzero(first & (opens < lengths))  # held for a part of the hop
        pieces = lengths.copy()
        pieces[cut] = opens[cut]
        starts = np.arange(len(lengths)) + np.searchsorted(cut, np.arange(len(lengths)))
        before = self.envelope.process_many(
            gains,
            np.insert(pieces, cut + 1, lengths[cut] - opens[cut]).tolist(),
            np.insert(targets, cut + 1, self._shut_gain).tolist(),
            np.insert(taus, cut + 1, times[cut, 2]).tolist(),
        )
        return before[starts]

    def _table(self, heard, ends, reason, evidence, before, times):
        attack_ms, hold_ms, release_ms = 1e3 * times.T
        shut = (reason == Reason.BELOW_THRESHOLD) | (reason == Reason.TARGET_ABSENT)
        return MeterTable(
            time_s=ends / self.sample_rate,
            input_dbfs=heard.input_dbfs,
            key_level_dbfs=np.where(np.isnan(heard.presence), heard.input_dbfs, heard.level_dbfs),
            presence=heard.presence,
            open=~shut,
            gain_db=gain_to_db(before),
            attack_ms=attack_ms,
            hold_ms=hold_ms,
            release_ms=release_ms,
            key_low_hz=heard.band_hz[:, 0],
            key_high_hz=heard.band_hz[:, 1],
            reason=reason,
            evidence=evidence[0],
            evidence_low=evidence[1],
            evidence_high=evidence[2],
            ears=len(self.ears.heard),
        )
