"""The decision: key level against threshold, presence, hysteresis, hold.

One decision a hop. The condition opens the gate above both thresholds and keeps it open above
the lower pair; after it has ended, hold keeps the gate open. The end of a hold is a *running
maximum* over the hops on which the condition held, so that a lower threshold, whose condition
holds on a superset of the hops, never shuts the gate earlier (DESIGN: monotonic).
"""

from enum import IntEnum


class Reason(IntEnum):
    """Why the gate is as it is."""

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


class Control:
    """Open or shut, once a hop.

    Parameters
    ----------
    threshold_db, hysteresis_db : float
        Key level to open in dBFS, and how far below it the gate stays open.
    presence_threshold, presence_hysteresis : float
        The same for the presence.

    Notes
    -----
    State: whether the gate is open, and until which sample it is held. Latency 0.
    """

    latency_samples = 0

    def __init__(self, threshold_db, hysteresis_db, presence_threshold, presence_hysteresis):
        self.configure(threshold_db, hysteresis_db, presence_threshold, presence_hysteresis)
        self.reset()

    def configure(self, threshold_db, hysteresis_db, presence_threshold, presence_hysteresis):
        """Change the thresholds and keep the state."""
        self._open_db = threshold_db
        self._stay_db = threshold_db - hysteresis_db
        self._open_presence = presence_threshold
        self._stay_presence = presence_threshold - presence_hysteresis

    def reset(self):
        """Shut, nothing held."""
        self.is_open = False
        self.open_until = 0
        self.reason = Reason.BELOW_THRESHOLD

    def process(self, now, until, key_level_dbfs, presence, hold_samples):
        """Decide for the samples from `now` to `until`, the time of the next decision.

        Parameters
        ----------
        now, until : int
            Sample counts of the stream, ``now < until``.
        key_level_dbfs, presence : float
            Of the hop that has just ended.
        hold_samples : int
            How long to stay open after `until` if the condition ends there.

        Returns
        -------
        int
            How many of the ``until - now`` samples the gate is open; the rest follow shut.
        """
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
