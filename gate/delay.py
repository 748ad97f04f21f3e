"""The lookahead: a delay whose length can change without a click."""

import numpy as np

_FADE_SECONDS = 0.010
_PIECE = 4096  # samples handled in one go


class DelayLine:
    """Delays audio by a whole number of samples.

    A change of the delay cross-fades from the old to the new tap in 10 ms; a change during a
    fade waits for its end.

    Parameters
    ----------
    sample_rate : int
        Hz.
    channels : int
        Columns of the audio.
    max_delay_samples : int
        The longest delay that can be set.
    delay_samples : int
        The delay to start with.

    Notes
    -----
    State: the last `max_delay_samples` of audio. Latency: `latency_samples`, the delay.
    """

    def __init__(self, sample_rate, channels, max_delay_samples, delay_samples=0):
        self._fade_length = max(1, round(_FADE_SECONDS * sample_rate))
        self._ring = np.zeros((max_delay_samples + _PIECE, channels), dtype=np.float32)
        self._max_delay = max_delay_samples
        self._fade_in = (
            (np.arange(self._fade_length, dtype=np.float32) + 1.0) / self._fade_length
        )[:, None]
        self._target = delay_samples
        self.reset()

    def reset(self):
        """Silence in the line, at the delay last set."""
        self._ring[:] = 0.0
        self._write = 0
        self._delay = self._target
        self._fade_left = 0

    @property
    def latency_samples(self):
        """The delay set, in samples."""
        return self._target

    def set_delay(self, delay_samples):
        """Fade to another delay, 0..max_delay_samples."""
        self._target = min(delay_samples, self._max_delay)

    def process(self, block):
        """Delay a block (n, channels); the result may be a view that the next call overwrites."""
        n = len(block)
        if n <= _PIECE:
            return self._piece(block)
        out = np.empty_like(block)
        for start in range(0, n, _PIECE):
            out[start : start + _PIECE] = self._piece(block[start : start + _PIECE])
        return out

    def _piece(self, block):
        n = len(block)
        start = self._write
        end = start + n
        size = len(self._ring)
        if end <= size:
            self._ring[start:end] = block
        else:
            self._ring[start:] = block[: size - start]
            self._ring[: end - size] = block[size - start :]
        self._write = end % size
        if self._delay == 0 and self._target == 0:
            return block
        out = self._read(start, n, self._delay) if self._delay else block
        done = 0
        while done < n and (self._fade_left or self._target != self._delay):
            if not self._fade_left:
                self._fade_left, self._next = self._fade_length, self._target
            step = min(n - done, self._fade_left)
            at = self._fade_length - self._fade_left
            ramp = self._fade_in[at : at + step]
            faded = self._read(start + done, step, self._next) * ramp
            faded += self._read(start + done, step, self._delay) * (1.0 - ramp)
            out = out.copy() if done == 0 else out
            out[done : done + step] = faded
            done += step
            self._fade_left -= step
            if not self._fade_left:
                self._delay = self._next
                out[done:] = self._read(start + done, n - done, self._delay)
        return out

    def _read(self, position, n, delay):
        size = len(self._ring)
        start = (position - delay) % size
        if start + n <= size:
            return self._ring[start : start + n]
        return np.concatenate([self._ring[start:], self._ring[: start + n - size]])
