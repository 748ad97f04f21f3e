"""A detector that stops itself when it is too slow, so that the gate fails open and recovers."""

import time

from realtime.around import Around

_PATIENCE_S = 0.020
_PROBATION_CALLS = 100


class DetectorTooSlow(RuntimeError):
    """The detector overran its time budget."""


class Overruns:
    """How often and by how much; shared by the forks of one detector.

    Attributes
    ----------
    count : int
    late_s : float
        Time over the budget of the last call that was counted.
    """

    def __init__(self):
        self.count = 0
        self.late_s = 0.0


class BudgetedDetector(Around):
    """Runs a detector and raises when it does not keep up.

    Time over the budget is a debt that time under it pays back. One hiccup of the system passes;
    20 ms of debt raise `DetectorTooSlow`, on which the gate opens and waits before it asks again,
    longer each time. Until 100 calls in a row were in time, every late call raises.

    Parameters
    ----------
    detector : Detector
    budget_s : float
        Seconds a hop.
    overruns : Overruns, optional
        Where they are counted.
    clock : callable
        Seconds; for tests.

    Notes
    -----
    Results pass unchanged. Latency: none.
    """

    def __init__(self, detector, budget_s, overruns=None, clock=time.perf_counter):
        self.detector = detector
        self._budget_s = budget_s
        self.overruns = Overruns() if overruns is None else overruns
        self._clock = clock
        self._debt_s = 0.0
        self._probation = 0

    @property
    def info(self):
        """The detector's own, which changes where it is taught."""
        return self.detector.info

    def process(self, features, *ears):
        """As the detector's own.

        Raises
        ------
        DetectorTooSlow
        """
        started = self._clock()
        found = self.detector.process(features, *ears)
        late = self._clock() - started - self._budget_s * len(features)
        self._debt_s = max(0.0, self._debt_s + late)
        if late <= 0.0:
            self._probation = max(0, self._probation - 1)
        elif self._probation or self._debt_s > _PATIENCE_S:
            self._debt_s = 0.0
            self._probation = _PROBATION_CALLS
            self.overruns.count += 1
            self.overruns.late_s = late
            raise DetectorTooSlow(f"the detector took {late * 1e3:.1f} ms more than its budget")
        return found

    def reset(self):
        """Reset the detector; what is known of its speed stays."""
        self.detector.reset()

    def fork(self):
        """Another one with its own debt."""
        twin = BudgetedDetector(self.detector.fork(), self._budget_s, self.overruns, self._clock)
        twin._probation = self._probation
        return twin


def without_budget(detector):
    """The detector inside a `BudgetedDetector`, or the detector itself."""
    return detector.detector if isinstance(detector, BudgetedDetector) else detector


def budget_seconds(setting, block_size, sample_rate):
    """Budget of a hop in seconds for `LiveSettings.detector_budget_ms`; None for off.

    Examples
    --------
    >>> round(budget_seconds("auto", 100, 48000) * 1e3, 2)
    2.08
    """
    if setting == "off":
        return None
    if setting == "auto":
        # Half a hop at most: the other half is for everything else.
        return min(max(block_size / sample_rate, 0.001), 0.005)
    return setting * 1e-3
