"""`gate-bench kills`: ends `gate-batch --jobs 2` at random moments and takes the work up again.

Each run is ended by TERM, INT or KILL, alternately, at a moment drawn from its whole duration;
one that ends before that moment does not count. Then ``--resume`` ends the work. All outputs must
be those of a run that nobody disturbed, and nothing else may be left: no partial files, no
processes.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from benchmarks import tables
from benchmarks.machine import describe
from benchmarks.part import Part

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)
_RATE = 16000


def make_inputs(folder, n_files=6, seconds=20.0, seed=0):
    """Write recordings of noise that comes and goes, of several formats."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for index in range(n_files):
        n = int(seconds * _RATE)
        sound = 0.2 * rng.standard_normal(n) * (np.arange(n) // 8000 % 2)
        suffix = ("wav", "flac", "ogg")[index % 3]
        soundfile.write(folder / f"{index}.{suffix}", sound, _RATE)


def command(inputs, out, *more):
    """The command line of a run."""
    return [
        sys.executable, "-m", "realtime.batch.cli", str(inputs), "-o", str(out), "--model", "none",
        "--threshold-db", "-40", "--jobs", "2", "--trace", "--quiet", *more,
    ]  # fmt: skip


def contents(folder):
    """Every file of a folder but the journal, by name."""
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {name: _held(p) for name, p in found.items() if name != ".gate-batch.jsonl"}


def _held(path):
    if path.suffix == ".ogg":  # the same sound has another serial number every time
        return soundfile.read(path, dtype="float32")[0].tobytes()
    return path.read_bytes()


def descendants(mark):
    """Command lines of living processes whose environment holds `mark` (Linux)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark.encode() in (entry / "environ").read_bytes():
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
    return found


def one_kill(inputs, out, number, after_s, mark):
    """Start a run and end it; returns its exit code, what it said and what is left of it.

    The exit code is None where it ended by itself before.
    """
    environment = os.environ | {"KILLER_MARK": mark}
    process = subprocess.Popen(
        command(inputs, out, "--resume"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=environment, start_new_session=True,
    )  # fmt: skip
    try:
        said = process.communicate(timeout=after_s)[0].decode(errors="replace")
        assert process.returncode == 0, f"it failed undisturbed: {said}"
        return None, said, []
    except subprocess.TimeoutExpired:
        pass
    if number == signal.SIGINT:  # Ctrl-C reaches everyone
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass
    else:
        process.send_signal(number)
    said = process.communicate(timeout=60)[0].decode(errors="replace")
    until = time.monotonic() + 10.0
    while (left := descendants(mark)) and time.monotonic() < until:
        time.sleep(0.1)
    return process.returncode, said, left


def killer_loop(folder, runs, seed=0, n_files=6, seconds=20.0, say=print):
    """Kill and resume; raises `AssertionError` at the first fault.

    Parameters
    ----------
    folder : Path
        Where to work; must not exist.
    runs, seed, n_files : int
    seconds : float
        Of each input.
    say : callable

    Returns
    -------
    dict
        How many runs ended how.
    """
    rng = random.Random(seed)
    inputs, whole = folder / "in", folder / "whole"
    make_inputs(inputs, n_files, seconds)
    started = time.monotonic()
    subprocess.run(command(inputs, whole), check=True)
    duration = time.monotonic() - started
    expected = contents(whole)
    assert len(expected) == 2 * n_files
    ends, run, out = {}, 0, folder / "out"
    while run < runs:
        number = SIGNALS[run % 3]
        mark = f"{folder}-{run}"
        started, after_s = time.monotonic(), rng.uniform(0.0, duration)
        code, said, left = one_kill(inputs, out, number, after_s, mark)
        if code is None:  # the machine has become faster
            duration = time.monotonic() - started
            shutil.rmtree(out)
            continue
        assert not left, f"run {run}: {number.name} left processes: {left}"
        # Before our first line runs, Ctrl-C is Python's own matter.
        assert "Traceback" not in said or "/realtime/" not in said, f"run {run}: {said}"
        if out.exists():
            held = contents(out)
            if number != signal.SIGKILL:
                assert set(held) <= set(expected), f"run {run}: left {set(held) - set(expected)}"
            for name in set(held) & set(expected):
                assert held[name] == expected[name], f"run {run}: {name} is not whole"
        started = time.monotonic()
        done = subprocess.run(command(inputs, out, "--resume"), capture_output=True, text=True)
        duration = max(duration, time.monotonic() - started)
        assert done.returncode == 0, f"run {run}: --resume: {done.stderr}"
        assert contents(out) == expected, f"run {run}: after --resume: {sorted(contents(out))}"
        shutil.rmtree(out)
        key = f"{number.name}, exit code {code}"
        ends[key] = ends.get(key, 0) + 1
        run += 1
        say(f"{run} of {runs}: {key}")
    return ends


def kills(args, config, command, say):
    """Kill and resume, many times."""
    # Of a shell's background jobs it is ignored, and so it would be in what is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    failures, ends = [], {}
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        try:
            runs = 6 if args.quick else args.runs
            ends = killer_loop(Path(folder) / "work", runs, args.seed, say=say)
        except AssertionError as fault:
            failures = [str(fault)]
    body = tables.table(["ended by", "runs"], sorted(ends.items()))
    body += "\n\nAfter --resume all outputs were whole, and nothing was left over.\n" * bool(ends)
    return Part("kills", "Killed and resumed", body, {"meta": describe(command), "ends": ends},
                failures=failures)  # fmt: skip
