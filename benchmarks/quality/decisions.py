"""From a detector's decisions to a gain curve, with the gate's own control and envelope.

A decision counts only from when it could have been known: the end of the audio it was made of.
"""

from dataclasses import dataclass

import numpy as np

from gate.control import Control
from gate.decision import ClassicRule, EvidenceRule
from gate.envelope import Envelope
from gate.units import MIN_DBFS, db_to_gain

RANGE_DB = -60.0
"""Range of every gate that the benchmark drives itself."""

ATTACK_S, RELEASE_S = 0.001, 0.010
"""Of detectors that say nothing of ballistics: fast, so that their own timing shows."""


@dataclass(frozen=True)
class Decisions:
    """What a detector said, and when.

    Attributes
    ----------
    known_s : ndarray, shape (k,)
        When each score was known, in order: seconds from the start of the recording.
    score : ndarray, shape (k,)
        Presence, 0..1.
    level_dbfs : ndarray, shape (k,), or None
        Key level; None where only the score decides.
    ballistics_s : ndarray, shape (k, 3), or None
        Attack, hold and release.
    """

    known_s: np.ndarray
    score: np.ndarray
    level_dbfs: np.ndarray | None = None
    ballistics_s: np.ndarray | None = None

    def at(self, times_s):
        """The last score known at each time; the first score before that."""
        index = np.searchsorted(self.known_s, times_s, side="right") - 1
        return self.score[np.maximum(index, 0)] if len(self.score) else np.zeros(len(times_s))


@dataclass(frozen=True)
class Rule:
    """How decisions become a gate.

    Attributes
    ----------
    threshold, hysteresis : float
        On the score.
    hold_ms : float
        Used where the decisions bring no ballistics.
    costs : tuple of float, optional
        Of opening and shutting, nats a decision: evidence is added up instead of hysteresis and
        hold.
    threshold_db, hysteresis_db : float
        On the key level, where there is one.
    range_db : float
        Gain of the closed gate.
    """

    threshold: float = 0.5
    hysteresis: float = 0.0
    hold_ms: float = 0.0
    costs: tuple | None = None
    threshold_db: float = -60.0
    hysteresis_db: float = 6.0
    range_db: float = RANGE_DB

    @property
    def presence(self):
        """How the score decides: a rule of `gate.decision`."""
        if self.costs is None:
            return ClassicRule(self.threshold, self.hysteresis)
        return EvidenceRule(self.threshold, *self.costs)


def drive(decisions, rule, n_samples, sample_rate):
    """Gain curve of a gate that follows the decisions.

    Parameters
    ----------
    decisions : Decisions
    rule : Rule
    n_samples : int
    sample_rate : int
        Hz; a low one such as 1000 is enough for times.

    Returns
    -------
    ndarray, shape (n_samples,), float32
    """
    edges = np.ceil(np.asarray(decisions.known_s) * sample_rate - 1e-6).astype(np.int64)
    edges = np.append(np.minimum(edges, n_samples), n_samples)
    shut = db_to_gain(rule.range_db)
    gain = np.full(n_samples, shut, dtype=np.float32)
    steps = np.diff(edges)
    envelope = Envelope(sample_rate, int(steps.max(initial=1)), shut)
    levels = decisions.level_dbfs
    if levels is None:
        levels = np.full(len(steps), 0.0)
        control = Control(MIN_DBFS, 0.0, rule.presence)
    else:
        control = Control(rule.threshold_db, rule.hysteresis_db, rule.presence)
    times = decisions.ballistics_s
    if times is None:
        times = np.tile([ATTACK_S, rule.hold_ms * 1e-3, RELEASE_S], (len(steps), 1))
    rows = zip(
        edges[:-1].tolist(), edges[1:].tolist(), levels.tolist(), decisions.score.tolist(),
        times.tolist(), strict=True,
    )  # fmt: skip
    for now, until, level, score, (attack_s, hold_s, release_s) in rows:
        if until <= now:
            continue
        n_open = control.process(now, until, level, score, round(hold_s * sample_rate))
        envelope.process(gain[now : now + n_open], 1.0, attack_s)
        envelope.process(gain[now + n_open : until], shut, release_s)
    return gain
