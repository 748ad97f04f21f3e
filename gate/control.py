"""The decision in the stream: one a hop, by evidence or by the classic rule.

The rules themselves and their copy for whole recordings are in `gate.decision`.
"""

from enum import IntEnum

from gate.decision import LOUD_HOLD_HOPS, ClassicRule, presence_logit
from gate.units import MIN_DBFS

_MAX_LAG = 64
_BITS = (1 << _MAX_LAG) - 1


class Reason(IntEnum):
    """Why the gate is as it is.

    `HELD`: open although this hop alone would not be: the evidence, or the hold, lasts.
    """

    OPEN = 0
    HELD = 1
    BELOW_THRESHOLD = 2
    TARGET_ABSENT = 3
    BYPASS = 4
    DETECTOR_FAILED = 5

    @property
    def label(self):
        """For people and traces."""
        return self.name.lower().replace("_", " ")


class Evidence:
    """Adds up what is heard for and against the target, and reads decisions back with a lag.

    Parameters
    ----------
    rule : gate.decision.EvidenceRule

    Attributes
    ----------
    value : float
        D in nats, before clipping.
    is_open : bool
        The best path's state now.
    undecided : int
        How many of the last hops are still in doubt: later ones may change what they were.

    Notes
    -----
    State: `value`, `is_open`, and what the last hops were as bits, newest lowest.
    """

    def __init__(self, rule):
        self.configure(rule)
        self.reset()

    def configure(self, rule):
        """Change the rule and keep the state."""
        self.rule = rule
        self._b, self._margin = rule.b, rule.shut_margin
        self._low, self._high = -rule.open_cost, rule.shut_cost

    def reset(self):
        """Shut for as long as anybody remembers."""
        self.value = self._low
        self.is_open = False
        self.undecided = 0
        self._decided = 0  # bits of the hops before the undecided ones
        self._sounding = 0  # bits: the hop by itself spoke for the target

    def process(self, presence):
        """Take a hop's presence, 0..1."""
        self._add(presence_logit(presence) - self._b)

    def miss(self):
        """Take a hop of which nothing is known."""
        self._add(0.0)

    def _add(self, logit):
        value, low, high = self.value, self._low, self._high
        value = (low if value < low else high if value > high else value) + logit
        self.value = value
        self.is_open = value > -self._margin if self.is_open else value > 0.0
        self._sounding = (self._sounding << 1 | (logit > 0.0)) & _BITS
        pending = self.undecided + 1
        if low <= value <= high:
            self.undecided = pending
            return
        shift = pending if pending < _MAX_LAG else _MAX_LAG
        self._decided = (self._decided << shift | ((1 << shift) - 1 if value > high else 0)) & _BITS
        self.undecided = 0

    @property
    def meter(self):
        """What is kept of `value`, and its bounds: three floats in nats."""
        return min(max(self.value, self._low), self._high), self._low, self._high

    def present(self, lag):
        """State of the hop `lag` hops ago, 0..63, on the best path that ends now."""
        if lag < self.undecided:
            return self.is_open
        return bool(self._decided >> (lag - self.undecided) & 1)

    def sounding(self, lag):
        """Whether the hop `lag` hops ago spoke for the target by itself."""
        return bool(self._sounding >> lag & 1)


class Control:
    """Open or shut, once a hop.

    Parameters
    ----------
    threshold_db, hysteresis_db : float
        Key level to open in dBFS, and how far below it the gate stays open.
    rule : EvidenceRule or ClassicRule
        How presence decides.
    lag : int
        Hops after which a hop's state is read back, 0..63; the classic rule has none.

    Attributes
    ----------
    evidence : Evidence or None
        None under the classic rule.
    reason : Reason

    Notes
    -----
    State: whether the gate is open, the evidence, the levels of the last `lag` hops, how long
    it is loud yet, and until which sample the gate is held (classic). The end of a hold is a
    *running maximum* over the hops on which the condition held, so that a lower threshold, whose
    condition holds on a superset of the hops, never shuts the gate earlier. Latency: `lag` hops,
    which the lookahead makes up for.
    """

    latency_samples = 0

    def __init__(self, threshold_db, hysteresis_db, rule, lag=0):
        self.evidence = None
        self._levels = []
        self.configure(threshold_db, hysteresis_db, rule, lag)
        self.reset()

    def configure(self, threshold_db, hysteresis_db, rule, lag=0):
        """Change thresholds, rule and lag and keep the state."""
        self._open_db = threshold_db
        self._stay_db = threshold_db - hysteresis_db
        self._lag = lag
        if isinstance(rule, ClassicRule):
            self.evidence = None
            self._open_presence = rule.threshold
            self._stay_presence = rule.threshold - rule.hysteresis
        elif self.evidence is None:
            self.evidence = Evidence(rule)
        else:
            self.evidence.configure(rule)
        self._levels = [MIN_DBFS] * lag + self._levels
        del self._levels[: len(self._levels) - lag]

    def reset(self):
        """Shut, nothing held."""
        self.is_open = False
        self.open_until = 0
        self._loud_left = 0  # hops for which an open gate stays loud
        self.reason = Reason.BELOW_THRESHOLD
        self._levels[:] = [MIN_DBFS] * self._lag
        if self.evidence is not None:
            self.evidence.reset()

    def process(self, now, until, key_level_dbfs, presence, hold_samples):
        """Decide for the samples from `now` to `until`, the time of the next decision.

        Parameters
        ----------
        now, until : int
            Sample counts of the stream, ``now < until``.
        key_level_dbfs, presence : float
            Of the hop that has just ended.
        hold_samples : int
            How long to stay open after `until` if the condition ends there. Classic rule only.

        Returns
        -------
        int
            How many of the ``until - now`` samples the gate is open; the rest follow shut.
        """
        if self.evidence is None:
            return self._classic(now, until, key_level_dbfs, presence, hold_samples)
        evidence, lag = self.evidence, self._lag
        evidence.process(presence)
        if lag:
            key_level_dbfs = self._loudest(key_level_dbfs)
        present = evidence.present(lag)
        stays = key_level_dbfs > self._stay_db or self._loud_left > 0
        self._loud_left = LOUD_HOLD_HOPS if key_level_dbfs > self._stay_db else self._loud_left - 1
        loud = stays if self.is_open else key_level_dbfs > self._open_db
        self.is_open = loud and present
        if self.is_open:
            self.open_until = until  # so that a change to the classic rule goes on from here
            self.reason = Reason.OPEN if evidence.sounding(lag) else Reason.HELD
            return until - now
        self.reason = Reason.TARGET_ABSENT if loud else Reason.BELOW_THRESHOLD
        return 0

    @property
    def meter(self):
        """Evidence and its two bounds in nats; three zeros under the classic rule."""
        return (0.0, 0.0, 0.0) if self.evidence is None else self.evidence.meter

    def miss(self):
        """Take a hop of which nothing is known, so that the lag stays right."""
        if self.evidence is not None:
            self.evidence.miss()
            if self._lag:
                self._loudest(MIN_DBFS)

    def _loudest(self, key_level_dbfs):
        """Remember the hop's level; the largest of it and of the `lag` hops before it."""
        levels = self._levels
        levels.append(key_level_dbfs)
        del levels[: -self._lag - 1]
        return max(levels)

    def _classic(self, now, until, key_level_dbfs, presence, hold_samples):
        if self.is_open:
            loud, present = key_level_dbfs > self._stay_db, presence >= self._stay_presence
        else:
            loud, present = key_level_dbfs > self._open_db, presence >= self._open_presence
        if loud and present:
            self.is_open = True
            self.open_until = max(self.open_until, until + hold_samples)
            self.reason = Reason.OPEN
            return until - now
        held = min(self.open_until, until) - now
        if held > 0:
            self.reason = Reason.HELD
            self.is_open = self.open_until > until
            return held
        self.is_open = False
        self.reason = Reason.TARGET_ABSENT if loud else Reason.BELOW_THRESHOLD
        return 0
