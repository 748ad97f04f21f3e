"""Many files at once on this machine; joblib does the distributing."""

import os
import signal
import threading
import time

from gate.errors import AudioFileError, GateError
from realtime.batch.gate_file import gate_file
from realtime.batch.leftovers import remove_leftovers
from realtime.outputs import why

ATTEMPTS = 2
"""Processes that a file may kill before it counts as failed."""

_LOOK_S = 0.1


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
        return f"{error.filename or job.source}: {why(error)}"
    except Exception as error:  # one file's trouble must not stop the rest
        return f"{job.source}: unexpected {type(error).__name__}: {error}"
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

    left, admitted, done = list(jobs), {}, set()
    try:
        while left:
            try:
                for job, outcome in _parallel(
                    _admit_all(left, admit, admitted), config, detailed, n_jobs
                ):
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
                done.add(job)
    except BaseException:
        _end_workers()
        remove_leftovers([job for job in admitted if job not in done])
        raise


def _end_workers():
    """Kill the pool: nobody waits for what it is doing."""
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True, kill_workers=True)


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
        pre_dispatch="2*n_jobs", initializer=_live_as_long_as, initargs=(os.getpid(),),
    )  # fmt: skip
    folder = os.getcwd()
    yield from parallel(delayed(_task)(job, what, config, detailed, folder) for job, what in pairs)


def _task(job, what, config, detailed, folder):
    os.chdir(folder)  # a process of an earlier pool may stand elsewhere
    return job, what if isinstance(what, str) else gate_one(what, config, detailed)


def _live_as_long_as(owner):
    """End this process soon after its owner, who alone answers to signals from the terminal.

    Before the first task, not with it: an owner that is killed while it starts its processes
    holds a lock of the pool, and one without a task would wait for that lock for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(owner,), name="owner watch", daemon=True).start()


def _watch(owner):
    while os.getppid() == owner:
        time.sleep(_LOOK_S)
    os._exit(1)
