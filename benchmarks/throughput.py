"""Whole files through `gate-batch`: time and memory against length, rate, channels and jobs."""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.signals import talk
from gate.errors import GateError

QUICK_LENGTHS_S = (10, 60, 600)
LENGTHS_S = (10, 60, 600, 3600, 7200)
_PIECE_S = 60


@dataclass(frozen=True)
class FileRun:
    """One run of `gate-batch`.

    Attributes
    ----------
    seconds : float
        Of sound in each file.
    sample_rate, channels, files, jobs : int
    wall_s, cpu_s : float
        Time from start to exit, start of Python and loading of the detector included, and
        processor time.
    peak_mb : float
        Largest resident memory of any one of its processes.
    """

    seconds: float
    sample_rate: int
    channels: int
    files: int
    jobs: int
    wall_s: float
    cpu_s: float
    peak_mb: float

    @property
    def speed(self):
        """Seconds of sound a second."""
        return self.seconds * self.files / self.wall_s


def write_talk(path, seconds, sample_rate, channels):
    """A 16-bit WAV of the sample talk, repeated."""
    import soundfile

    piece = talk(sample_rate, min(seconds, _PIECE_S), channels)
    left = round(seconds * sample_rate)
    with soundfile.SoundFile(path, "w", sample_rate, channels, "PCM_16") as file:
        while left > 0:
            file.write(piece[: min(left, len(piece))])
            left -= len(piece)


def run_files(seconds, sample_rate=48000, channels=1, files=1, jobs=1, options=(), folder=None):
    """Time `gate-batch` on files made for it.

    Parameters
    ----------
    seconds, sample_rate, channels : number
        Of each file.
    files, jobs : int
    options : sequence of str
        Further options of `gate-batch`.
    folder : path-like, optional
        Where to put the files; 16-bit, so two hours of mono at 48 kHz take 700 MB twice.

    Returns
    -------
    FileRun
    """
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        scratch = Path(scratch)
        paths = [scratch / f"in{k}.wav" for k in range(files)]
        write_talk(paths[0], seconds, sample_rate, channels)
        for path in paths[1:]:
            os.link(paths[0], path)
        command = [
            sys.executable, "-m", "realtime.batch_cli", *map(str, paths), "-o",
            str(scratch / "out"), "--jobs", str(jobs), "--quiet", *options,
        ]  # fmt: skip
        root = Path(__file__).resolve().parent.parent
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = f"{root}{os.pathsep}{environment.get('PYTHONPATH', '')}"
        log = scratch / "log"
        with log.open("w") as sink:
            begin = time.perf_counter()
            process = subprocess.Popen(command, stdout=sink, stderr=sink, env=environment)
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            reason = log.read_text().strip().splitlines()[-1:] or ["no message"]
            raise GateError(f"gate-batch ended with {process.returncode}: {reason[0]}")
    return FileRun(
        seconds, sample_rate, channels, files, jobs, wall,
        usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024,
    )  # fmt: skip


def growth_exponent(runs):
    """Exponent b of wall time = a * length ** b between the two longest runs; 1 is linear.

    The start-up time, taken from the shortest run, is subtracted first.
    """
    runs = sorted(runs, key=lambda run: run.seconds)
    if len(runs) < 3:
        return float("nan")
    short, one, two = runs[0], runs[-2], runs[-1]
    per_second = (two.wall_s - short.wall_s) / (two.seconds - short.seconds)
    start = max(0.0, short.wall_s - per_second * short.seconds)
    ratio = (two.wall_s - start) / (one.wall_s - start)
    return float(np.log(ratio) / np.log(two.seconds / one.seconds))
