"""The gain of every sample: a one-pole towards open or closed, in closed form."""

import math

import numpy as np

from gate.errors import ConfigError

_SETTLED = 1e-6  # -120 dB: nearer than this the gain is at its target
_FINE = 16  # steps that powers are computed for, one by one; the rest are products
_STRETCHES_A_PASS = 32  # of many: the working set stays in the cache


class Envelope:
    """Smooths the gain between decisions.

    The gain moves as g[n] = target + (g[n-1] - target) exp(-1 / (tau sample_rate)): it covers
    63 % (1 - 1/e) of its way to the target in `tau` seconds. Example: attack 5 ms at 48 kHz from
    0.001 to 1: after 240 samples the gain is 1 - 0.999 / e = 0.6325.

    Parameters
    ----------
    sample_rate : int
        Hz.
    max_length : int
        The longest stretch that `process` will be asked for, in samples.
    gain : float
        Where it starts.

    Notes
    -----
    State: the gain of the last sample. Latency 0.
    """

    latency_samples = 0

    def __init__(self, sample_rate, max_length, gain):
        if not 0.0 <= gain <= 1.0:
            raise ConfigError(f"gain={gain} must be from 0 to 1")
        self._sample_rate = sample_rate
        self._steps = np.arange(1.0, max_length + 1.0)
        self._work = np.empty(max_length)
        self._initial_gain = gain
        self.reset()

    def set_initial_gain(self, gain):
        """Where the next `reset` starts; the present gain goes on."""
        self._initial_gain = gain

    def reset(self):
        """Back to the starting gain."""
        self.gain = self._initial_gain

    def process(self, out, target, time_constant_s):
        """Write the gains of the next samples and keep the last.

        Parameters
        ----------
        out : ndarray, shape (n,), float32
            Receives the gains; n may be 0.
        target : float
            Linear gain to move towards, 0..1.
        time_constant_s : float
            Seconds to cover 63 % of the way.
        """
        n = len(out)
        distance = self.gain - target
        if n == 0:
            return
        if -_SETTLED < distance < _SETTLED:
            self.gain = target
            out[:] = target
            return
        work = self._work[:n]
        rate = -1.0 / (time_constant_s * self._sample_rate)
        np.multiply(self._steps[:n], rate, out=work)
        np.exp(work, out=work)
        work *= distance
        work += target
        out[:] = work
        self.gain = target + distance * math.exp(n * rate)

    def process_many(self, out, lengths, targets, time_constants_s):
        """Stretches one after the other: `process` for each, within float64 rounding.

        Parameters
        ----------
        out : ndarray, shape (sum of lengths,), float32
            Receives the gains.
        lengths : sequence of int, > 0
            Samples of each stretch.
        targets, time_constants_s : sequence of float
            Of each stretch.

        Returns
        -------
        ndarray, shape (stretches,), float64
            The gain before each.
        """
        before, moving, at = np.empty(len(lengths)), [], 0
        gain, rate_s = self.gain, -1.0 / self._sample_rate
        stretches = zip(lengths, targets, time_constants_s, strict=True)
        for index, (n, target, time_constant_s) in enumerate(stretches):
            before[index] = gain
            distance = gain - target
            if -_SETTLED < distance < _SETTLED:
                gain = target
                out[at : at + n] = target
            else:
                rate = rate_s / time_constant_s
                gain = target + distance * math.exp(n * rate)
                moving.append((n, at, target, distance, rate))
            at += n
        self.gain = gain
        moving = np.array(moving).reshape(-1, 5)
        for n in sorted(map(int, set(moving[:, 0].tolist()))):
            alike = moving[moving[:, 0] == n]
            for first in range(0, len(alike), _STRETCHES_A_PASS):
                part = alike[first : first + _STRETCHES_A_PASS, 1:]
                self._move(out, n, *part.T[:, :, None])
        return before

    def _move(self, out, n, at, target, distance, rate):
        """Write stretches of the same length n; the rest are columns (stretches, 1)."""
        fine = np.exp(rate * self._steps[:_FINE])
        coarse = distance * np.exp(rate * np.arange(0.0, n, _FINE))
        gains = (coarse[:, :, None] * fine[:, None, :]).reshape(len(at), -1)[:, :n]
        out[at.astype(np.int64) + np.arange(n)] = gains + target
