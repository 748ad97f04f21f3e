"""Many files at once on this machine; joblib does the distributing."""

import time

from gate.errors import AudioFileError, GateError
from realtime.batch.gate_file import gate_file
from realtime.batch.leftovers import remove_leftovers

ATTEMPTS = 2
"""Processes that a file may kill before it counts as failed."""


def gate_one(job, config, detailed=False, progress=None):
    """Gate one file; returns its report, or the line that says what is wrong."""
    started = time.perf_counter()
    try:
        report = gate_file(job, config, progress, detailed)
    except GateError as error:
        return str(error)
    except MemoryError:
        return f"{job.source}: not enough memory"
    except OSError as error:
        return f"{error.filename or job.source}: {error.strerror or error}"
    elapsed = time.perf_counter() - started
    return {
        "file": str(job.source),
        "output": str(job.output),
        "times_real_time": round(report["seconds"] / elapsed, 1),
        **report,
    }


def run_pool(jobs, config, detailed, n_jobs, admit):
    """Gate files in processes of this machine; yields (job, outcome) as they finish.

    When a process dies, the pool is lost with it. Files that were under way are then gated
    again one by one, so that one which kills its process costs itself only; the rest go on in
    a new pool.

    Parameters
    ----------
    jobs : sequence of BatchJob
    config : realtime.config.Config
    detailed : bool
        See `gate_file`.
    n_jobs : int
        Processes, at least 2.
    admit : callable
        Called with each job once, when its turn comes; returns the job to gate, which may
        overwrite its outputs (what an earlier attempt left is ours), or raises AudioFileError.
    """
    from joblib.externals.loky.process_executor import BrokenProcessPool

    left = list(jobs)
    while left:
        admitted, done = {}, set()
        try:
            for job, outcome in _parallel(_admit_all(left, admit, admitted), config, detailed,
                                          n_jobs):  # fmt: skip
                done.add(job)
                yield job, outcome
            return
        except BrokenProcessPool:
            left = [job for job in left if job not in done]
        for job in [job for job in admitted if job not in done]:
            left.remove(job)
            try:
                yield from _parallel([(job, admitted[job])], config, detailed, 2)
            except BrokenProcessPool:
                yield job, f"{job.source}: the process that gated it died, twice"
            remove_leftovers([job])


def _admit_all(jobs, admit, admitted):
    """(job, job to gate or the line that says why not), as their turn comes."""
    for job in jobs:
        try:
            admitted[job] = admit(job)
        except AudioFileError as error:
            yield job, str(error)
        else:
            yield job, admitted[job]


def _parallel(pairs, config, detailed, n_jobs):
    """(job, outcome) as files finish, one file a task."""
    from joblib import Parallel, delayed

    parallel = Parallel(
        n_jobs, backend="loky", return_as="generator_unordered", batch_size=1,
        pre_dispatch="2*n_jobs",
    )  # fmt: skip
    yield from parallel(delayed(_task)(job, what, config, detailed) for job, what in pairs)


def _task(job, what, config, detailed):
    return job, what if isinstance(what, str) else gate_one(what, config, detailed)
