"""A recording that teaches, in hops: 8-bit log-mel and energy, and what the second ears said.

Log-mel has 64 bytes a hop, A-weighted energy in steps of 2.5 ms 4, and every ear one: enough to
teach again, and on another detector.
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

OPEN, SHUT, UNKNOWN = 1, 0, -1
"""Labels of a hop."""

HOP_S = 0.01
FINE_PER_HOP = 4

_LOG_LOW, _LOG_STEPS = -12.0, 15.0  # 8-bit log-mel: from -12, 1/15 (0.58 dB) a step
_DB_LOW, _DB_STEPS = -140.0, 1.8  # 8-bit energy: from -140 dBFS, 0.56 dB a step
SILENT_EAR = 127
"""8 bits of an ear that says nothing."""

_EAR_CLIP = 2.25


@dataclass(frozen=True)
class Recording:
    """An example in hops.

    Attributes
    ----------
    name : str
        What to call it in reports: the file's name.
    log_mel : ndarray, shape (T, 64), uint8
    energy : ndarray, shape (4 T,), uint8
    label : ndarray, shape (T,), int8
        1 open, 0 shut, -1 not said.
    sounding : ndarray, shape (T,), bool
        Where there is more than the recording's own background.
    ears : ndarray, shape (T, k), uint8, or None
        What the second ears said; None where none was heard.
    """

    name: str
    log_mel: np.ndarray
    energy: np.ndarray
    label: np.ndarray
    sounding: np.ndarray
    ears: np.ndarray | None = None

    @property
    def seconds(self):
        """Duration."""
        return len(self.label) * HOP_S

    def seconds_of(self, label):
        """Seconds in which a label applies and something sounds."""
        return float(np.sum((self.label == label) & self.sounding)) * HOP_S

    def part(self, begin, end):
        """Hops `begin` to `end` as a recording of their own."""
        return replace(
            self,
            log_mel=self.log_mel[begin:end],
            energy=self.energy[FINE_PER_HOP * begin : FINE_PER_HOP * end],
            label=self.label[begin:end],
            sounding=self.sounding[begin:end],
            ears=None if self.ears is None else self.ears[begin:end],
        )

    @property
    def fingerprint(self):
        """Of what was heard, not of the file."""
        return hashlib.sha256(self.log_mel.tobytes()).hexdigest()


def pack_log_mel(log_mel):
    """Log-mel to 8 bits."""
    return np.clip(np.rint((log_mel - _LOG_LOW) * _LOG_STEPS), 0, 255).astype(np.uint8)


def unpack_log_mel(packed):
    """8 bits to log-mel, float32."""
    return packed.astype(np.float32) * np.float32(1.0 / _LOG_STEPS) + np.float32(_LOG_LOW)


def pack_energy(energy):
    """Mean squares to 8 bits."""
    db = 10.0 * np.log10(np.maximum(energy, 1e-14))
    return np.clip(np.rint((db - _DB_LOW) * _DB_STEPS), 0, 255).astype(np.uint8)


def unpack_energy(packed):
    """8 bits to mean squares, float64; the lowest step is silence."""
    energy = 10.0 ** ((packed / _DB_STEPS + _DB_LOW) / 10.0)
    return np.where(packed == 0, 0.0, energy)


def pack_ears(ears):
    """What ears said, -2.25 to 2.25, to 8 bits."""
    scaled = (np.asarray(ears) + _EAR_CLIP) * (254.0 / (2.0 * _EAR_CLIP))
    return np.clip(np.rint(scaled), 0, 254).astype(np.uint8)


def unpack_ears(packed):
    """8 bits to what ears said, float32; 127 is 0, which is also what a silent ear says."""
    return (packed.astype(np.float32) - SILENT_EAR) * np.float32(2.0 * _EAR_CLIP / 254.0)


def hop_levels_db(log_mel):
    """Level of each hop over all bands in dB, of no absolute meaning."""
    return 10.0 * np.log10(np.mean(np.exp(2.0 * log_mel), axis=1) + 1e-12)


def find_sounding(log_mel, range_db=30.0, above_floor_db=6.0):
    """Hops within `range_db` of the loud parts and above the recording's own floor."""
    level = hop_levels_db(log_mel)
    if not len(level):
        return np.zeros(0, dtype=bool)
    loud, floor = np.percentile(level, [95, 5])
    # A recording without pauses has no floor below it: all of it sounds.
    bottom = max(loud - range_db, min(floor + above_floor_db, loud - 15.0))
    active = level > bottom
    # Gaps of up to 50 ms belong to the sound.
    edges = np.flatnonzero(np.diff(np.r_[True, active, True].astype(np.int8)))
    for begin, end in edges.reshape(-1, 2):
        if end - begin <= 5 and begin > 0 and end < len(active):
            active[begin:end] = True
    return active
