"""Key listen: hear what the threshold is applied to."""

import numpy as np

_HALF_SECONDS = 0.010


class KeyListen:
    """Filters the key input by the present key, for monitoring.

    A short-time Fourier filter: frames of 20 ms, half overlapped, square-root Hann before and
    after, the key's weights on the bins. Everything above 8 kHz is left out, as in the detector.

    Parameters
    ----------
    sample_rate : int
        Hz.
    n_bins : int
        Bins of the detector's spectrum, 0 to 8 kHz.
    key_rate : int
        Sample rate of the detector's spectrum, Hz.

    Notes
    -----
    State: one frame of input and of output. Its sound is `latency_samples` (20 ms) late; the
    gate's own latency is not touched.
    """

    def __init__(self, sample_rate, n_bins=257, key_rate=16000):
        self._hop = max(1, round(_HALF_SECONDS * sample_rate))
        length = 2 * self._hop
        self.latency_samples = length
        self._window = np.sin(np.pi * (np.arange(length) + 0.5) / length).astype(np.float32)
        self._bins_hz = np.fft.rfftfreq(length, 1.0 / sample_rate)
        self._key_hz = np.linspace(0.0, key_rate / 2, n_bins)
        self._in = np.zeros(length, dtype=np.float32)
        self._out = np.zeros(length, dtype=np.float32)
        self._ready = np.zeros(self._hop, dtype=np.float32)
        self.reset()

    def reset(self):
        """Silence."""
        self._in[:] = 0.0
        self._out[:] = 0.0
        self._ready[:] = 0.0
        self._fill = 0

    def process(self, mono, bin_weights):
        """Filter mono samples (n,) by weights (n_bins,); returns (n,) float32."""
        out = np.empty(len(mono), dtype=np.float32)
        done = 0
        while done < len(mono):
            step = min(len(mono) - done, self._hop - self._fill)
            here = slice(self._fill, self._fill + step)
            out[done : done + step] = self._ready[here]
            self._in[self._hop :][here] = mono[done : done + step]
            self._fill += step
            done += step
            if self._fill == self._hop:
                self._frame(bin_weights)
                self._fill = 0
        return out

    def _frame(self, bin_weights):
        spectrum = np.fft.rfft(self._in * self._window)
        spectrum *= np.interp(self._bins_hz, self._key_hz, bin_weights, right=0.0)
        self._out += np.fft.irfft(spectrum, len(self._in)) * self._window
        self._ready[:] = self._out[: self._hop]
        self._out[: self._hop] = self._out[self._hop :]
        self._out[self._hop :] = 0.0
        self._in[: self._hop] = self._in[self._hop :]
