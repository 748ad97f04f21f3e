"""Makes what tests share importable, such as `fakes`, and divides the suite among the cores."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch beside torch: a thread for each process


def pytest_xdist_auto_num_workers(config):
    """The whole suite takes a process a core; files that are named are quicker in this one."""
    return None if config.args_source is config.ArgsSource.TESTPATHS else 0
