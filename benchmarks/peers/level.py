"""Gates that know only loudness: ours without a detector, and one as in OBS Studio."""

import itertools
from dataclasses import dataclass

import numpy as np

from benchmarks.peers.base import Answer, System
from benchmarks.quality.decisions import ATTACK_S, RELEASE_S
from gate.settings import GateSettings
from gate.units import db_to_gain

_FLOOR = 1e-3  # -60 dB


@dataclass
class AlwaysOpen(System):
    """No gate."""

    def run(self, hearing):
        """Gain 1."""
        return Answer(np.ones(len(hearing.audio), np.float32))


def level_settings():
    """Settings of the plain level gate."""
    return GateSettings(
        threshold_db=-40.0, hysteresis_db=6.0, hold_ms=200.0, key="off",
        attack_ms=ATTACK_S * 1e3, release_ms=RELEASE_S * 1e3,
    )  # fmt: skip


@dataclass
class ObsGate(System):
    """Peak follower with two thresholds, hold, and straight ramps, as the OBS noise gate.

    A decaying peak follower opens the gate when a sample exceeds the open threshold and shuts
    it when the follower falls below the close threshold; the follower decays by the distance
    of the thresholds in 1/75 s. Re-implemented from its description.

    Attributes
    ----------
    open_db, close_db : float
        dBFS peak.
    attack_s, hold_s, release_s : float
        Attack and release are the lengths of straight ramps.
    """

    open_db: float = -26.0
    close_db: float = -32.0
    attack_s: float = 0.025
    hold_s: float = 0.2
    release_s: float = 0.15

    def run(self, hearing):
        """Gain sample by sample, vectorised between the gate's changes of mind."""
        rate, peak = hearing.sample_rate, np.abs(hearing.audio.astype(np.float64))
        opening, closing = db_to_gain(self.open_db), db_to_gain(self.close_db)
        decay = (opening - closing) * 75.0 / rate
        ramp = decay * np.arange(1, len(peak) + 1)
        follower = np.maximum(np.maximum.accumulate(peak + ramp), 0.0) - ramp
        wish = np.where(peak > opening, 1, np.where(follower < closing, 0, -1))
        last = np.maximum.accumulate(np.where(wish >= 0, np.arange(len(wish)), -1))
        is_open = np.where(last >= 0, wish[np.maximum(last, 0)], 0).astype(bool)
        return Answer(self._ramps(is_open, rate))

    def _ramps(self, is_open, rate):
        gain, at = np.empty(len(is_open), np.float32), 0.0
        edges = np.flatnonzero(np.diff(is_open)) + 1
        bounds = [0, *edges.tolist(), len(is_open)]
        for number, (begin, end) in enumerate(itertools.pairwise(bounds)):
            steps = np.arange(1, end - begin + 1)
            if is_open[begin]:
                part = np.minimum(1.0, at + steps / (self.attack_s * rate))
            else:
                held = self.hold_s * rate if number else 0.0
                past = np.maximum(0.0, steps - held)
                part = np.maximum(0.0, at - past / (self.release_s * rate))
            gain[begin:end] = part
            at = float(part[-1]) if len(part) else at
        return np.maximum(gain, _FLOOR)


def systems():
    """A level gate as the benchmark's own gate runs it, OBS's, and no gate at all."""
    from benchmarks.peers.ours import OurGate

    return [
        OurGate(
            "level -40/-46", "RMS level gate, -40/-46 dBFS, hold 200 ms", gate=level_settings(),
            model=None,
        ),
        ObsGate("OBS gate", "open -26, close -32 dBFS peak, 25/200/150 ms"),
        AlwaysOpen("always open", "no gate"),
    ]  # fmt: skip
