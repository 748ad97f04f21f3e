"""Gates of two command-line programs: ffmpeg's `agate` and sox's `compand`."""

import shutil
import subprocess
from dataclasses import dataclass

import numpy as np

from benchmarks.peers.base import Answer, System, gain_between

_FLOOR = 1e-3


@dataclass
class CommandGate(System):
    """Pipes raw floats through a program; the gain is read off its output.

    Attributes
    ----------
    command : tuple of str
        ``{rate}`` stands for the sample rate.
    """

    command: tuple = ()

    @property
    def timed(self):
        """What `cost_s` times."""
        return "whole gate, one process, its start included"

    def run(self, hearing):
        """Run the program once over the recording."""
        command = [part.replace("{rate}", str(hearing.sample_rate)) for part in self.command]
        data = hearing.audio.astype("<f4").tobytes()
        done = subprocess.run(command, input=data, capture_output=True, check=True)
        after = np.frombuffer(done.stdout, "<f4")[: len(hearing.audio)]
        after = np.pad(after, (0, len(hearing.audio) - len(after)))
        return Answer(gain_between(hearing.audio, after, _FLOOR))


def _version(program, flag):
    done = subprocess.run([program, flag], capture_output=True, text=True, check=False)
    words = (done.stdout or done.stderr).split()
    return next((word.lstrip("v") for word in words if word.lstrip("v")[:1].isdigit()), "")


def _systems(name, settings, version_flag, *command):
    if shutil.which(command[0]) is None:
        raise ImportError(command[0])
    version = _version(command[0], version_flag)
    return [CommandGate(name, settings, command=command, version=version)]


def ffmpeg_systems():
    """`agate` with its own times, threshold of the other level gates, range -60 dB."""
    raw = ("-f", "f32le", "-ar", "{rate}", "-ac", "1")
    return _systems(
        "ffmpeg agate", "-40 dB, range -60 dB, ratio 10, 20/250 ms (its defaults)", "-version",
        "ffmpeg", "-v", "error", "-threads", "1", *raw, "-i", "-",
        "-af", "agate=threshold=0.01:range=0.001:ratio=10:attack=20:release=250", *raw, "-",
    )  # fmt: skip


def sox_systems():
    """`compand` set up as an expander below -40 dB."""
    raw = ("-t", "f32", "-r", "{rate}", "-c", "1")
    return _systems(
        "sox compand", "-40 dB down to -100 at -46, 2/200 ms", "--version",
        "sox", *raw, "-", *raw, "-",
        "compand", "0.002,0.2", "-inf,-100,-46,-100,-40,-40", "0", "-90",
    )  # fmt: skip
