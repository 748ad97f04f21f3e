"""Fits a gate's ballistics, thresholds and key to examples, by the gated-signal loss.

The gate is simulated at steps of 2.5 ms on scores that come from cross-validation, so what is
chosen is chosen on sound that the head has not seen. A coordinate search over fixed grids: every
setting in turn is moved to its best value, until nothing changes.
"""

import functools
import itertools
import math
from dataclasses import dataclass, fields, replace

import numpy as np

from gate.decision import EvidenceRule, add_up, hop_logits, read_back
from gate.features import LogMel, MelSettings
from gate.key import band_partition
from gate.signal_metrics import FRAME_S, LossWeights, gated_signal_loss
from realtime.learn.head import fit_logistic
from realtime.learn.recording import FINE_PER_HOP

BALLISTICS_GRIDS = {
    "attack_ms": (0.5, 1.0, 2.0, 5.0, 10.0, 20.0),
    "hold_ms": (20.0, 40.0, 70.0, 100.0, 150.0, 220.0, 320.0),
    "release_ms": (20.0, 35.0, 60.0, 100.0, 180.0, 300.0),
}
_SWEEPS = 3
# The rule of every task, in nats of calibrated evidence; chosen on dev. The rule that is best for
# the held-out parts of a few examples is not the best for new sound: they say how far to trust a
# head, not how long a gate should wait.
_B, _OPEN_COST, _SHUT_COST = 1.0, 1.0, 5.0
_BEARABLE = 1.05  # of the least loss, for a shorter release
_SLOPES = 0.5, 2.0
_MOST_OFFSET = 1.5


@dataclass(frozen=True)
class GateFit:
    """What is fitted.

    Attributes
    ----------
    presence_threshold : float
        0..1.
    open_cost, shut_cost : float
        Evidence in nats, see `gate.decision.EvidenceRule`.
    attack_ms, release_ms : float
    """

    presence_threshold: float = 0.731
    open_cost: float = _OPEN_COST
    shut_cost: float = _SHUT_COST
    attack_ms: float = 2.0
    release_ms: float = 60.0

    @property
    def rule(self):
        """How the gate decides."""
        return EvidenceRule(self.presence_threshold, self.open_cost, self.shut_cost)


class Evidence:
    """Decisions of many rules on the same presence.

    Parameters
    ----------
    presence : ndarray, shape (T,)
        0..1.
    """

    def __init__(self, presence):
        self._logits = hop_logits(presence, EvidenceRule(0.5))

    def decide(self, fit):
        """Whether the target is present by a `GateFit`, shape (T,), bool."""
        rule = fit.rule
        return read_back(add_up(self._logits - rule.b, rule), rule)


def curve(is_open, fit, range_db=-60.0):
    """Gain every 2.5 ms, shape (4 T,).

    Parameters
    ----------
    is_open : ndarray, shape (T,), bool
        The decision taken at the end of each hop; in force during the next, as in the stream.
    fit : GateFit or ClassicFit
        Gives attack and release.
    range_db : float
    """
    is_open = np.concatenate([[False], is_open[:-1]])
    edges = np.flatnonzero(np.diff(is_open.astype(np.int8))) + 1
    bounds = [0, *edges.tolist(), len(is_open)]
    shut = 10.0 ** (range_db / 20.0)
    gain, now = np.empty(len(is_open) * FINE_PER_HOP), shut
    steps = np.arange(1.0, gain.size + 1.0) * (FRAME_S * 1e3)
    attack, release = np.exp(-steps / fit.attack_ms), np.exp(-steps / fit.release_ms)
    for begin, end in itertools.pairwise(bounds):
        target, fade = (1.0, attack) if is_open[begin] else (shut, release)
        n = (end - begin) * FINE_PER_HOP
        part = gain[begin * FINE_PER_HOP : end * FINE_PER_HOP]
        np.multiply(fade[:n], now - target, out=part)
        part += target
        now = part[-1]
    return gain


def fit_rule(scores, label, importance):
    """The usual rule, as scores that are too sure or lean to one side need it.

    Held-out scores s are calibrated: slope * s + offset is the logit of a wanted hop where both
    sides are as frequent. The head stays what it is; instead the rule is moved: its threshold and
    costs decide on s as the usual ones do on the calibrated logit.

    Parameters
    ----------
    scores : ndarray, shape (T,)
        Logits, by heads that have not seen the hops.
    label, importance : ndarray, shape (T,)
        Whether a hop should be open, and how much it counts.

    Returns
    -------
    GateFit
    """
    slope, offset = calibration(scores, label, importance)
    return GateFit(
        presence_threshold=round(1.0 / (1.0 + math.exp((offset - _B) / slope)), 4),
        open_cost=round(_OPEN_COST / slope, 3),
        shut_cost=round(_SHUT_COST / slope, 3),
    )


def calibration(scores, label, importance):
    """Slope and offset by which scores become logits, within bounds: a few examples say little.

    Parameters are those of `fit_rule`.
    """
    counted = importance > 0
    if not counted.any():
        return 1.0, 0.0
    x = scores[counted, None].astype(np.float32)
    slope, offset = fit_logistic(x, label[counted], importance[counted], 1e-6, n_steps=12)
    slope = float(np.clip(slope[0], *_SLOPES))
    return slope, float(np.clip(offset, -_MOST_OFFSET, _MOST_OFFSET))


def _coordinate_search(price, start, grids):
    """The best of what is reached from `start` by moving one setting at a time."""
    best, lowest = start, price(start)
    for _ in range(_SWEEPS):
        before = lowest
        for name, values in grids.items():
            for value in values:
                if value == getattr(best, name):
                    continue
                found = replace(best, **{name: value})
                cost = price(found)
                if cost < lowest - 1e-6:
                    best, lowest = found, cost
        if lowest > before - 1e-4:
            break
    return best


class GateFitter:
    """Finds the gate that loses and passes least.

    Parameters
    ----------
    decide : callable
        Given a fit, whether the gate is open on each hop, (T,) bool; `Evidence.decide`, say.
    wanted, unwanted : ndarray, shape (4 T,)
        Energies.
    weights : gate.signal_metrics.LossWeights
    """

    def __init__(self, decide, wanted, unwanted, weights=None):
        self._decide = decide
        self._energy = wanted, unwanted
        self._weights = weights or LossWeights()
        self._last = None, None

    def loss(self, fit):
        """Gated-signal loss of a gate."""
        still = replace(fit, attack_ms=0.0, release_ms=0.0)  # they change no decision
        if self._last[0] != still:
            self._last = still, self._decide(fit)
        return gated_signal_loss(curve(self._last[1], fit), *self._energy, self._weights)

    def search(self, start, grids):
        """Coordinate search from `start`.

        Parameters
        ----------
        start : GateFit or ClassicFit
        grids : dict
            Name of a setting to values to try.

        Returns
        -------
        The best fit.
        float
            Its loss.
        """
        best = _coordinate_search(self.loss, start, grids)
        return best, self.loss(best)

    def hastened(self, fit, releases_ms):
        """The fit with the shortest release that loses nearly as little, and its loss.

        A long release mends gaps in what held-out heads decide, and lets through all that sounds in
        them; where the loss hardly asks for it, it is not worth that.
        """
        bearable = _BEARABLE * self.loss(fit)
        for release in sorted(releases_ms):
            found = replace(fit, release_ms=release)
            if release < fit.release_ms and self.loss(found) <= bearable:
                return found, self.loss(found)
        return fit, self.loss(fit)


@functools.cache
def _power_scale():
    """Band power (as the key level takes it) over squared mel magnitude, of noise, (64,)."""
    mel = MelSettings()
    noise = np.random.default_rng(0).standard_normal(160 * 400).astype(np.float32) * 0.1
    log_mel, power = LogMel(mel).process_many(noise)
    bands = power[5:] @ band_partition(mel).T
    return (bands.mean(axis=0) / np.exp(2.0 * log_mel[5:]).mean(axis=0)).astype(np.float32)


def band_power(log_mel):
    """Mean squares a band, as `gate.key.KeyLevel` takes them, from log-mel: right within 2 dB.

    Parameters
    ----------
    log_mel : ndarray, shape (T, 64)
    """
    return np.exp(2.0 * log_mel) * _power_scale()


def key_levels(power, key):
    """Key levels in dBFS of band powers (T, 64) with key weights (64,) or (T, 64)."""
    return 10.0 * np.log10(np.maximum(np.sum(power * key, axis=1), 1e-14))


def fit_key(power, label, weight):
    """Key weights that separate: each band's share of wanted power, at equal levels, (64,).

    Parameters
    ----------
    power : ndarray, shape (T, 64)
    label, weight : ndarray, shape (T,)
    """
    shape = power / np.maximum(power.sum(axis=1, keepdims=True), 1e-20)
    spectra = []
    for side in (1.0, 0.0):
        mine = (label == side) & (weight >= 0.5)
        mean = shape[mine].mean(axis=0) if mine.any() else np.full(power.shape[1], 1e-3)
        padded = np.pad(mean, 1, mode="edge")
        spectra.append((padded[:-2] + padded[1:-1] + padded[2:]) / 3.0)
    wanted, unwanted = spectra
    key = wanted / (wanted + unwanted + 1e-9)
    return np.clip(key / max(key.max(), 1e-6), 0.0, 1.0).astype(np.float32)


def as_mapping(fit):
    """Plain floats of a `GateFit`."""
    return {f.name: round(float(getattr(fit, f.name)), 4) for f in fields(fit)}
