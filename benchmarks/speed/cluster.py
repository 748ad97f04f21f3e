"""`gate-batch` on a Dask cluster on loopback: the same files with one worker and with two."""

import hashlib
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.speed.throughput import write_talk
from gate.errors import ConfigError
from realtime.batch.cluster import run_dask
from realtime.batch.gate_file import BatchJob

WORKERS = (1, 2)
_WARM_UP_S = 5.0


@dataclass(frozen=True)
class ClusterRun:
    """One run.

    Attributes
    ----------
    workers, files, done : int
    seconds : float
        Of sound in each file.
    wall_s : float
        From connecting to the last file.
    digest : str
        SHA-256 of all outputs.
    """

    workers: int
    files: int
    done: int
    seconds: float
    wall_s: float
    digest: str

    @property
    def speed(self):
        """Seconds of sound a second."""
        return self.done * self.seconds / self.wall_s


def run_cluster(config, files, seconds, folder=None):
    """Gate the same files with each number of workers.

    Parameters
    ----------
    config : realtime.config.Config
    files : int
    seconds : float
        Of sound in each.
    folder : path-like, optional
        Where to put them.

    Returns
    -------
    list of ClusterRun
        One for each of `WORKERS`.

    Raises
    ------
    ConfigError
        If Dask is not installed.
    """
    try:
        from distributed import LocalCluster
    except ImportError:
        raise ConfigError(
            "cluster needs the extra [cluster]: pip install 'exemplar-gate[cluster]'"
        ) from None
    runs = []
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        scratch = Path(scratch)
        first, short = scratch / "0.wav", scratch / "short.wav"
        write_talk(first, seconds, 48000, 1)
        write_talk(short, _WARM_UP_S, 48000, 1)
        for k in range(1, files):
            os.link(first, scratch / f"{k}.wav")
        for workers in WORKERS:
            out = scratch / str(workers)
            warm_up = [BatchJob(short, out / f"warm-up-{k}.wav") for k in range(2 * workers)]
            jobs = [BatchJob(scratch / f"{k}.wav", out / f"{k}.wav") for k in range(files)]
            with LocalCluster(
                n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0"
            ) as cluster:
                _gate(warm_up, config, cluster.scheduler_address)
                began = time.perf_counter()
                done = _gate(jobs, config, cluster.scheduler_address)
                wall_s = time.perf_counter() - began
            digest = hashlib.sha256()
            for job in done:
                digest.update(job.output.read_bytes())
                job.output.unlink()
            runs.append(ClusterRun(workers, files, len(done), seconds, wall_s, digest.hexdigest()))
    return runs


def _gate(jobs, config, address):
    """The jobs that were done, in order."""
    outcomes = dict(run_dask(jobs, config, False, address, lambda job: job))
    return [job for job in jobs if isinstance(outcomes[job], dict)]
