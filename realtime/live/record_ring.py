"""A bounded queue of samples between the audio callback and the writer, in shared memory."""

from multiprocessing import shared_memory

import numpy as np

RING_BYTES = 1 << 24
_SIZE = RING_BYTES // 4


class RecordRing:
    """One writer, one reader; whoever finds it full drops samples and counts them.

    The counters live in `SharedState` (``record_written`` and so on).

    Parameters
    ----------
    state : SharedState
    name : str, optional
        Of a ring to join; without it one is made.
    """

    def __init__(self, state, name=None):
        self._memory = shared_memory.SharedMemory(name=name, create=name is None, size=RING_BYTES)
        self._owner = name is None
        self._flat = np.ndarray(_SIZE, np.float32, self._memory.buf)
        self._state = state
        self._rows = None

    @property
    def name(self):
        """Name to join by."""
        return self._memory.name

    def begin(self, width):
        """Lay the ring out for rows of `width` samples. Stream side, before sound flows."""
        self._state.record_width = width
        self._state.record_read = self._state.record_written
        self._state.record_hop_row = self._state.hop_rows
        self._state.record_epoch += 1
        self._layout(width)

    def _layout(self, width):
        n_rows = _SIZE // width
        self._rows = self._flat[: n_rows * width].reshape(n_rows, width)

    @property
    def drained(self):
        """Whether everything has been read."""
        return self._state.record_read == self._state.record_written

    def put(self, dry, gated):
        """Append samples, dry channels first. Never blocks. Stream side."""
        state, rows = self._state, self._rows
        n, written, n_dry = len(dry), state.record_written, dry.shape[1]
        if n > len(rows) - (written - state.record_read):
            state.add("record_dropped", n)
            return
        start = written % len(rows)
        first = min(n, len(rows) - start)
        rows[start : start + first, :n_dry] = dry[:first]
        rows[start : start + first, n_dry:] = gated[:first]
        if first < n:
            rows[: n - first, :n_dry] = dry[first:n]
            rows[: n - first, n_dry:] = gated[first:n]
        state.record_written = written + n

    def take(self, most):
        """Copy at most `most` rows out, or None. Reader side.

        Returns
        -------
        epoch : int
            Counts openings of the stream.
        rows : ndarray, shape (n, width), float32
        """
        state = self._state
        written = state.record_written  # before the epoch: new rows imply the new epoch
        epoch, width, read = state.record_epoch, state.record_width, state.record_read
        if epoch == 0:
            return 0, None
        if self._rows is None or self._rows.shape[1] != width:
            self._layout(width)
        n = min(written - read, most)
        if n <= 0:
            return epoch, None
        taken = self._rows[np.arange(read, read + n) % len(self._rows)]
        state.record_read = read + n
        return epoch, taken

    def close(self):
        """Let go of the memory; its maker also removes it."""
        self._flat = self._rows = None
        try:
            self._memory.close()
        except BufferError:
            pass
        if self._owner:
            self._memory.unlink()
