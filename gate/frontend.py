"""What turns key samples of any rate into what a detector hears, a hop at a time.

Channels to one (`gate.linked`), to 16 kHz (`gate.decimator`), a limit, log-mel and powers
(`gate.features`). Everybody who needs hops asks here: the gate in the stream and over files,
teaching, plots and evaluation; nobody else counts where hops end.
"""

import math
from typing import NamedTuple

import numpy as np

from gate.decimator import Decimator
from gate.features import LogMel, MelSettings
from gate.linked import LinkedMix, weighted_sum

_CLIP = 16.0  # +24 dBFS: a wild float sample must not reach a detector's state


class Hops(NamedTuple):
    """Hops that have ended.

    Attributes
    ----------
    ends : ndarray, shape (T,), int64
        Input samples that had been taken since the reset when each hop was ready.
    samples : ndarray, shape (T, hop_length), float32
        At 16 kHz: for second ears.
    log_mel : ndarray, shape (T, n_mels), float32
    power : ndarray, shape (T, n_bins), float32
        Mean square a bin; of several channels it is scaled to the loudest one's level.
    """

    ends: np.ndarray
    samples: np.ndarray
    log_mel: np.ndarray
    power: np.ndarray


class Frontend:
    """Key samples in, hops out.

    Two ways, the same numbers: `process` takes any number of samples and returns the hops that
    end in them; the stream calls `push` with at most `needed` samples and `take` when `needed`
    has become 0, which gives the same bits for any block size. They may be mixed.

    Parameters
    ----------
    sample_rate : int
        Of the key, Hz.
    mel : gate.features.MelSettings

    Attributes
    ----------
    position : int
        Samples taken since the reset.
    latency_samples : int
        Delay of the hops against the key, in key samples: the decimator's.

    Notes
    -----
    State: the decimator's, the analysis frame, the samples of the hop that has not ended, and
    how channels are mixed. Keys of several channels (n, channels) are heard as one
    (`gate.linked.LinkedMix`); how many there are may change between calls.
    """

    def __init__(self, sample_rate, mel=MelSettings()):
        self.sample_rate, self.mel = sample_rate, mel
        self.decimator = Decimator(sample_rate, mel.sample_rate, mel.hop_length)
        self.log_mel = LogMel(mel)
        self.latency_samples = self.decimator.latency_samples
        hop = (mel.hop_length + 2) * sample_rate / mel.sample_rate
        self.longest_hop = 1 + math.ceil(hop + 2 * self.latency_samples)
        empty = [np.zeros((0, n), np.float32) for n in (mel.hop_length, mel.n_mels, mel.n_bins)]
        self._none = Hops(np.zeros(0, np.int64), *empty)
        self._mix = self._waiting = None
        self._filled = 0
        self.reset()

    def reset(self):
        """Forget all samples; the first hop starts at the next one."""
        self.decimator.reset()
        self.log_mel.reset()
        if self._mix is not None:
            self._mix.reset()
        self.position = self._filled = 0

    def _widen(self, channels):
        """Go on with another number of channels."""
        if self._filled:
            self.decimator.push(weighted_sum(self._waiting[: self._filled], self.weights))
            self._filled = 0
        self._mix = self._waiting = None
        if channels > 1:
            self._mix = LinkedMix(self.sample_rate, channels)
            self._waiting = np.zeros((self.longest_hop, channels), np.float32)

    @property
    def needed(self):
        """Samples until the next hop is ready."""
        return self.decimator.needed - self._filled

    @property
    def weights(self):
        """Weights of the channels in what is heard, (channels,); None for one channel."""
        return None if self._mix is None else self._mix.weights

    def push(self, samples):
        """Append samples (n,), or (n, channels) for two or more, n at most `needed`."""
        n = len(samples)
        self.position += n
        if samples.ndim == 1 and self._mix is None:
            self.decimator.push(samples)
            return
        self._fit(samples)
        if self._mix is None:
            self.decimator.push(samples)
        else:
            self._waiting[self._filled : self._filled + n] = samples
            self._filled += n

    def _fit(self, samples):
        if samples.ndim == 1:
            if self._mix is not None:
                self._widen(1)
        elif self._mix is None or samples.shape[1] != self._mix.channels:
            self._widen(samples.shape[1])

    def take(self):
        """Take the hop for which `needed` has become 0.

        Returns
        -------
        samples, log_mel, power : ndarray
            One row each of `Hops`; `samples` is valid until the next call.
        """
        ratio = None
        if self._mix is not None:
            mono, ratio = self._mix.process(self._waiting[: self._filled])
            self.decimator.push(mono)
            self._filled = 0
        samples = self.decimator.process()
        np.maximum(samples, -_CLIP, out=samples)  # two of these cost half of one clip
        np.minimum(samples, _CLIP, out=samples)
        log_mel, power = self.log_mel.process(samples)
        if ratio is not None:
            power *= np.float32(ratio)
        return samples, log_mel, power

    def process(self, samples):
        """Take many samples.

        Parameters
        ----------
        samples : ndarray, shape (n,) or (n, channels), float32
            Any n; finite.

        Returns
        -------
        Hops
            Within float32 rounding what `push` and `take` give.
        """
        if samples.ndim == 2 and samples.shape[1] == 1:
            samples = samples[:, 0]
        start, n = self.position, len(samples)
        self._fit(samples)
        ends = self.decimator.hop_ends_within(n + self._filled)
        if not len(ends):
            self.push(samples)
            return self._none
        cut = int(ends[-1]) - self._filled
        taken, rest, ratios = samples[:cut], samples[cut:], None
        if self._mix is not None:
            if self._filled:
                taken = np.concatenate([self._waiting[: self._filled], taken])
            taken, ratios = self._mix.process_many(taken, ends)
        ends += start - self._filled
        self._filled = 0
        resampled = self.decimator.process_many(taken)
        np.clip(resampled, -_CLIP, _CLIP, out=resampled)
        log_mel, power = self.log_mel.process_many(resampled)
        if ratios is not None:
            power *= ratios.astype(np.float32)[:, None]
        self.position += cut
        self.push(rest)
        return Hops(ends, resampled.reshape(-1, self.mel.hop_length), log_mel, power)
