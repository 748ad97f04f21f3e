"""Any device rate to the detector's 16 kHz, a hop at a time.

A windowed-sinc FIR of about one millisecond to either side. A resampling *stream* of a file
resampler hands out its samples in bursts tens of milliseconds late; this one is late by its own
half length and nothing else.
"""

import copy
import math
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from gate.errors import ConfigError

_GROUP = 8  # outputs computed by one row of a small matrix product
_KAISER_BETA = 5.65  # 60 dB stop band
_HALF_SECONDS = 1e-3
_GROUP_OF_MANY = 16  # of the many-hop path, whose rows are the hops
_MIN_HALF = 12  # taps to either side at low rates


def _prototype(offset, half_width, cutoff):
    """Windowed sinc at `offset` input samples from its centre; `cutoff` in cycles a sample."""
    inside = np.clip(1.0 - (offset / half_width) ** 2, 0.0, None)
    grid = np.linspace(0.0, 1.0, 4097)
    window = np.interp(inside, grid, np.i0(_KAISER_BETA * np.sqrt(grid)))
    return np.where(inside > 0.0, window * 2.0 * cutoff * np.sinc(2.0 * cutoff * offset), 0.0)


class Decimator:
    """Resamples a mono stream to 16 kHz in hops of 160 samples.

    The caller appends samples with `push` up to `needed`, then takes the hop with `process`.
    All arithmetic is done on a whole hop with fixed shapes, so that the output does not depend
    on how the input was cut.

    Parameters
    ----------
    sample_rate : int
        Input rate, Hz.
    output_rate, hop_length : int
        16000 and 160.

    Attributes
    ----------
    latency_samples : int
        Delay of the output against the input, in input samples: half the filter, less than
        1.6 ms (0 at 16 kHz, where samples pass as they are).
    needed : int
        Input samples still missing from the next hop.

    Notes
    -----
    State: the input samples that the next hop still sees. Source: windowed-sinc interpolation
    (Smith, "Digital Audio Resampling", CCRMA), Kaiser window with beta 5.65.
    """

    def __init__(self, sample_rate, output_rate=16000, hop_length=160):
        if sample_rate != int(sample_rate) or sample_rate <= 0:
            raise ConfigError(f"sample_rate={sample_rate} must be a whole number > 0")
        self.sample_rate = int(sample_rate)
        self.hop_length = hop_length
        self._hops_per_second = output_rate // hop_length
        ratio = self.sample_rate / output_rate
        if self.sample_rate == output_rate:
            half = 1
            self.latency_samples = 0
        else:
            half = max(_MIN_HALF, math.ceil(_HALF_SECONDS * self.sample_rate))
            self.latency_samples = half
        self._half = half
        self._n_phases = self._hops_per_second // math.gcd(self.sample_rate, self._hops_per_second)
        # Transition band centred a little under the lower Nyquist rate: what folds back lies
        # above 7.4 kHz, at the edge of the last mel band.
        self._ratio, self._cutoff = ratio, 0.48 * min(1.0, output_rate / self.sample_rate)
        self._starts, self._coefs = self._design(_GROUP)
        self._span = self._coefs.shape[2]
        self._uniform = self._n_phases == 1 and self.sample_rate % output_rate == 0
        longest = math.ceil(self.sample_rate / self._hops_per_second) + 1
        self._buffer = np.zeros(2 * (longest + self._span) + 2 * half, dtype=np.float32)
        self._look()
        self.reset()

    def __deepcopy__(self, memo):
        """A copy whose windows look into its own buffer."""
        other = copy.copy(self)
        other._buffer = self._buffer.copy()
        other._look()
        return other

    def _look(self):
        """Views of the buffer: every window of a group's samples; those of a hop, where evenly."""
        self._windows = sliding_window_view(self._buffer, self._span)
        if self._uniform:
            first, second, *_ = self._starts[0].tolist()
            self._rows = self._windows[first :: second - first][: self._starts.shape[1]]

    def _design(self, group):
        """Group starts (phases, groups) and coefficients (phases, groups, span, group)."""
        n_groups, ratio, half = self.hop_length // group, self._ratio, self._half
        outputs = np.arange(self.hop_length).reshape(n_groups, group)
        span = math.floor((group - 1) * ratio) + 2 * half + 2
        starts = np.empty((self._n_phases, n_groups), dtype=np.int64)
        coefs = np.zeros((self._n_phases, n_groups, span, group), dtype=np.float32)
        for phase in range(self._n_phases):
            fraction = phase * self.sample_rate % self._hops_per_second / self._hops_per_second
            position = fraction + outputs * ratio  # from the hop's first whole input sample
            starts[phase] = np.floor(position[:, 0])
            if self.latency_samples == 0:
                taps = np.arange(span)[None, :, None] - half + 1
                coefs[phase] = taps == (outputs - outputs[:, :1])[:, None, :]
                continue
            tap = starts[phase][:, None, None] - half + 1 + np.arange(span)[None, :, None]
            taps = _prototype(tap - position[:, None, :], half, self._cutoff)
            coefs[phase] = taps / taps.sum(axis=1, keepdims=True)
        return starts, coefs

    @cached_property
    def _design_of_many(self):
        return self._design(_GROUP_OF_MANY)

    def reset(self):
        """Forget all samples; the first hop starts at the next one."""
        self._hop = 0
        self._base = 1 - self._half  # input index of _buffer[0]
        self._buffer[:] = 0.0
        self._fill = self._half - 1  # silence before the first sample
        self.needed = self._hop_end(0) - self._base - self._fill

    def _hop_start(self, hop):
        """Input index of the last sample at or before the hop's first output."""
        return hop * self.sample_rate // self._hops_per_second

    def _hop_end(self, hop):
        """Input samples that must have come before the hop can be computed."""
        last = ((hop + 1) * self.hop_length - 1) * self.sample_rate
        return last // (self._hops_per_second * self.hop_length) + self._half + 1

    def hop_ends(self, n_hops):
        """Input samples consumed when each of the next `n_hops` hops is ready, (n_hops,)."""
        base = self._base + self._fill
        hops = np.arange(self._hop, self._hop + n_hops, dtype=np.int64)
        last = ((hops + 1) * self.hop_length - 1) * self.sample_rate
        return last // (self._hops_per_second * self.hop_length) + self._half + 1 - base

    def hop_ends_within(self, n_samples):
        """The `hop_ends` that lie within the next `n_samples` samples."""
        bound = n_samples * self._hops_per_second // self.sample_rate + 2
        ends = self.hop_ends(bound)
        return ends[: np.searchsorted(ends, n_samples, side="right")]

    def push(self, samples):
        """Append samples, at most `needed` of them."""
        n = len(samples)
        self._buffer[self._fill : self._fill + n] = samples
        self._fill += n
        self.needed -= n

    def process(self):
        """Compute the hop for which `needed` has become 0.

        Returns
        -------
        ndarray, shape (hop_length,), float32
            At the output rate; valid until the next call.
        """
        if self._uniform:
            out = np.dot(self._rows, self._coefs[0, 0]).reshape(-1)
        else:
            phase = self._hop % self._n_phases
            rows = self._windows[self._starts[phase]]
            out = np.matmul(rows[:, None, :], self._coefs[phase]).reshape(-1)
        self._advance()
        return out

    def process_many(self, samples):
        """Resample many hops at once; the state carries over to and from `process`.

        Parameters
        ----------
        samples : ndarray, shape (n,), float32
            The next samples, `n` being one of `hop_ends`.

        Returns
        -------
        ndarray, shape (n_hops * hop_length,), float32
            Equal to `process` hop by hop within float32 rounding.
        """
        first, n_phases = self._hop, self._n_phases
        all_starts, all_coefs = self._design_of_many
        span = all_coefs.shape[2]
        signal = np.concatenate([self._buffer[: self._fill], samples, np.zeros(span, np.float32)])
        windows = sliding_window_view(signal, span)
        n_hops = len(self.hop_ends_within(len(samples)))
        out = np.empty((n_hops, *all_coefs.shape[1::2]), dtype=np.float32)
        step = self._hop_start(n_phases)  # between hops of a phase: a row of the product each
        for hop in range(min(n_phases, n_hops)):
            phase, rows = (first + hop) % n_phases, out[hop::n_phases]
            offset = self._hop_start(first + hop) - self._hop_start(first)
            for group, (start, coefs) in enumerate(
                zip(all_starts[phase] + offset, all_coefs[phase], strict=True)
            ):
                rows[:, group] = windows[start::step][: len(rows)] @ coefs
        self._fill += len(samples)
        keep = self._hop_start(first + n_hops) - self._half + 1 - self._base
        tail = signal[keep : self._fill]
        self._hop += n_hops
        self._base += keep
        self._fill = len(tail)
        self._buffer[:] = 0.0
        self._buffer[: self._fill] = tail
        self.needed = self._hop_end(self._hop) - self._base - self._fill
        return out.reshape(-1)

    def _advance(self):
        """Drop what the next hop no longer sees."""
        self._hop += 1
        base = self._hop_start(self._hop) - self._half + 1
        drop = base - self._base
        self._buffer[: self._fill - drop] = self._buffer[drop : self._fill]
        self._buffer[self._fill - drop : self._fill] = 0.0
        self._fill -= drop
        self._base = base
        self.needed = self._hop_end(self._hop) - base - self._fill
