"""Import before numpy: one thread for its matrix products, unless the user asks for more.

The commands' products are small. Shared among threads they take as long on an idle machine, and
several times as long on a busy one, where each thread waits for one that is not running.
A program that imports `realtime` keeps its own choice: only the commands import this.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
