"""Partial files that killed processes left beside the outputs."""

import os
import re

_PARTIAL = re.compile(r"\.(.+)\.\d+-[0-9a-f]{8}\.partial")
"""What `realtime.files.partial_name` makes."""


def remove_leftovers(jobs):
    """Remove the partial files of these jobs' outputs; nobody may be writing them.

    Parameters
    ----------
    jobs : sequence of realtime.batch.gate_file.BatchJob

    Returns
    -------
    int
        How many there were.
    """
    names = {}
    for job in jobs:
        for path in job.outputs:
            names.setdefault(path.parent, set()).add(path.name)
    removed = 0
    for folder, wanted in names.items():
        if not folder.is_dir():
            continue
        for name in os.listdir(folder):
            partial = _PARTIAL.fullmatch(name)
            if partial and partial[1] in wanted:
                (folder / name).unlink(missing_ok=True)
                removed += 1
    return removed
