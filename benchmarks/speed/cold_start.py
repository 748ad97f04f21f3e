"""From a cold process to the gate's first decisions: `python -m benchmarks.speed.cold_start`."""

import statistics
import subprocess
import sys
import time

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


if __name__ == "__main__":
    found = cold_starts()
    print(
        f"import, open, first decisions: median {statistics.median(found):.2f} s, "
        f"longest {max(found):.2f} s of {ROUNDS} processes"
    )
