"""Many files at once, on this machine or on a cluster; joblib does the distributing.

A file is shipped by its path, so all workers must see the same file system.
"""

import re
import time
from dataclasses import replace
from pathlib import Path

from gate.errors import AudioFileError, ConfigError, GateError
from realtime.batch.gate_file import check_outputs, gate_file

_CONNECT_SECONDS = 10


def gate_one(job, config, detailed=False, progress=None):
    """Gate one file; returns its report, or the line that says what is wrong."""
    started = time.perf_counter()
    try:
        report = gate_file(job, config, progress, detailed)
    except GateError as error:
        return str(error)
    except OSError as error:
        return f"{error.filename or job.source}: {error.strerror or error}"
    elapsed = time.perf_counter() - started
    return {
        "file": str(job.source),
        "output": str(job.output),
        "times_real_time": round(report["seconds"] / elapsed, 1),
        **report,
    }


def check_backend(backend, scheduler):
    """Refuse combinations that cannot work, and a backend that is not installed.

    Raises
    ------
    ConfigError
    """
    if backend != "dask":
        if scheduler:
            raise ConfigError(f"scheduler={scheduler} needs --backend dask")
        return
    if not scheduler:
        raise ConfigError("backend=dask needs --scheduler tcp://HOST:PORT")
    if not re.fullmatch(r"(tcp|tls)://[^/\s]+:\d{1,5}", scheduler):
        raise ConfigError(f"scheduler={scheduler} must be tcp://HOST:PORT")
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise ConfigError(
            "backend=dask needs the extra [cluster]: pip install 'exemplar-gate[cluster]'"
        ) from None


def run_pool(jobs, config, detailed, n_jobs):
    """Gate files in processes of this machine; yields (job, outcome) as they finish.

    When a process dies, the pool is lost with it. Files that were under way are then gated
    again one by one, so that one which kills its process costs itself only; the rest go on in
    a new pool.
    """
    from joblib.externals.loky.process_executor import BrokenProcessPool

    left = list(jobs)
    while left:
        started, done = [], set()
        try:
            for job, outcome in _parallel("loky", n_jobs, left, config, detailed, started):
                done.add(job)
                yield job, outcome
            return
        except BrokenProcessPool:
            left = [job for job in left if job not in done]
        under_way = [job for job in started if job not in done]
        for job in under_way:
            left.remove(job)
            try:
                yield from _parallel("loky", 2, [job], config, detailed, [])
            except BrokenProcessPool:
                yield job, f"{job.source}: the process that gated it died, twice"


def run_dask(jobs, config, detailed, scheduler):
    """Gate files on a Dask cluster; yields (job, outcome) as they finish.

    Dask itself runs a dead worker's files again.

    Raises
    ------
    ConfigError, GateError
        If the scheduler's address is none, or nothing answers there.
    """
    import logging

    from distributed import Client

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        client = Client(scheduler, timeout=_CONNECT_SECONDS, set_as_default=False)
    except ValueError as error:
        raise ConfigError(f"scheduler={scheduler} must be tcp://HOST:PORT ({error})") from None
    except OSError:
        raise GateError(f"scheduler={scheduler}: nothing answers there") from None
    here = {}
    for job in jobs:
        here[_absolute(job)] = job
    model, profile = config.engine.model, config.engine.profile
    if Path(model).suffix == ".onnx" or Path(model).parent != Path("."):
        model = str(Path(model).absolute())
    profile = profile and str(Path(profile).absolute())
    config = replace(config, engine=replace(config.engine, model=model, profile=profile))
    with client:
        try:
            for job, outcome in _parallel("dask", -1, list(here), config, detailed, [], client):
                original = here[job]
                if isinstance(outcome, dict):
                    names = {"file": str(original.source), "output": str(original.output)}
                    outcome = {**outcome, **names}
                yield original, outcome
        except TimeoutError:
            raise GateError(f"scheduler={scheduler}: has no workers") from None


def _absolute(job):
    """The job as another machine, or another working folder, can find it."""
    paths = {name: getattr(job, name) for name in ("source", "output", "labels", "key")}
    return replace(job, **{name: path and path.absolute() for name, path in paths.items()})


def _parallel(backend, n_jobs, jobs, config, detailed, started, client=None):
    """(job, outcome) as files finish, one file a task."""
    from joblib import Parallel, delayed, parallel_config

    refused = []

    def tasks():
        # Outputs are checked here and not in the worker: one that is there when a dead
        # worker's file is gated again is ours.
        for job in jobs:
            try:
                check_outputs(job)
            except AudioFileError as error:
                refused.append((job, str(error)))
                continue
            started.append(job)
            yield delayed(_task)(replace(job, overwrite=True), job, config, detailed)

    options = {"client": client} if client is not None else {}
    with parallel_config(backend, **options):
        parallel = Parallel(
            n_jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs"
        )
        finished = parallel(tasks())
    for pair in finished:
        while refused:
            yield refused.pop()
        yield pair
    yield from refused


def _task(job, asked, config, detailed):
    return asked, gate_one(job, config, detailed)
