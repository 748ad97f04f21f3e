"""Runs a command and writes its time and memory as JSON: ``python -S measured.py OUT COMMAND...``.

Its own small process: Linux carries the peak memory of the process that starts another over to
it, so a large parent would show in the figure.
"""

import json
import os
import sys
import time


def main(out, command):
    """Run, wait, write."""
    begin = time.perf_counter()
    pid = os.spawnvp(os.P_NOWAIT, command[0], command)
    _, status, usage = os.wait4(pid, 0)
    measured = {
        "code": os.waitstatus_to_exitcode(status),
        "wall_s": time.perf_counter() - begin,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
    }
    with open(out, "w", encoding="utf-8") as file:
        json.dump(measured, file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
