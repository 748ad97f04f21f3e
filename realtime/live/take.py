"""The three files of one stretch of a recording."""

import contextlib
import csv
import itertools
import time

import numpy as np

from gate.errors import AudioFileError
from realtime.batch.trace import COLUMNS, trace_row
from realtime.live.shared_state import hop_to_dict
from realtime.outputs import OutputRules


class Take:
    """Dry and gated sound and the trace, written piece by piece and closed after each.

    Parameters
    ----------
    folder : Path
    sample_rate, channels : int
    limit_frames : int
        How long the files may get.
    begun_frames : int
        Frames of the stream before this take.

    Attributes
    ----------
    stem : str
        What the names begin with.
    end_s : float
        Time of the stream up to which it holds sound.
    is_new : bool
        Whether only one piece has been written.

    Raises
    ------
    OSError, RuntimeError
        Where the files cannot be made; then none is left behind.
    """

    def __init__(self, folder, sample_rate, channels, limit_frames, begun_frames):
        import soundfile

        self._soundfile = soundfile
        self._rate, self._channels = sample_rate, channels
        self._limit = limit_frames
        self._frames = self._pieces = 0
        self._start_s = begun_frames / sample_rate
        self.stem, (*self._paths, self._trace) = _claim_names(folder)
        try:
            for path in self._paths:
                soundfile.SoundFile(path, "w", sample_rate, channels, "FLOAT", format="WAV").close()
            with self._trace.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerow(COLUMNS)
        except BaseException:
            self.end()
            raise

    @property
    def is_full(self):
        """Whether it is time for the next."""
        return self._frames >= self._limit

    @property
    def is_new(self):
        """Whether only one piece has been written."""
        return self._pieces == 1

    @property
    def end_s(self):
        """Time of the stream up to which it holds sound."""
        return self._start_s + self._frames / self._rate

    def write(self, rows):
        """Append sound, dry channels first, shape (n, 2 channels)."""
        n = self._channels
        for path, part in zip(self._paths, (rows[:, :n], rows[:, n:]), strict=True):
            # Closing is libsndfile's public way to bring the header up to date.
            with self._soundfile.SoundFile(path, "r+") as file:
                file.seek(0, self._soundfile.SEEK_END)
                file.write(np.ascontiguousarray(part))
        self._frames += len(rows)
        self._pieces += 1

    def write_trace(self, rows):
        """Append rows of the hop ring; the time is the files'."""
        with self._trace.open("a", encoding="utf-8", newline="") as file:
            for row in rows:
                hop = hop_to_dict(row)
                hop["time_s"] -= self._start_s
                if hop["time_s"] > 0.0:
                    file.write(trace_row(hop))

    def end(self):
        """After a failure: both files as long as the shorter, and none where there is no sound."""
        for path in self._paths:
            with contextlib.suppress(OSError, RuntimeError, AssertionError):
                if self._frames:
                    with self._soundfile.SoundFile(path, "r+") as file:
                        if file.frames > self._frames:
                            file.truncate(self._frames)
        if not self._frames:
            for path in (*self._paths, self._trace):
                with contextlib.suppress(OSError):
                    path.unlink()


def _claim_names(folder):
    """The stem and the paths of the next take; the first file is made, so that no other has it."""
    stamp = time.strftime("gate-%Y%m%d-%H%M%S")
    for n in itertools.count(1):
        stem = f"{stamp}-{n}" if n > 1 else stamp
        paths = [folder / f"{stem}-{part}" for part in ("dry.wav", "gated.wav", "trace.csv")]
        rules = OutputRules()
        try:
            for path in paths:
                rules.check(path, "recording")
            paths[0].touch(exist_ok=False)
        except (AudioFileError, FileExistsError):
            continue
        return stem, paths
