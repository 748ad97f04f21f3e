"""The decision rules, and one copy of them for whole recordings.

`gate.control.Control` decides hop by hop; the functions here decide a whole recording with
numpy, for teaching, training, evaluation and plots. Both give the same decisions, exactly:
a property test holds them to each other.

**Evidence** (`EvidenceRule`). Two states, shut and open; a hop's logit l = logit(presence) - b
speaks for open where it is positive; changing the state costs. The difference D between the
best paths (Viterbi) that end open and shut is

    D <- clip(D, -open_cost, shut_cost) + l

and the best path that ends now is open while D > 0. What an earlier hop was is read back from
here: a D beyond either bound decides its own hop and every hop before it that was still in
doubt (both paths then come from the same state); where none has come yet, the present state
counts. Ties change nothing: D exactly on a bound leaves hops in doubt, D = 0 leaves a shut gate
shut. Worked: costs 2 and 3, b = 0, presence .9 (l = 2.197) from silence: D = -2 + 2.197 = .197,
open at once; presence .8 (1.386) needs two hops; from the upper bound presence .1 shuts in two
hops (3 - 2.197 = .803, then -1.394).

Logits, b and costs lie on a grid of 2^-16 nats, so that their sums are exact in float64 (and in
float32 up to 2^7), whatever the language.

**Classic** (`ClassicRule`). Presence against its threshold, less a hysteresis while open; then
hold. In force where `hold_ms` is pinned or the detector brings no evidence rule.

In both, *loud* is asked beside it: key level above the threshold, or above threshold less
hysteresis while open; with evidence an open gate stays loud for `LOUD_HOLD_HOPS` more, so that the
closures inside words do not shut it (on clean speech of the dev split a fifth fewer openings). The
level never enters the evidence, so a higher threshold never opens the gate where a lower one
kept it shut.
"""

import math
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from gate.checks import number

MAX_LOGIT = 12.0
"""Presences are taken as if within 1 / (1 + e^±12): nothing is infinite."""

MAX_COST = 64.0
FILE_LOUD_HOPS = 9
"""How many hops ahead loudness is looked for where a file is read back from its end: as far as
the longest lookahead reaches."""

LOUD_HOLD_HOPS = 5
"""How many hops an open gate stays loud after the last loud one."""

_LEAST = 1.0 / (1.0 + math.exp(MAX_LOGIT))
_GRID = 2.0**16
_SURE = 1024.0  # beyond every cost and logit: what thresholds of 0 and 1 stand for


def _on_grid(nats):
    return round(nats * _GRID) / _GRID


def presence_logit(presence):
    """Logit of a presence 0..1 in nats, within ±`MAX_LOGIT`, on the grid; a float."""
    presence = float(presence)
    if presence <= _LEAST:
        return -MAX_LOGIT
    if presence >= 1.0 - _LEAST:
        return MAX_LOGIT
    return round(math.log(presence / (1.0 - presence)) * _GRID) / _GRID


def threshold_logit(threshold):
    """Logit of a presence threshold, b; 0 means always present, 1 never."""
    if threshold <= 0.0 or threshold >= 1.0:
        return -_SURE if threshold <= 0.0 else _SURE
    return _on_grid(min(max(math.log(threshold / (1.0 - threshold)), -_SURE), _SURE))


@dataclass(frozen=True)
class EvidenceRule:
    """Decides by added-up evidence.

    Attributes
    ----------
    threshold : float
        Presence that speaks neither for nor against, 0..1; 0 is always present, 1 never.
    open_cost, shut_cost : float
        Evidence in nats that opening and shutting take, 0..64: how patient the gate is.
    shut_margin : float
        An open gate shuts at evidence of minus this, 0..open_cost.

    Raises
    ------
    ConfigError
        For a value outside its range.
    """

    threshold: float = 0.5
    open_cost: float = 2.0
    shut_cost: float = 3.0
    shut_margin: float = 0.0

    def __post_init__(self):
        highest = {"threshold": 1.0, "open_cost": MAX_COST, "shut_cost": MAX_COST,
                   "shut_margin": self.open_cost}  # fmt: skip
        for name, high in highest.items():
            number(f"decision: {name}", getattr(self, name), 0.0, high)
        for name in ("open_cost", "shut_cost", "shut_margin"):
            object.__setattr__(self, name, _on_grid(getattr(self, name)))

    @property
    def b(self):
        """What is taken from every logit, in nats."""
        return threshold_logit(self.threshold)


@dataclass(frozen=True)
class ClassicRule:
    """Decides by a threshold with hysteresis; hold comes with every hop.

    Attributes
    ----------
    threshold, hysteresis : float
        Presence to open, and how far below it an open gate stays open, 0..1.
    """

    threshold: float = 0.5
    hysteresis: float = 0.0


def lag_hops(lookahead_ms, hop_ms=10.0):
    """How many hops after a hop its state is read, for a lookahead.

    The decision taken when hop t ends is in force while the next comes in; the audio that goes
    out then is `lookahead_ms` older. At 10 ms that is hop t itself (lag 0), at 20 ms hop t - 1
    (lag 1). What is left over whole hops moves the gain earlier by so much: it opens that long
    before the sound and its attack is over when the sound comes.
    """
    return max(0, math.floor(lookahead_ms / hop_ms + 1e-9) - 1)


def hop_logits(presence, rule):
    """What every hop says, l, in the shape of `presence` (..., T), float64."""
    presence = np.asarray(presence, dtype=np.float64)
    within = np.clip(presence, _LEAST, 1.0 - _LEAST)
    steps = np.log(within / (1.0 - within)) * _GRID
    found = np.rint(steps) / _GRID
    # `math.log` may differ in its last bit, which counts only half way between two steps.
    doubtful = (np.abs(steps - np.floor(steps) - 0.5) < 1e-3) | (within != presence)
    found[doubtful] = [presence_logit(p) for p in presence[doubtful].tolist()]
    return found - rule.b


def evidence(presence, rule):
    """D of every hop in nats, from a shut gate.

    Parameters
    ----------
    presence : ndarray, shape (..., T)
        0..1.
    rule : EvidenceRule

    Returns
    -------
    ndarray, shape (..., T), float64
        Before clipping, so a value beyond a bound is a hop that decides.
    """
    return add_up(hop_logits(presence, rule), rule)


def add_up(logits, rule, start=None):
    """`evidence` from what every hop says, `hop_logits`; from an earlier D where one is given."""
    low, high = -rule.open_cost, rule.shut_cost
    start = low if start is None else start
    if logits.ndim == 1:

        def step(before, logit):
            return (low if before < low else high if before > high else before) + logit

        return np.array(list(accumulate(logits.tolist(), step, initial=start))[1:])
    found = np.empty_like(logits)
    now = np.full(logits.shape[:-1], start)
    for hop in range(logits.shape[-1]):
        now = np.clip(now, low, high) + logits[..., hop]
        found[..., hop] = now
    return found


def last_event(sets, resets, before=False):
    """Whether the last event up to each hop was a set, (..., T) bool; before any, `before`."""
    hops = np.arange(sets.shape[-1])
    last = np.maximum.accumulate(np.where(sets | resets, hops, -1), axis=-1)
    return np.where(last < 0, before, np.take_along_axis(sets, np.maximum(last, 0), axis=-1))


def states(found, rule, before=False):
    """The best path's state in each hop as it ends, from the evidence of every hop."""
    return last_event(found > 0.0, found <= -rule.shut_margin, before)


def next_sure(found, rule):
    """The next hop from each on, itself included, that decides it; T where there is none."""
    sure = (found > rule.shut_cost) | (found < -rule.open_cost)
    at = np.where(sure, np.arange(found.shape[-1]), found.shape[-1])
    return np.minimum.accumulate(at[..., ::-1], axis=-1)[..., ::-1]


def present_hops(presence, rule, lag=0):
    """Whether the target is present in each hop, by evidence.

    Parameters
    ----------
    presence : ndarray, shape (..., T)
    rule : EvidenceRule
    lag : int or None
        Hops after which a hop's state is read back (`lag_hops`); None: from the end. Near the
        end what there is counts.

    Returns
    -------
    ndarray, shape (..., T), bool
    """
    return read_back(evidence(presence, rule), rule, lag)


def read_back(found, rule, lag=0):
    """`present_hops` from the evidence of every hop."""
    n_hops = found.shape[-1]
    if n_hops == 0:
        return np.zeros(found.shape, bool)
    now = states(found, rule)
    if lag == 0:
        return now
    last = n_hops - 1
    read = last if lag is None else np.minimum(np.arange(n_hops) + lag, last)
    return np.take_along_axis(now, np.minimum(next_sure(found, rule), read), axis=-1)


def loudest_ahead(levels, hops):
    """The largest of each hop's level and of those of the `hops` after it, (..., T)."""
    loudest = levels.copy()
    for ahead in range(1, min(hops + 1, levels.shape[-1])):
        np.maximum(loudest[..., :-ahead], levels[..., ahead:], out=loudest[..., :-ahead])
    return loudest


def open_hops(key_level_dbfs, present, threshold_db, hysteresis_db, lag=0):
    """Whether the gate is open on each hop: loud and present.

    Parameters
    ----------
    key_level_dbfs : ndarray, shape (..., T)
    present : ndarray, shape (..., T), bool
        Of `present_hops` with the same lag.
    threshold_db, hysteresis_db : float
    lag : int or None
        With a lag a hop is loud where any of it and the `lag` hops after it is; None looks
        `FILE_LOUD_HOPS` ahead. An open gate stays loud for `LOUD_HOLD_HOPS`.

    Returns
    -------
    ndarray, shape (..., T), bool
    """
    levels = np.asarray(key_level_dbfs, dtype=np.float64)
    loudest = loudest_ahead(levels, FILE_LOUD_HOPS if lag is None else lag)
    lately = loudest_ahead(loudest[..., ::-1], LOUD_HOLD_HOPS)[..., ::-1]
    opens = present & (loudest > threshold_db)
    return last_event(opens, ~(present & (lately > threshold_db - hysteresis_db)))


def classic_hops(key_level_dbfs, presence, rule, threshold_db, hysteresis_db, hold):
    """Whether the gate is open on each hop by the classic rule.

    Parameters
    ----------
    key_level_dbfs, presence : ndarray, shape (..., T)
    rule : ClassicRule
    threshold_db, hysteresis_db : float or ndarray that broadcasts to (..., T)
    hold : int or ndarray, shape (..., T)
        Hold in whole hops.

    Returns
    -------
    ndarray, shape (..., T), bool
    """
    levels, presence = np.asarray(key_level_dbfs, np.float64), np.asarray(presence, np.float64)
    opens = (levels > threshold_db) & (presence >= rule.threshold)
    stays = levels > threshold_db - hysteresis_db
    stays &= presence >= rule.threshold - rule.hysteresis
    holds = np.broadcast_to(hold, opens.shape)
    rows = [row.reshape(-1, opens.shape[-1]) for row in (opens, stays, holds)]
    return np.array([_classic_row(*row) for row in zip(*rows, strict=True)]).reshape(opens.shape)


def _classic_row(opens, stays, holds):
    """`classic_hops` of one recording, its conditions met or not."""
    result = np.zeros(len(opens), dtype=bool)
    if not len(opens):
        return result
    # Runs of hops on which nothing changes, so that a recording takes few steps.
    code = 2 * opens + stays
    begins = np.r_[0, 1 + np.flatnonzero((np.diff(code) != 0) | (np.diff(holds) != 0))]
    ends = np.r_[begins[1:], len(opens)]
    runs = zip(begins.tolist(), ends.tolist(), opens[begins].tolist(), stays[begins].tolist(),
               holds[begins].tolist(), strict=True)  # fmt: skip
    is_open, until = False, 0
    for begin, end, may_open, may_stay, hold_hops in runs:
        if may_stay if is_open else may_open:
            is_open, until = True, max(until, end + hold_hops)
            result[begin:end] = True
        else:
            result[begin : min(max(until, begin), end)] = True
            is_open = until > end
    return result
