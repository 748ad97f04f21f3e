"""The gain of every sample: a one-pole towards open or closed, in closed form."""

import math

import numpy as np

from gate.errors import ConfigError

_SETTLED = 1e-6  # -120 dB: nearer than this the gain is at its target


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
