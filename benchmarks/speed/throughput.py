"""Whole files through `gate-batch`: time and memory against length, rate, channels and jobs."""

import json
import os
import subprocess
import sys
import tempfile
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
    how : str
        Of the gate, where it was not as shipped.
    """

    seconds: float
    sample_rate: int
    channels: int
    files: int
    jobs: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    how: str = ""

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


WAYS = {
    "": (),
    "as a stream": ("--lookahead-ms", "0"),
    "as a stream, native": ("--engine", "native", "--lookahead-ms", "0"),
}
"""How a file may be gated: name to the options of `gate-batch`."""


def run_files(
    seconds, sample_rate=48000, channels=1, files=1, jobs=1, options=(), folder=None, how=""
):
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
    how : str
        Of `WAYS`.

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
            sys.executable, "-m", "realtime.batch.cli", *map(str, paths), "-o",
            str(scratch / "out"), "--jobs", str(jobs), "--quiet", *options, *WAYS[how],
        ]  # fmt: skip
        root = Path(__file__).resolve().parents[2]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = f"{root}{os.pathsep}{environment.get('PYTHONPATH', '')}"
        # As where it is installed, its modules are compiled before: by a run that is not timed.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPYCACHEPREFIX"] = str(scratch / "compiled")
        log, measured = scratch / "log", scratch / "measured.json"
        write_talk(scratch / "first.wav", 1, sample_rate, channels)
        first = [sys.executable, "-m", "realtime.batch.cli", str(scratch / "first.wav"),
                 "-o", str(scratch / "out"), "--quiet", *options, *WAYS[how]]  # fmt: skip
        program = Path(__file__).with_name("measured.py")
        stopwatch = [sys.executable, "-S", str(program), str(measured)]
        with log.open("w") as sink:
            for run in (first, [*stopwatch, *command]):
                subprocess.run(run, stdout=sink, stderr=sink, env=environment, check=True)
        found = json.loads(measured.read_text(encoding="utf-8"))
        if found.pop("code"):
            reason = log.read_text().strip().splitlines()[-1:] or ["no message"]
            raise GateError(f"gate-batch failed: {reason[0]}")
    return FileRun(seconds, sample_rate, channels, files, jobs, **found, how=how)


def growth_exponent(runs):
    """Exponent b of processor time = start-up + a * length ** b; 1 is linear.

    Start-up and slope are those of the shortest and the longest run; the exponent is taken
    between the two longest.
    """
    runs = sorted(runs, key=lambda run: run.seconds)
    if len(runs) < 3:
        return float("nan")
    short, one, two = runs[0], runs[-2], runs[-1]
    per_second = (two.cpu_s - short.cpu_s) / (two.seconds - short.seconds)
    start = max(0.0, short.cpu_s - per_second * short.seconds)
    if one.cpu_s <= start or two.cpu_s <= start:
        return float("nan")
    ratio = (two.cpu_s - start) / (one.cpu_s - start)
    return float(np.log(ratio) / np.log(two.seconds / one.seconds))
