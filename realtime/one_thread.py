"""Import before numpy: one thread for its matrix products, unless the user asks for more.

The commands' products are small. Shared among threads they take as long on an idle machine, and
several times as long on a busy one, where each thread waits for one that is not running.
A program that imports `realtime` keeps its own choice: only the commands import this.

Ctrl-C while a command is still loading ends it at once and without a traceback; from then on
`realtime.interrupt` takes it.
"""

import os
import signal
import sys

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

_program = os.path.basename(sys.argv[0] if sys.argv else "")
if _program.startswith("gate-") or _program == "cli.py":
    try:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
    except ValueError:  # not the main thread: not a command's start
        pass
