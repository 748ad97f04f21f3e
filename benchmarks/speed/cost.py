"""Cost of each gate on the same minute of sound, one thread, side by side with size and delay."""

from dataclasses import dataclass

import numpy as np

from benchmarks.peers.base import Hearing
from benchmarks.signals import talk

SECONDS = 30.0


@dataclass(frozen=True)
class Cost:
    """Cost of a system.

    Attributes
    ----------
    name, what : str
        ``what`` was timed.
    us_per_second : float
        Microseconds a second of sound; the best of several runs, as the machine is shared.
    decision_ms : float
        Sound that has to come in before a decision is known: a hop or chunk, and filters.
    size_bytes : int
    """

    name: str
    what: str
    us_per_second: float
    decision_ms: float
    size_bytes: int

    @property
    def speed(self):
        """Times real time."""
        return 1e6 / self.us_per_second if self.us_per_second else float("inf")


def measure_costs(systems, seconds=SECONDS, repeats=3):
    """Costs of all systems at 48 kHz.

    Parameters
    ----------
    systems : list of benchmarks.peers.base.System
    seconds : float
        Of sound.
    repeats : int

    Returns
    -------
    list of Cost
    """
    audio = talk(48000, seconds)[:, 0]
    result = []
    for system in systems:
        hearing = Hearing(audio, 48000)
        answer = system.run(hearing)  # warms up, and tells when decisions come
        best = min(system.cost_s(hearing) for _ in range(repeats))
        known = answer.decisions.known_s if answer.decisions is not None else np.zeros(0)
        step = float(np.median(np.diff(known))) * 1e3 if len(known) > 1 else float("nan")
        result.append(
            Cost(system.name, system.timed, 1e6 * best / seconds, step, system.size_bytes)
        )
    return result
