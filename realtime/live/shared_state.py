"""What the stream's process tells the interface's process, in shared memory.

One writer a field. Numbers are aligned 8-byte words, which x86-64 and ARM64 read and write
whole; rows of the rings are read between two looks at their counter, so a torn row is dropped.
"""

from multiprocessing import shared_memory

import numpy as np

from gate.control import Reason

COUNTS = (
    "pid", "heartbeat", "status", "sample_rate", "block_frames", "callbacks", "frames",
    "input_overflows", "input_underflows", "output_underflows", "output_overflows",
    "nonfinite_samples", "hops", "failed_hops", "detector_failures", "detector_overruns",
    "callback_errors", "late_callbacks", "restarts", "hop_rows", "load_rows",
    "record_written", "record_read", "record_width", "record_dropped", "record_epoch",
)  # fmt: skip
GAUGES = (
    "input_latency_ms", "output_latency_ms", "detector_late_ms", "queue_ms",
)  # fmt: skip
HOP_FIELDS = (
    "time_s", "input_dbfs", "key_level_dbfs", "presence", "open", "gain_db", "attack_ms",
    "hold_ms", "release_ms", "key_low_hz", "key_high_hz", "reason",
)  # fmt: skip

STATUS = ("starting", "running", "silence", "lost", "stopped")
REASONS = tuple(Reason)
_REASON_INDEX = {reason.label: index for index, reason in enumerate(REASONS)}

HOP_ROWS = 4096
LOAD_ROWS = 8192
_HOP_BYTES = HOP_ROWS * len(HOP_FIELDS) * 8
_LOAD_BYTES = LOAD_ROWS * 4
_SIZE = 8 * (len(COUNTS) + len(GAUGES)) + _HOP_BYTES + _LOAD_BYTES


class SharedState:
    """Counters, gauges and two rings over one block of shared memory.

    Counters and gauges are attributes: ``state.callbacks += 1``.

    Parameters
    ----------
    name : str, optional
        Of a block to join; without it one is made.
    """

    def __init__(self, name=None):
        memory = shared_memory.SharedMemory(name=name, create=name is None, size=_SIZE)
        counts = np.ndarray(len(COUNTS), np.int64, memory.buf)
        at = counts.nbytes
        gauges = np.ndarray(len(GAUGES), np.float64, memory.buf, at)
        at += gauges.nbytes
        hops = np.ndarray((HOP_ROWS, len(HOP_FIELDS)), np.float64, memory.buf, at)
        at += hops.nbytes
        loads = np.ndarray(LOAD_ROWS, np.float32, memory.buf, at)
        own = {"_memory": memory, "_counts": counts, "_gauges": gauges}
        self.__dict__.update(own, hops_ring=hops, loads_ring=loads, _owner=name is None)
        self.__dict__["_where"] = {n: (counts, i) for i, n in enumerate(COUNTS)} | {
            n: (gauges, i) for i, n in enumerate(GAUGES)
        }
        if name is None:
            for array in (counts, gauges, hops, loads):
                array[...] = 0

    @property
    def name(self):
        """Name to join by."""
        return self._memory.name

    def __getattr__(self, name):
        try:
            array, index = self.__dict__["_where"][name]
        except KeyError:
            raise AttributeError(name) from None
        return array[index].item()

    def __setattr__(self, name, value):
        array, index = self._where[name]
        array[index] = value

    def add(self, name, n=1):
        """Add to a counter."""
        array, index = self._where[name]
        array[index] += n

    def put_hop(self, meters):
        """Append a hop's `Meters`. Stream side."""
        counts, index = self._where["hop_rows"]
        m = meters
        self.hops_ring[int(counts[index]) % HOP_ROWS] = (
            m.time_s, m.input_dbfs, m.key_level_dbfs, m.presence, m.open, m.gain_db, m.attack_ms,
            m.hold_ms, m.release_ms, m.key_low_hz, m.key_high_hz, _REASON_INDEX[m.reason],
        )  # fmt: skip
        counts[index] += 1

    def put_load(self, load):
        """Append a callback's share of its deadline. Stream side."""
        counts, index = self._where["load_rows"]
        self.loads_ring[int(counts[index]) % LOAD_ROWS] = load
        counts[index] += 1

    def hops_since(self, row):
        """Hops from number `row` on, as far as they are still there.

        Parameters
        ----------
        row : int
            Negative: that many of the last.

        Returns
        -------
        ndarray, shape (n, len(HOP_FIELDS))
        int
            Number of the hop after the last one.
        """
        end = self.hop_rows
        start = max(end + row, 0) if row < 0 else row
        start = max(start, end - HOP_ROWS + 64)
        taken = self.hops_ring[np.arange(start, end) % HOP_ROWS]
        overwritten = max(0, self.hop_rows - HOP_ROWS - start + 1)
        return taken[overwritten:], end

    def last_hop(self):
        """The last hop as a dict with the reason's label, or None before the first."""
        rows, _ = self.hops_since(-1)
        return hop_to_dict(rows[-1]) if len(rows) else None

    def loads(self, n):
        """The last `n` callbacks' shares of their deadline; fewer if there were fewer."""
        end = self.load_rows
        n = min(n, end, LOAD_ROWS)
        return self.loads_ring[np.arange(end - n, end) % LOAD_ROWS]

    @property
    def xruns(self):
        """All times that a device had too much or too little."""
        return (
            self.input_overflows
            + self.input_underflows
            + self.output_underflows
            + self.output_overflows
        )

    def close(self):
        """Let go of the memory; its maker also removes it."""
        for name in ("_counts", "_gauges", "hops_ring", "loads_ring", "_where"):
            self.__dict__.pop(name, None)
        try:
            self._memory.close()
        except BufferError:  # a view is still held somewhere; the system frees it at exit
            pass
        if self._owner:
            self._memory.unlink()


def hop_to_dict(row):
    """A row of the hop ring as a dict: `open` a bool, `reason` a label."""
    hop = dict(zip(HOP_FIELDS, row.tolist(), strict=True))
    hop["open"] = bool(hop["open"])
    hop["reason"] = REASONS[int(hop["reason"])].label
    return hop
