"""Instructions executed on a fixed input: a regression check that a noisy machine cannot blur.

Counted by ``perf stat`` where the machine lets it, else by valgrind: its cachegrind without the
cache, which counts what callgrind counts in less time. The count of a run of 0 s is taken off,
so that start-up does not hide the path itself. Two tools, or two processors whose libraries
choose other kernels, do not compare: the baseline names both.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

from benchmarks.machine import _cpu_name
from gate.errors import ConfigError, GateError

BASELINE = "instructions.json"
SECONDS = 10
TOLERANCE = 0.02
CASES = {
    "stream 48 kHz": ("stream", 48000),
    "stream 192 kHz": ("stream", 192000),
    "whole file 48 kHz": ("whole", 48000),
}
"""Name -> (path, sample rate)."""


def baseline_path():
    """The committed baseline."""
    return Path(str(files("benchmarks") / BASELINE))


def tools():
    """Counters that work here, the best first."""
    found = []
    if shutil.which("perf"):
        done = subprocess.run(
            ["perf", "stat", "-x,", "-e", "instructions:u", "true"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if re.search(r"^\d+", done.stderr):
            found.append("perf")
    if shutil.which("valgrind"):
        found.append("valgrind")
    return found


def _run(command):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    root = Path(__file__).resolve().parent.parent
    environment["PYTHONPATH"] = f"{root}{os.pathsep}{environment.get('PYTHONPATH', '')}"
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise GateError(f"{command[0]} failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return done.stderr


def _count_once(tool, path, sample_rate, seconds, model):
    work = [
        sys.executable, "-m", "benchmarks.instruction_case", path, str(sample_rate), str(seconds),
        str(model),
    ]  # fmt: skip
    if tool == "perf":
        text = _run(["perf", "stat", "-x,", "-e", "instructions:u", *work])
        return int(re.search(r"^(\d+),", text, re.M).group(1))
    options = ["--tool=cachegrind", "--cache-sim=no", f"--cachegrind-out-file={os.devnull}"]
    text = _run(["valgrind", *options, *work])
    return int(re.search(r"I +refs: +([\d,]+)", text).group(1).replace(",", ""))


def count(tool, name, model, seconds=SECONDS):
    """Instructions a second of sound of one case."""
    path, rate = CASES[name]
    whole = _count_once(tool, path, rate, seconds, model)
    start = _count_once(tool, path, rate, 0, model)
    return (whole - start) / seconds


def measure_all(tool, model, progress=None):
    """Counts of all cases, ready for the baseline file."""
    counts = {}
    for name in CASES:
        if progress is not None:
            progress(name)
        counts[name] = round(count(tool, name, model))
    return {"tool": tool, "machine": _cpu_name(), "seconds": SECONDS, "counts": counts}


def read_baseline(path=None):
    """The baseline file as a dict."""
    path = Path(path) if path else baseline_path()
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: no readable baseline ({error})") from None


def worse(now, baseline, tolerance=TOLERANCE):
    """Cases that execute more instructions than the baseline allows.

    Raises
    ------
    ConfigError
        If the two cannot be compared.
    """
    if now["tool"] != baseline["tool"]:
        raise ConfigError(
            f"tool={now['tool']} must be the baseline's, {baseline['tool']}, to compare"
        )
    return [
        name
        for name, value in now["counts"].items()
        if name in baseline["counts"] and value > (1 + tolerance) * baseline["counts"][name]
    ]
