"""What a gate did to the sounds themselves, where the wanted sound and the rest are known apart.

A gate multiplies the mixture s + n by one gain g, so its error splits exactly into what it took
from the wanted sound, (1 - g) s, and what it let through of the rest, g n.
"""

from dataclasses import dataclass

import numpy as np

from gate.errors import ConfigError

FRAME_S = 0.0025
"""Frame of `weighted_energy` and `gated_signal_loss`, seconds."""


def _pair(signal, gain, name):
    signal, gain = np.asarray(signal, dtype=np.float64), np.asarray(gain, dtype=np.float64)
    if signal.ndim != 1 or signal.shape != gain.shape:
        raise ConfigError(f"{name} {signal.shape} and gain {gain.shape} must be equal rows")
    if not np.isfinite(signal).all() or not np.isfinite(gain).all():
        raise ConfigError(f"{name} and gain must be finite")
    return signal, gain


def a_weighting(frequency_hz):
    """Linear gain of the A curve (IEC 61672-1), 1 at 1 kHz."""
    f2 = np.square(np.asarray(frequency_hz, dtype=np.float64))
    top = 12194.0**2 * f2 * f2
    low = np.sqrt((f2 + 107.7**2) * (f2 + 737.9**2))
    return 1.2589 * top / ((f2 + 20.6**2) * low * (f2 + 12194.0**2))


def weighted_energy(samples, sample_rate, frame_s=FRAME_S):
    """A-weighted mean square of each frame of `frame_s`, shape (n // frame,), float64."""
    samples = np.asarray(samples, dtype=np.float64)
    spectrum = np.fft.rfft(samples)
    spectrum *= a_weighting(np.fft.rfftfreq(len(samples), 1.0 / sample_rate))
    weighted = np.fft.irfft(spectrum, len(samples))
    frame = round(frame_s * sample_rate)
    n_frames = len(samples) // frame
    return np.mean(np.square(weighted[: n_frames * frame].reshape(n_frames, frame)), axis=1)


def frame_gain(gain, sample_rate, frame_s=FRAME_S):
    """Root mean square gain of each frame of `frame_s`, shape (n // frame,)."""
    frame = round(frame_s * sample_rate)
    n_frames = len(gain) // frame
    rows = np.asarray(gain, dtype=np.float64)[: n_frames * frame].reshape(n_frames, frame)
    return np.sqrt(np.mean(np.square(rows), axis=1))


@dataclass(frozen=True)
class LossWeights:
    """Weights of `gated_signal_loss`.

    Attributes
    ----------
    lost, passed : float
        Of the wanted sound lost and the rest passed.
    movement : float
        Of the gain's mean total variation a second.
    knee : float
        Energies are compressed as log(1 + knee * energy / mean energy), so that soft parts
        count: with 100, down to about 20 dB below the mean.
    """

    lost: float = 1.0
    passed: float = 1.0
    movement: float = 0.002
    knee: float = 100.0


def gated_signal_loss(gain, wanted_energy, unwanted_energy, weights=LossWeights()):
    """What a gate did wrong, in one number; above 0 for any gate where both sound at once.

    The energies of (1 - g) s and of g n are taken a frame at a time, relative to the sound's own
    mean over the recording, and compressed; each sum is a share of what it would be at worst.

    Parameters
    ----------
    gain : array_like, shape (n_frames,)
        From `frame_gain`.
    wanted_energy, unwanted_energy : array_like, shape (n_frames,)
        From `weighted_energy`.
    weights : LossWeights

    Returns
    -------
    float
        ``lost * (share of s lost) + passed * (share of n passed) + movement * variation``:
        with the default weights 1 for an always-open gate and for an always-shut one.
    """
    s, gain = _pair(wanted_energy, gain, "wanted_energy")
    n, _ = _pair(unwanted_energy, gain, "unwanted_energy")
    if (s < 0).any() or (n < 0).any():
        raise ConfigError("energies must be >= 0")
    lost = _compressed_share(np.square(1.0 - gain), s, weights.knee)
    passed = _compressed_share(np.square(gain), n, weights.knee)
    variation = float(np.abs(np.diff(gain)).sum()) / (len(gain) * FRAME_S) if len(gain) else 0.0
    return weights.lost * lost + weights.passed * passed + weights.movement * variation


def _compressed_share(factor, energy, knee):
    mean = float(energy.mean()) if len(energy) else 0.0
    if mean <= 0.0:
        return 0.0
    relative = knee * energy / mean
    return float(np.log1p(factor * relative).sum() / np.log1p(relative).sum())
