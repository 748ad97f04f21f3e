"""Writes what the stream puts into the `RecordRing`: dry and gated sound, and the trace."""

import csv
import os
import threading
import time
from pathlib import Path

import numpy as np

from gate.errors import AudioFileError
from realtime.batch.trace import COLUMNS
from realtime.live.shared_state import hop_to_dict

_PERIOD_S = 0.25
_LONGEST_BYTES = 2_000_000_000  # a WAV header counts to 4 GB


class Recorder:
    """A thread that empties the ring into ``NAME-dry.wav``, ``NAME-gated.wav``, ``NAME-trace.csv``.

    The files are closed after every write, so that whatever happens they can be read up to a
    quarter of a second before it. New ones are begun every so many minutes and whenever the
    device is opened again. The disk may be slow: the ring holds some seconds; what does not fit
    is dropped and counted, and the sound goes on.

    Parameters
    ----------
    ring : RecordRing
    state : SharedState
    live : LiveSettings
        `record` is the folder, `record_minutes` the length of a file.
    say : callable
        Called with one line for people.

    Raises
    ------
    AudioFileError
        If the folder cannot be made or written to.
    """

    def __init__(self, ring, state, live, say):
        self._ring = ring
        self._state = state
        self._folder = Path(live.record)
        self._minutes = live.record_minutes
        self._say = say
        self._take = None
        self._epoch = 0
        self._hop_row = 0
        self._dropped = 0
        self._broken = False
        self._stopping = threading.Event()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self._folder, os.W_OK):
                raise PermissionError(13, "no permission to write")
        except OSError as error:
            raise AudioFileError(f"record={self._folder}: {error.strerror}") from None
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self):
        """Begin to write."""
        self._thread.start()

    def stop(self):
        """Write what is left and end."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(5.0)

    def _run(self):
        while not self._stopping.wait(_PERIOD_S):
            self._empty()
        self._empty()

    def _empty(self):
        try:
            while self._write_some():
                pass
            self._write_trace()
            self._broken = False
        except OSError as error:
            self._fail(error.strerror or str(error))
        except RuntimeError as error:  # libsndfile's
            self._fail(str(getattr(error, "error_string", error)))
        dropped = self._state.record_dropped
        if dropped > self._dropped and not self._broken:
            self._say(f"recording: the disk was too slow, {dropped - self._dropped} samples lost")
            self._dropped = dropped

    def _fail(self, why):
        """Tell once, go on with new files when it works again."""
        if not self._broken:
            self._say(f"recording to {self._folder} failed: {why}; the sound goes on")
        self._broken = True
        self._take = None

    def _write_some(self):
        rate = max(self._state.sample_rate, 1)
        epoch, rows = self._ring.take(rate)
        if rows is None:
            return False
        if epoch != self._epoch:
            self._epoch, self._take = epoch, None
            self._begun_frames = 0
        if self._take is not None and self._take.is_full:
            self._take = None
        if self._take is None:
            n = rows.shape[1] // 2
            limit = min(int(self._minutes * 60 * rate), _LONGEST_BYTES // (4 * n))
            self._take = _Take(self._folder, rate, n, limit, self._begun_frames)
            self._say(f"recording: {self._take.stem}-*.wav in {self._folder}")
        self._take.write(rows)
        self._begun_frames += len(rows)
        return True

    def _write_trace(self):
        rows, self._hop_row = self._state.hops_since(self._hop_row)
        if self._take is not None and len(rows):
            self._take.write_trace(rows)


class _Take:
    """The three files of one stretch of time."""

    def __init__(self, folder, sample_rate, channels, limit_frames, begun_frames):
        import soundfile

        stamp = time.strftime("gate-%Y%m%d-%H%M%S")
        self.stem, n = stamp, 1
        while (folder / f"{self.stem}-dry.wav").exists():
            n += 1
            self.stem = f"{stamp}-{n}"
        self._soundfile = soundfile
        self._channels = channels
        self._limit = limit_frames
        self._frames = 0
        self._start_s = begun_frames / sample_rate
        self._paths = [folder / f"{self.stem}-{kind}.wav" for kind in ("dry", "gated")]
        self._trace = folder / f"{self.stem}-trace.csv"
        for path in self._paths:
            soundfile.SoundFile(path, "w", sample_rate, channels, "FLOAT", format="WAV").close()
        with self._trace.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(COLUMNS)

    @property
    def is_full(self):
        return self._frames >= self._limit

    def write(self, rows):
        n = self._channels
        for path, part in zip(self._paths, (rows[:, :n], rows[:, n:]), strict=True):
            # Closing is libsndfile's public way to bring the header up to date.
            with self._soundfile.SoundFile(path, "r+") as file:
                file.seek(0, self._soundfile.SEEK_END)
                file.write(np.ascontiguousarray(part))
        self._frames += len(rows)

    def write_trace(self, rows):
        """Rows of the hop ring; the time is the file's."""
        with self._trace.open("a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            for row in rows:
                hop = hop_to_dict(row)
                time_s = hop["time_s"] - self._start_s
                if time_s <= 0.0:
                    continue
                values = [round(hop[name], 4) for name in COLUMNS[1:-1]]
                writer.writerow([f"{time_s:.4f}", *values, hop["reason"]])
