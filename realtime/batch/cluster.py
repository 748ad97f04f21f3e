"""Many files at once on a Dask cluster.

Files go by path, so all workers must see the same file system.
"""

import asyncio
import concurrent.futures
import logging
import queue
import re
import time
from collections import Counter, deque
from dataclasses import replace
from pathlib import Path

from gate.errors import AudioFileError, ConfigError, GateError
from realtime.batch.leftovers import remove_leftovers
from realtime.batch.pool import ATTEMPTS, gate_one

_CONNECT_S = 10.0
_ALL_GONE_S = 60.0
_LOOK_S = 0.5
_FETCH_S = 5.0
_TIMEOUTS = (TimeoutError, asyncio.TimeoutError)  # one and the same from Python 3.11 on
_LOST = (OSError, asyncio.CancelledError, concurrent.futures.CancelledError)


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


def run_dask(jobs, config, detailed, scheduler, admit):
    """Gate files on a Dask cluster; yields (job, outcome) as they finish.

    A worker that dies costs the files it had in hand one attempt each. They are gated again,
    each on a worker that has nothing else to do, so that a file which kills its workers costs
    itself only.

    Parameters
    ----------
    jobs : sequence of BatchJob
    config : realtime.config.Config
    detailed : bool
        See `gate_file`.
    scheduler : str
        Address.
    admit : callable
        See `realtime.batch.pool.run_pool`.

    Raises
    ------
    ConfigError, GateError
        If the scheduler's address is none, nothing answers there, or no worker is left.
    """
    from distributed import Client

    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = Client(scheduler, timeout=_CONNECT_S, set_as_default=False)
    except ValueError as error:
        raise ConfigError(f"scheduler={scheduler} must be tcp://HOST:PORT ({error})") from None
    except OSError:
        raise GateError(f"scheduler={scheduler}: nothing answers there") from None
    with client:
        dispatcher = _Dispatcher(client, _anywhere(config), detailed, admit)
        try:
            yield from dispatcher.run(jobs)
        except _LOST:
            raise GateError(f"scheduler={scheduler}: the connection was lost") from None
        except _NoWorkerError as error:
            raise GateError(f"scheduler={scheduler}: has no workers ({error})") from None


class _NoWorkerError(Exception):
    """There is none left, or none came."""


class _Dispatcher:
    """Sends each file to a worker that has a thread free for it.

    Left to itself, Dask runs a dead worker's tasks again, but counts the death against all that
    waited there, and goes on until four workers are dead. Here it is known which files a worker
    had in hand when it died.
    """

    def __init__(self, client, config, detailed, admit):
        self._client, self._config = client, config
        self._detailed, self._admit = detailed, admit
        self._running = {}  # task key -> (future, job, worker)
        self._busy = Counter()  # files in hand, by worker
        self._deaths = Counter()  # of workers, by the job in hand
        self._suspects = deque()
        self._finished = queue.SimpleQueue()  # keys; filled by the client's threads
        self._threads, self._looked = {}, float("-inf")
        self._admitted = {}

    def run(self, jobs):
        """Yield (job, outcome) as they finish."""
        fresh = deque(jobs)
        self._wait_for_a_worker(_CONNECT_S)
        while fresh or self._suspects or self._running:
            if time.monotonic() - self._looked > _LOOK_S:
                yield from self._look_for_deaths()
            yield from self._hand_out(fresh)
            if self._running:
                yield from self._collect()
            elif fresh or self._suspects:
                self._wait_for_a_worker(_ALL_GONE_S)

    def _look(self):
        self._threads, self._looked = self._client.nthreads(), time.monotonic()

    def _wait_for_a_worker(self, seconds):
        until = time.monotonic() + seconds
        self._look()
        while not self._threads:
            if time.monotonic() > until:
                raise _NoWorkerError(f"none came in {seconds:g} s")
            time.sleep(0.1)
            self._look()

    def _look_for_deaths(self):
        self._look()
        for key, (future, _, worker) in list(self._running.items()):
            if worker not in self._threads:
                future.cancel()
                yield from self._died(key)

    def _died(self, key):
        job = self._take_back(key)
        self._deaths[job] += 1
        if self._deaths[job] < ATTEMPTS:
            self._suspects.append(job)
        else:
            yield job, self._settled(job, f"{job.source}: the worker that gated it died, twice")

    def _take_back(self, key):
        _, job, worker = self._running.pop(key)
        self._busy[worker] -= 1
        return job

    def _hand_out(self, fresh):
        for worker, threads in self._threads.items():
            while fresh and self._busy[worker] < threads:
                job = fresh.popleft()
                try:
                    self._admitted[job] = _absolute(self._admit(job))
                except AudioFileError as error:
                    yield job, str(error)
                    continue
                self._send(job, worker)
            # Suspects come last: what kills workers is not let loose while there is other work.
            if self._suspects and not fresh and not self._busy[worker]:
                self._send(self._suspects.popleft(), worker)

    def _send(self, job, worker):
        future = self._client.submit(
            gate_one, self._admitted[job], self._config, self._detailed,
            workers=[worker], allow_other_workers=False, pure=False,
        )  # fmt: skip
        self._running[future.key] = future, job, worker
        self._busy[worker] += 1
        future.add_done_callback(lambda future: self._finished.put(future.key))

    def _collect(self):
        """Files that are finished, if one is soon."""
        from distributed import KilledWorker

        for key in self._finished_keys():
            future, job, worker = self._running[key]
            try:
                outcome = future.result(timeout=_FETCH_S)
            except _TIMEOUTS:
                continue  # the worker died with the result: seen at the next look
            except _LOST:
                raise
            except KilledWorker:  # a worker with the dead one's address was given it again
                yield from self._died(key)
                continue
            except ImportError as error:
                reason = f"worker {worker}: {error}; exemplar-gate must be installed there too"
                raise GateError(reason) from None
            except Exception as error:
                outcome = f"{job.source}: {type(error).__name__}: {error}"
            self._take_back(key)
            yield job, self._settled(job, outcome)

    def _finished_keys(self):
        wait_s = _LOOK_S
        while True:
            try:
                key = self._finished.get(timeout=wait_s)
            except queue.Empty:
                return
            wait_s = 0.0
            if key in self._running:  # else taken back from a worker that died
                yield key

    def _settled(self, job, outcome):
        """The outcome, with the names that the user gave."""
        sent = self._admitted.pop(job)
        if self._deaths.pop(job, 0):
            remove_leftovers([job])
        if isinstance(outcome, dict):
            return {**outcome, "file": str(job.source), "output": str(job.output)}
        for name in ("source", "output"):
            outcome = outcome.replace(str(getattr(sent, name)), str(getattr(job, name)))
        return outcome


def _anywhere(config):
    """The configuration with files as another machine can find them."""
    model, profile = config.engine.model, config.engine.profile
    if Path(model).suffix == ".onnx" or Path(model).parent != Path("."):
        model = str(Path(model).absolute())
    profile = profile and str(Path(profile).absolute())
    return replace(config, engine=replace(config.engine, model=model, profile=profile))


def _absolute(job):
    """The job as another machine, or another working folder, can find it."""
    paths = {name: getattr(job, name) for name in ("source", "output", "labels", "key_input")}
    return replace(job, **{name: path and path.absolute() for name, path in paths.items()})
