"""Log-mel features with VGGish's parameters, one hop at a time or many at once.

The one implementation in this project: the engine, the whole-file path and the trainer all use
it. Parameters are those of VGGish (Hershey et al., "CNN Architectures for Large-Scale Audio
Classification", ICASSP 2017) and of its public reference code: 16 kHz, 25 ms periodic Hann
window, 10 ms hop, 512-point FFT, 64 HTK-mel triangles (linear in mel) from 125 to 7,500 Hz on
magnitude spectra, natural logarithm after an offset.
"""

from dataclasses import dataclass

import numpy as np

from gate.banded import BandedMatrix
from gate.errors import ConfigError

VGGISH_LOG_OFFSET = 0.01
"""Offset of the published VGGish frontend; hides everything below about -50 dBFS."""

_HOPS_A_PASS = 32  # of the many-hop path: its working set stays in the cache


@dataclass(frozen=True)
class MelSettings:
    """Parameters of the log-mel frontend.

    Attributes
    ----------
    sample_rate : int
        Hz.
    window_length, hop_length, n_fft : int
        Samples.
    n_mels : int
        Number of mel bands.
    low_hz, high_hz : float
        Lower edge of the first band and upper edge of the last, Hz.
    log_offset : float
        Added to the mel magnitude before the logarithm. The live detector's is so small that
        it only keeps digital silence finite; VGGish's is 0.01.
    """

    sample_rate: int = 16000
    window_length: int = 400
    hop_length: int = 160
    n_fft: int = 512
    n_mels: int = 64
    low_hz: float = 125.0
    high_hz: float = 7500.0
    log_offset: float = 1e-5

    def __post_init__(self):
        if not 0 < self.hop_length <= self.window_length <= self.n_fft:
            raise ConfigError(
                f"hop_length={self.hop_length}, window_length={self.window_length}, "
                f"n_fft={self.n_fft} must satisfy 0 < hop <= window <= n_fft"
            )
        if not 0 <= self.low_hz < self.high_hz <= self.sample_rate / 2:
            raise ConfigError(
                f"low_hz={self.low_hz}, high_hz={self.high_hz} must satisfy "
                f"0 <= low < high <= {self.sample_rate / 2}"
            )
        if not self.log_offset > 0:
            raise ConfigError(f"log_offset={self.log_offset} must be > 0")

    @property
    def n_bins(self):
        """Number of FFT bins, 257."""
        return self.n_fft // 2 + 1


def hz_to_mel(hz):
    """HTK mel of a frequency in Hz: 1127 ln(1 + f / 700) (1,000 Hz is 1,000 mel)."""
    return 1127.0 * np.log1p(np.asarray(hz, dtype=np.float64) / 700.0)


def mel_to_hz(mel):
    """Frequency in Hz of an HTK mel."""
    return 700.0 * np.expm1(np.asarray(mel, dtype=np.float64) / 1127.0)


def _mel_edges(mel):
    return np.linspace(hz_to_mel(mel.low_hz), hz_to_mel(mel.high_hz), mel.n_mels + 2)


def mel_edges_hz(mel=MelSettings()):
    """Edges of the mel bands in Hz, shape (n_mels + 2,): band k reaches from edge k to k + 2."""
    return mel_to_hz(_mel_edges(mel))


def mel_centres_hz(mel=MelSettings()):
    """Centre frequencies of the mel bands in Hz, shape (n_mels,)."""
    return mel_edges_hz(mel)[1:-1]


def mel_filterbank(mel=MelSettings()):
    """Triangular mel weights, shape (n_mels, n_bins) float64.

    As in the VGGish reference code, the slopes are linear in mel (librosa's are linear in Hz)
    and the DC bin has no weight.
    """
    bins_mel = hz_to_mel(np.linspace(0.0, mel.sample_rate / 2, mel.n_bins))
    edges = _mel_edges(mel)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (bins_mel - low) / (centre - low)
    falling = (high - bins_mel) / (high - centre)
    weights = np.maximum(0.0, np.minimum(rising, falling))
    weights[:, 0] = 0.0
    return weights


def hann_window(length):
    """Periodic Hann window, shape (length,) float64."""
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length)


class LogMel:
    """Causal log-mel frontend.

    Hop k's window ends with the hop's last sample; before the first sample there is silence.
    It equals an offline analysis (librosa with ``center=False``) of the signal with
    ``window_length - hop_length`` zeros before it.

    Parameters
    ----------
    mel : MelSettings
        Its parameters.

    Notes
    -----
    Latency: 0 samples beyond the hop itself. State: the last ``window_length - hop_length``
    samples.
    """

    latency_samples = 0

    def __init__(self, mel=MelSettings()):
        self.mel = mel
        self._window = hann_window(mel.window_length).astype(np.float32)
        self._filterbank = BandedMatrix(mel_filterbank(mel))
        self._offset = np.float32(mel.log_offset)
        # Parseval: sum |X|^2 over all n_fft bins = n_fft * sum (w x)^2.
        scale = 1.0 / (mel.n_fft * float(np.sum(hann_window(mel.window_length) ** 2)))
        self._bin_scale = np.full(mel.n_bins, 2.0 * scale, dtype=np.float32)
        self._bin_scale[0] = self._bin_scale[-1] = scale
        self._frame = np.zeros(mel.window_length, dtype=np.float32)
        self._padded = np.zeros(mel.n_fft, dtype=np.float32)
        self._spectrum = np.zeros(mel.n_bins, dtype=np.complex64)
        self.reset()

    def reset(self):
        """Forget all samples."""
        self._frame[:] = 0.0

    def process(self, samples):
        """Analyse one hop.

        Parameters
        ----------
        samples : ndarray, shape (hop_length,), float32
            The next samples at `mel.sample_rate`.

        Returns
        -------
        log_mel : ndarray, shape (n_mels,), float32
            ln(mel magnitude + log_offset).
        power : ndarray, shape (n_bins,), float32
            Mean square a bin: its sum is the mean square of the windowed frame, so that a
            full-scale sine sums to 0.5.
        """
        hop, frame = self.mel.hop_length, self._frame
        frame[:-hop] = frame[hop:]
        frame[-hop:] = samples
        np.multiply(frame, self._window, out=self._padded[: frame.size])
        magnitude = np.abs(np.fft.rfft(self._padded, out=self._spectrum))
        log_mel = self._filterbank.bands(magnitude)
        log_mel += self._offset
        np.log(log_mel, out=log_mel)
        magnitude *= magnitude
        magnitude *= self._bin_scale
        return log_mel, magnitude

    def process_many(self, samples):
        """Analyse many hops at once; the state carries over to and from `process`.

        Parameters
        ----------
        samples : ndarray, shape (n_hops * hop_length,), float32
            The next samples.

        Returns
        -------
        log_mel : ndarray, shape (n_hops, n_mels), float32
        power : ndarray, shape (n_hops, n_bins), float32
        """
        hop, window = self.mel.hop_length, self.mel.window_length
        signal = np.concatenate([self._frame[hop:], samples], dtype=np.float32)
        n_hops = len(samples) // hop
        frames = np.lib.stride_tricks.sliding_window_view(signal, window)[::hop]
        log_mel = np.empty((n_hops, self.mel.n_mels), dtype=np.float32)
        power = np.empty((n_hops, self.mel.n_bins), dtype=np.float32)
        padded = np.zeros((_HOPS_A_PASS, self.mel.n_fft), dtype=np.float32)
        for begin in range(0, n_hops, _HOPS_A_PASS):
            end = min(begin + _HOPS_A_PASS, n_hops)
            np.multiply(frames[begin:end], self._window, out=padded[: end - begin, :window])
            magnitude = np.abs(np.fft.rfft(padded[: end - begin], axis=1))
            self._filterbank.bands_many(magnitude, out=log_mel[begin:end])
            magnitude *= magnitude
            np.multiply(magnitude, self._bin_scale, out=power[begin:end])
        log_mel += self._offset
        np.log(log_mel, out=log_mel)
        self._frame[:] = signal[-window:]
        return log_mel, power


def log_mel_spectrogram(samples, mel=MelSettings()):
    """Log-mel of a whole signal at `mel.sample_rate`, shape (len // hop_length, n_mels)."""
    n = len(samples) // mel.hop_length * mel.hop_length
    return LogMel(mel).process_many(np.asarray(samples[:n], dtype=np.float32))[0]
