"""The key: which part of the spectrum the threshold is applied to, and the key level.

A key is 64 weights in 0..1, one a mel band. The *key level* is the level in dBFS of the signal
weighted by the key: 10 log10(sum_b key_b P_b), where P_b is the mean square in band b.
"""

from dataclasses import dataclass

import numpy as np

from gate.banded import BandedMatrix
from gate.features import MelSettings, mel_edges_hz, mel_filterbank
from gate.units import mean_square_dbfs, power_to_dbfs


def band_partition(mel=MelSettings()):
    """Mel triangles scaled so that a bin's weights over all bands sum to 1.

    Returns
    -------
    ndarray, shape (n_mels, n_bins), float32
        Multiplied with a power spectrum it gives band powers that add up to the power between
        `low_hz` and `high_hz`; bins outside have no weight.
    """
    weights = mel_filterbank(mel)
    total = weights.sum(axis=0)
    return (weights / np.where(total > 0.0, total, 1.0)).astype(np.float32)


@dataclass(frozen=True)
class KeyBand:
    """A fixed key: the part of the spectrum between two frequencies.

    Attributes
    ----------
    low_hz, high_hz : float
        Edges in Hz, 0 <= low_hz < high_hz <= 8000.
    """

    low_hz: float
    high_hz: float


class KeyLevel:
    """Measures levels of a frame's power spectrum, weighted and not.

    Parameters
    ----------
    mel : MelSettings
        Geometry of the bands.
    key : {"learned", "off"} or KeyBand
        Which weights apply. ``off`` measures everything up to 8 kHz.

    Notes
    -----
    Stateless; latency 0.
    """

    latency_samples = 0

    def __init__(self, key="learned", mel=MelSettings()):
        self.key = key
        self._partition = BandedMatrix(band_partition(mel))
        self._edges_hz = mel_edges_hz(mel)
        bins_hz = np.linspace(0.0, mel.sample_rate / 2, mel.n_bins)
        if isinstance(key, KeyBand):
            spacing = mel.sample_rate / mel.n_fft
            # A bin counts by the share of its width that lies in the band.
            low = np.clip((bins_hz + spacing / 2 - key.low_hz) / spacing, 0.0, 1.0)
            high = np.clip((key.high_hz - bins_hz + spacing / 2) / spacing, 0.0, 1.0)
            self._fixed = np.minimum(low, high).astype(np.float32)
        elif key == "off":
            self._fixed = np.ones(mel.n_bins, dtype=np.float32)
        else:
            self._fixed = None

    def bin_weights(self, weights):
        """Weights a bin, shape (n_bins,), of a hop's learned key (n_mels,)."""
        return self._fixed if self._fixed is not None else self._partition.bins(weights)

    def process(self, power, weights):
        """Key level of one hop in dBFS.

        Parameters
        ----------
        power : ndarray, shape (n_bins,)
            Mean square a bin, from `gate.features.LogMel`.
        weights : ndarray, shape (n_mels,)
            The learned key, used where the key is ``learned``.

        Returns
        -------
        float
        """
        if self._fixed is not None:
            return mean_square_dbfs(np.dot(self._fixed, power))
        return mean_square_dbfs(np.dot(self._partition.bands(power), weights))

    def process_many(self, power, weights):
        """Key levels of many hops: power (T, n_bins), weights (T, n_mels) -> (T,) dBFS."""
        if self._fixed is not None:
            return power_to_dbfs(np.einsum("tb,b->t", power, self._fixed))
        band_power = self._partition.bands_many(power)
        return power_to_dbfs(np.einsum("tb,tb->t", band_power, weights))

    def band_hz(self, weights):
        """Lower and upper edge in Hz of the part where the key is above half its maximum."""
        if isinstance(self.key, KeyBand):
            return self.key.low_hz, self.key.high_hz
        if self.key == "off":
            return 0.0, 8000.0
        strong = np.flatnonzero(weights >= 0.5 * np.max(weights))
        return float(self._edges_hz[strong[0]]), float(self._edges_hz[strong[-1] + 2])

    def bands_hz(self, weights):
        """`band_hz` of many hops: weights (T, n_mels) -> (T, 2)."""
        if self._fixed is not None:
            return np.broadcast_to(self.band_hz(None), (len(weights), 2))
        strong = weights >= 0.5 * weights.max(axis=1, keepdims=True)
        first, last = strong.argmax(axis=1), strong.shape[1] - 1 - strong[:, ::-1].argmax(axis=1)
        return np.column_stack([self._edges_hz[first], self._edges_hz[last + 2]])
