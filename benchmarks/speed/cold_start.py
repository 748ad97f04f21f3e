"""`gate-bench cold-start`: from a cold process to the gate's first decisions."""

import statistics
import subprocess
import sys
import time

from benchmarks import tables
from benchmarks.machine import describe
from benchmarks.part import Part

ROUNDS = 9
_PROGRAM = """
import numpy as np
from realtime import open_gate
gate = open_gate(sample_rate=48000)
for _ in range(8):
    gate.process(np.zeros((100, 1), np.float32))
assert gate.counters.hops
"""


def cold_starts(rounds=ROUNDS):
    """Seconds from starting Python to its end after eight blocks, one figure a round."""
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", _PROGRAM], check=True)
        seconds.append(time.perf_counter() - started)
    return seconds


def cold_start(args, config, command, say):
    """Import, open and decide, in processes of their own."""
    say("cold start")
    seconds = cold_starts(3 if args.quick else ROUNDS)
    row = [len(seconds), f"{statistics.median(seconds):.2f}", f"{max(seconds):.2f}"]
    body = tables.table(["processes", "median s", "longest s"], [row])
    body += "\n\nFrom starting Python to its end after the first decisions, shipped detector.\n"
    data = {"meta": describe(command), "seconds": seconds}
    return Part("cold-start", "Cold start", body, data)
