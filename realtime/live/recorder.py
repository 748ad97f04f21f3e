"""Writes what the stream puts into the `RecordRing`: dry and gated sound, and the trace."""

import os
import shutil
import time
from pathlib import Path

import numpy as np

from gate.errors import AudioFileError
from realtime.live.periodic import Periodic
from realtime.live.shared_state import HOP_FIELDS
from realtime.live.take import Take

_PERIOD_S = 0.25
_FIRST_RETRY_S, _LONGEST_RETRY_S = 5.0, 60.0
_ROOM_S = 10.0  # of sound that must fit on the disk before another try
_LONGEST_BYTES = 2_000_000_000  # a WAV header counts to 4 GB
_TIME = HOP_FIELDS.index("time_s")
_MOST_WAITING_HOPS = 100_000


class Recorder(Periodic):
    """A thread that empties the ring into ``NAME-dry.wav``, ``NAME-gated.wav``, ``NAME-trace.csv``.

    The files are closed after every write, so that whatever happens they can be read up to a
    quarter of a second before it. New ones are begun every so many minutes and whenever the
    device is opened again. The disk may be slow: the ring holds some seconds; what does not fit
    is dropped and counted, and the sound goes on. A disk that is full ends the files at what fits
    in all of them; what comes is counted as lost, and new files are tried after 5, 10 ... 60 s once
    ten seconds of sound would fit.

    Parameters
    ----------
    ring : RecordRing
    state : SharedState
    live : LiveSettings
        `record` is the folder, `record_minutes` the length of a file.
    say : callable
        Called with one line for people.
    clock : callable
        Seconds; for tests.

    Raises
    ------
    AudioFileError
        If the folder cannot be made or written to.
    """

    def __init__(self, ring, state, live, say, clock=time.monotonic):
        super().__init__("recorder", _PERIOD_S)
        self._ring = ring
        self._state = state
        self._folder = Path(live.record)
        self._minutes = live.record_minutes
        self._say = say
        self._clock = clock
        self._take = None
        self._epoch = 0
        self._seen_frames = 0
        self._hop_row = 0
        self._hops = np.zeros((0, len(HOP_FIELDS)))
        self._dropped = 0
        self._broken = False
        self._retry_s, self._retry_at = _FIRST_RETRY_S, 0.0
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self._folder, os.W_OK):
                raise PermissionError(13, "no permission to write")
        except OSError as error:
            raise AudioFileError(f"record={self._folder}: {error.strerror}") from None

    def _watch(self):
        super()._watch()
        self.look()  # what is left

    def look(self):
        """Write what has come since the last time."""
        while self._take_some():
            pass
        self._guarded(self._write_trace)
        dropped = self._state.record_dropped
        if dropped > self._dropped and not self._broken:
            self._say(f"recording: the disk was too slow, {dropped - self._dropped} samples lost")
        self._dropped = dropped

    def _take_some(self):
        rate = max(self._state.sample_rate, 1)
        epoch, rows = self._ring.take(rate)
        if rows is None:
            return False
        if epoch != self._epoch:
            begun = self._state.record_hop_row
            self._guarded(self._write_trace, begun)
            self._hops, self._hop_row = self._hops[:0], max(begun, 0)
            self._epoch, self._take, self._seen_frames = epoch, None, 0
        if not self._guarded(self._write, rows, rate):
            self._state.record_lost += len(rows)
        self._seen_frames += len(rows)
        return True

    def _guarded(self, work, *args):
        """Whether writing worked; tells once why not, and ends the files where they agree."""
        if self._broken and self._clock() < self._retry_at:
            return False
        try:
            work(*args)
        except (OSError, RuntimeError, AssertionError) as error:  # the latter two soundfile's
            self._fail(error)
            return False
        return True

    def _write(self, rows, rate):
        if self._take is not None and self._take.is_full:
            self._write_trace()
            self._take = None
        if self._take is None:
            n = rows.shape[1] // 2
            if self._broken and _free_bytes(self._folder) < _ROOM_S * rate * 8 * n:
                raise OSError(28, "no space left on device")
            limit = min(int(self._minutes * 60 * rate), _LONGEST_BYTES // (4 * n))
            self._take = Take(self._folder, rate, n, limit, self._seen_frames)
        self._take.write(rows)
        if self._broken or self._take.is_new:
            self._say(f"recording: {self._take.stem}-*.wav in {self._folder}")
        if self._broken:
            self._say(f"recording goes on; {self._state.record_lost} samples are lost in all")
        self._broken, self._retry_s = False, _FIRST_RETRY_S

    def _fail(self, error):
        """Tell once; what is in all files stays, and new ones are tried seldom."""
        if not self._broken:
            why = self._why(error)
            self._say(f"recording to {self._folder} stopped: {why}; the sound goes on")
            self._retry_s = _FIRST_RETRY_S
        else:
            self._retry_s = min(2.0 * self._retry_s, _LONGEST_RETRY_S)
        self._broken = True
        self._retry_at = self._clock() + self._retry_s
        take, self._take = self._take, None
        if take is not None:
            take.end()

    def _why(self, error):
        """In plain words: libsndfile says "System error." for most of it."""
        if not self._folder.is_dir():
            return "the folder is gone"
        if getattr(error, "errno", None) == 28 or _free_bytes(self._folder) < 1 << 16:
            return "no space left on the disk"
        if isinstance(error, OSError):
            return error.strerror or str(error)
        return "the file cannot be written any more"

    def _write_trace(self, before_row=None):
        """Write the hops that lie in the files, and keep those that are still to come there."""
        hops, end = self._state.hops_since(self._hop_row)
        if before_row is not None:  # from there on they belong to another opening
            hops = hops[: max(len(hops) - (end - before_row), 0)]
        self._hop_row = end
        self._hops = np.concatenate([self._hops, hops])[-_MOST_WAITING_HOPS:]
        if self._take is None or not len(self._hops):
            return
        mine = int(np.searchsorted(self._hops[:, _TIME], self._take.end_s, side="right"))
        ready, self._hops = self._hops[:mine], self._hops[mine:]
        self._take.write_trace(ready)


def _free_bytes(folder):
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0
