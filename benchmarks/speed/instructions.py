"""Instructions executed on a fixed input: a regression check that a noisy machine cannot blur.

Counted by ``perf stat`` where the machine lets it, else by valgrind: its cachegrind without the
cache, which counts what callgrind counts in less time. The count of a run of 0 s is taken off,
so that start-up does not hide the path itself. Two tools, or two processors whose libraries
choose other kernels, do not compare: the baseline names both, and the libraries and the detector
that it was taken with. Another detector of the same shape executes the same instructions.
"""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

from benchmarks.machine import describe
from gate.errors import ConfigError, GateError
from realtime.engine import open_detector

BASELINE = "instructions.json"
SECONDS = 10
TOLERANCE = 0.02
CASES = {
    "stream 48 kHz": ("stream", 48000),
    "stream 192 kHz": ("stream", 192000),
    "whole file 48 kHz": ("whole", 48000),
}
"""Name -> (path, sample rate)."""


_BASELINE_FIELDS = ("tool", "machine", "python", "versions", "model", "seconds", "counts")


def baseline_path():
    """The committed baseline."""
    return Path(str(files("benchmarks.speed") / BASELINE))


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
    root = Path(__file__).resolve().parents[2]
    environment["PYTHONPATH"] = f"{root}{os.pathsep}{environment.get('PYTHONPATH', '')}"
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise GateError(f"{command[0]} failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return done.stderr


def _work(path, sample_rate, seconds, model):
    return [
        sys.executable, "-m", "benchmarks.speed.instruction_case",
        path, str(sample_rate), str(seconds), str(model),
    ]  # fmt: skip


def _count_once(tool, path, sample_rate, seconds, model):
    work = _work(path, sample_rate, seconds, model)
    if tool == "perf":
        text = _run(["perf", "stat", "-x,", "-e", "instructions:u", *work])
        return int(re.search(r"^(\d+),", text, re.M).group(1))
    options = ["--tool=cachegrind", "--cache-sim=no", f"--cachegrind-out-file={os.devnull}"]
    text = _run(["valgrind", *options, *work])
    return int(re.search(r"I +refs: +([\d,]+)", text).group(1).replace(",", ""))


def count(tool, name, model, seconds=SECONDS):
    """Instructions a second of sound of one case."""
    path, rate = CASES[name]
    _run(_work(path, rate, 0, model))  # whatever is made once, such as byte code, is made here
    whole = _count_once(tool, path, rate, seconds, model)
    start = _count_once(tool, path, rate, 0, model)
    return (whole - start) / seconds


def measure_all(tool, model, progress=None, baseline=None):
    """Counts of all cases, ready for the baseline file.

    A case above the baseline is counted once more and the smaller count taken: what the code
    itself executes comes again, what another program made of it does not.
    """
    counts = {}
    for name in CASES:
        if progress is not None:
            progress(name)
        counts[name] = round(count(tool, name, model))
        if baseline is not None and worse({"counts": counts}, baseline).get(name):
            counts[name] = min(counts[name], round(count(tool, name, model)))
    meta = describe("")
    return {
        "tool": tool,
        "machine": meta["machine"],
        "python": meta["python"],
        "versions": meta["versions"],
        "model": _model_name(model),
        "seconds": SECONDS,
        "counts": counts,
    }


def _model_name(model):
    """Name and hash of the detector."""
    info = open_detector(None if model == "none" else model).info
    return f"{info.name} {info.sha256[:12]}".strip()


def read_baseline(path=None):
    """The baseline file as a dict."""
    path = Path(path) if path else baseline_path()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: found[name] for name in _BASELINE_FIELDS}
    except KeyError as error:
        raise ConfigError(f"{path}: no baseline of this command ({error} is missing)") from None
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: no readable baseline ({reason})") from None


def pick_tool(asked, baseline):
    """The tool asked for, else the baseline's where it works, else one that does.

    Raises
    ------
    ConfigError
        If there is none, or it does not work here.
    """
    available = tools()
    if not available:
        raise ConfigError("tool=none: install valgrind, or perf with hardware counters")
    if asked and asked not in available:
        raise ConfigError(f"tool={asked} does not work here (available: {', '.join(available)})")
    if baseline and baseline["tool"] in available:
        return asked or baseline["tool"]
    return asked or available[0]


def differences(now, baseline):
    """What else differs from the baseline: lines for the reader; none of them is a fault.

    Raises
    ------
    ConfigError
        If the two cannot be compared.
    """
    if now["tool"] != baseline["tool"]:
        raise ConfigError(
            f"tool={now['tool']} must be the baseline's, {baseline['tool']}, to compare"
        )
    lines = []
    for name in ("model", "machine", "python", "versions"):
        if now[name] != baseline[name]:
            lines.append(f"{name} is {_text(now[name])}; the baseline's: {_text(baseline[name])}")
    return lines


def _text(value):
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value


def worse(now, baseline, tolerance=TOLERANCE):
    """Cases that execute more instructions than the baseline allows: name -> a line."""
    found = {}
    for name, value in now["counts"].items():
        before = baseline["counts"].get(name, math.inf)
        if value > (1 + tolerance) * before:
            found[name] = (
                f"{name}: {100 * (value / before - 1):.1f} % more instructions than the baseline "
                f"(allowed: {100 * tolerance:g} %)"
            )
    return found
