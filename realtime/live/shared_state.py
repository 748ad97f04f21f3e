"""What the stream's process tells the interface's process, in shared memory.

One writer a field. Numbers are aligned 8-byte words, which x86-64 and ARM64 read and write
whole; rows of the rings are read between two looks at their counter, so a torn row is dropped.
The rings of hops are the last 40 s: what the gate decided, and the log-mel that it heard, which
is what a gate is taught with while it runs.
"""

from dataclasses import fields
from multiprocessing import shared_memory
from operator import attrgetter

import numpy as np

from gate.control import Reason
from gate.meters import Meters

COUNTS = (
    "pid", "heartbeat", "status", "sample_rate", "block_frames", "callbacks", "frames",
    "input_overflows", "input_underflows", "output_underflows", "output_overflows",
    "nonfinite_samples", "hops", "failed_hops", "detector_failures", "detector_overruns",
    "callback_errors", "late_callbacks", "restarts", "hop_rows", "load_rows",
    "record_written", "record_read", "record_width", "record_dropped", "record_epoch",
    "record_lost", "record_hop_row", "n_ears",
)  # fmt: skip
GAUGES = (
    "input_latency_ms", "output_latency_ms", "detector_late_ms", "queue_ms",
)  # fmt: skip
HOP_FIELDS = tuple(f.name for f in fields(Meters))
"""Names of a hop's numbers; `Meters` is where they stand."""

N_MELS, MAX_EARS = 64, 4

STATUS = ("starting", "running", "silence", "lost", "stopped")
REASONS = tuple(Reason)
_REASON_INDEX = {reason.label: index for index, reason in enumerate(REASONS)}

HOP_ROWS = 4096
LOAD_ROWS = 8192
_HOP_BYTES = HOP_ROWS * len(HOP_FIELDS) * 8
_LOAD_BYTES = LOAD_ROWS * 4
_HEARD_BYTES = HOP_ROWS * (N_MELS + MAX_EARS) * 4
_SIZE = 8 * (len(COUNTS) + len(GAUGES)) + _HOP_BYTES + _LOAD_BYTES + _HEARD_BYTES
_REASON_AT = HOP_FIELDS.index("reason")
_numbers_of = attrgetter(*HOP_FIELDS)


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
        at += loads.nbytes
        heard = np.ndarray((HOP_ROWS, N_MELS + MAX_EARS), np.float32, memory.buf, at)
        own = {"_memory": memory, "_counts": counts, "_gauges": gauges, "_owner": name is None}
        self.__dict__.update(own, hops_ring=hops, loads_ring=loads, heard_ring=heard)
        self.__dict__["_where"] = {n: (counts, i) for i, n in enumerate(COUNTS)} | {
            n: (gauges, i) for i, n in enumerate(GAUGES)
        }
        if name is None:
            for array in (counts, gauges, hops, loads, heard):
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

    def put_hop(self, meters, log_mel=None, ears=None):
        """Append a hop's `Meters`, the log-mel (64,) and the ears (k,) it heard. Stream side."""
        counts, index = self._where["hop_rows"]
        row = int(counts[index]) % HOP_ROWS
        numbers = list(_numbers_of(meters))
        numbers[_REASON_AT] = _REASON_INDEX[numbers[_REASON_AT]]
        self.hops_ring[row] = numbers
        if log_mel is not None:
            self.heard_ring[row, :N_MELS] = log_mel
        if ears is not None:
            self.n_ears = len(ears)
            self.heard_ring[row, N_MELS : N_MELS + len(ears)] = ears
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
        start, end = self._range(row)
        taken = self.hops_ring[np.arange(start, end) % HOP_ROWS]
        return taken[self._overwritten(start) :], end

    def heard_since(self, row):
        """As `hops_since`, with what each hop heard.

        Returns
        -------
        hops : ndarray, shape (n, len(HOP_FIELDS))
        log_mel : ndarray, shape (n, 64), float32
        ears : ndarray, shape (n, k), float32
            What the second ears said; k is 0 where there is none.
        int
            Number of the hop after the last one.
        """
        start, end = self._range(row)
        at = np.arange(start, end) % HOP_ROWS
        hops, heard = self.hops_ring[at], self.heard_ring[at]
        old = self._overwritten(start)
        return hops[old:], heard[old:, :N_MELS], heard[old:, N_MELS : N_MELS + self.n_ears], end

    def _range(self, row):
        end = self.hop_rows
        start = max(end + row, 0) if row < 0 else row
        start = max(start, end - HOP_ROWS + 64)
        return start, end

    def _overwritten(self, start):
        """How many rows from `start` on the writer may have reached meanwhile."""
        return max(0, self.hop_rows - HOP_ROWS - start + 1)

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
        for name in ("_counts", "_gauges", "hops_ring", "loads_ring", "heard_ring", "_where"):
            self.__dict__.pop(name, None)
        try:
            self._memory.close()
        except BufferError:  # a view is still held somewhere; the system frees it at exit
            pass
        if self._owner:
            self._memory.unlink()


def column(hops, name):
    """One of `HOP_FIELDS` of many rows, shape (n,)."""
    return hops[:, HOP_FIELDS.index(name)]


def present(hops, threshold):
    """Where the target is present: by evidence, or by presence where the classic rule decides.

    Parameters
    ----------
    hops : ndarray, shape (n, len(HOP_FIELDS))
    threshold : float
        Of the presence, for the classic rule.

    Returns
    -------
    ndarray, shape (n,), bool
    """
    by_evidence = column(hops, "evidence_high") > column(hops, "evidence_low")
    return np.where(
        by_evidence, column(hops, "evidence") > 0.0, column(hops, "presence") >= threshold
    )


def hop_to_dict(row):
    """A row of the hop ring as a dict: `open` a bool, `reason` a label."""
    hop = dict(zip(HOP_FIELDS, row.tolist(), strict=True))
    hop["open"] = bool(hop["open"])
    hop["reason"] = REASONS[int(hop["reason"])].label
    return hop
