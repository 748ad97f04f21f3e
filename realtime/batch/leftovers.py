"""Partial files that killed processes left beside the outputs."""

import os
from pathlib import Path

from realtime.outputs import partial_owner


def remove_leftovers(jobs, more=()):
    """Remove the partial files of these jobs' outputs; nobody may be writing them.

    Parameters
    ----------
    jobs : sequence of realtime.batch.gate_file.BatchJob
    more : sequence of Path
        Further outputs.

    Returns
    -------
    int
        How many there were.
    """
    names = {}
    for path in [*(path for job in jobs for path in job.outputs), *more]:
        path = Path(os.path.realpath(path))
        names.setdefault(path.parent, set()).add(path.name)
    removed = 0
    for folder, wanted in names.items():
        if not folder.is_dir():
            continue
        for name in os.listdir(folder):
            if name.endswith(".partial") and partial_owner(name, wanted) is not None:
                (folder / name).unlink(missing_ok=True)
                removed += 1
    return removed
