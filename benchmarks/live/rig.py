"""A JACK server, a player and a running `gate-live`: for benchmarks and tests of live sound.

Servers are started here under names of their own and stopped by process id.
"""

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np

from gate.errors import GateError

_numbers = itertools.count()


class Unavailable(GateError):
    """What is needed is not installed; the message says what."""


def end_servers_on_sigterm():
    """Make SIGTERM unwind the program, so that no server is left running."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def require_programs(**packages):
    """Raise `Unavailable` unless the programs are there: program=Debian package."""
    for program, package in packages.items():
        if shutil.which(program) is None:
            raise Unavailable(f"{program} is not installed (apt-get install {package})")


def until(condition, what="not met in time", seconds=240.0):
    """Wait for the condition, and return what it gave; a busy machine is slow.

    `what` may be a function that tells at the end what there is instead.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(what() if callable(what) else what)
        time.sleep(0.02)
    return found


def require_jack():
    """Raise `Unavailable` where JACK or its Python client is missing."""
    require_programs(jackd="jackd2")
    try:
        import jack  # noqa: F401
        import sounddevice  # noqa: F401
    except (ImportError, OSError) as error:
        need = "pip install JACK-Client; apt-get install libportaudio2"
        raise Unavailable(f"{error} ({need})") from None


class JackServer:
    """A JACK server with the dummy driver; a context.

    Parameters
    ----------
    sample_rate : int
        Hz.
    period : int
        Samples a block.
    realtime : bool
        Ask the system for real-time scheduling, for the server and its clients' audio threads.
    """

    def __init__(self, sample_rate=48000, period=100, realtime=False):
        require_jack()
        self._scheduling = ["-R", "-P", "10"] if realtime else ["-r"]
        self.name = f"gate-{os.getpid()}-{next(_numbers)}"
        self.sample_rate, self.period = sample_rate, period
        self.env = dict(
            os.environ,
            JACK_NO_AUDIO_RESERVATION="1",
            JACK_NO_START_SERVER="1",
            JACK_DEFAULT_SERVER=self.name,
        )
        self.process = None

    def start(self):
        """Start it and wait until it takes clients."""
        command = ["jackd", "-n", self.name, *self._scheduling, "-d", "dummy"]
        command += ["-r", str(self.sample_rate), "-p", str(self.period)]
        self.process = subprocess.Popen(
            command, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._is_ready, "jackd did not become ready within 10 s", 10)
        return self

    def _is_ready(self):
        import jack

        with contextlib.suppress(jack.JackOpenError), muted():
            jack.Client("ready", no_start_server=True, servername=self.name).close()
            return True
        if self.process.poll() is not None:
            raise Unavailable(f"jackd does not run here (exit code {self.process.returncode})")
        return False

    def kill(self):
        """As a crash: no goodbye."""
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        end(self.process)


def end(process):
    """Ask a process to end, and make it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def muted():
    """Libjack prints every failed attempt."""
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


class Peer(contextlib.AbstractContextManager):
    """Plays a sound over and over to JACK and, once told to, records what comes back."""

    devices = ("--input", "peer", "--output", "peer", "--host-api", "jack")
    """Options of a `gate-live` between what it plays and what it records."""

    def __init__(self, server, sound, n_record, name="peer"):
        import jack

        self.sound = np.asarray(sound, np.float32)
        self.n_played = 0
        self.done = threading.Event()
        self._n_record = n_record
        self._recorded = np.zeros(n_record + server.period, np.float32)
        self._n_recorded = None
        self.client = jack.Client(name, no_start_server=True, servername=server.name)
        self.out = self.client.outports.register("out")
        self.into = self.client.inports.register("in")
        self.client.set_process_callback(self._process)
        self.client.activate()

    def record(self):
        """Begin to record, a few periods from now."""
        self._n_recorded = -8

    def heard(self):
        """What was recorded."""
        return self._recorded[: self._n_record]

    def _process(self, frames):
        at = np.arange(self.n_played, self.n_played + frames) % len(self.sound)
        self.out.get_array()[:] = self.sound[at]
        self.n_played += frames
        if self._n_recorded is None or self.done.is_set():
            return
        if self._n_recorded < 0:
            self._n_recorded += 1
            return
        heard = self.into.get_array()
        n = min(frames, len(self._recorded) - self._n_recorded)
        self._recorded[self._n_recorded : self._n_recorded + n] = heard[:n]
        self._n_recorded += n
        if self._n_recorded >= self._n_record:
            self.done.set()

    def close(self):
        """Leave the server."""
        with contextlib.suppress(Exception):
            self.client.deactivate()
            self.client.close()

    def __exit__(self, *exc):
        self.close()


class Live(contextlib.AbstractContextManager):
    """A running `gate-live --json`, read line by line."""

    def __init__(self, *options, env=None):
        self.lines = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "realtime.live.cli", "--json", "--log-every", "0.2", *options],
            env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def statuses(self):
        """Every JSON object so far."""
        return [json.loads(line) for line in list(self.lines) if line.startswith("{")]

    @property
    def events(self):
        """Every event so far."""
        return [event for status in self.statuses for event in status["events"]]

    def wait_for(self, condition, timeout=60.0, after=0):
        """The first status from number `after` on that meets the condition."""

        def met():
            if found := next(filter(condition, self.statuses[after:]), None):
                return found
            if self.process.poll() is not None:
                raise AssertionError(f"gate-live ended: {self.process.stderr.read()}")
            return None

        return until(met, lambda: f"not met within {timeout} s; last: {self.lines[-1:]}", timeout)

    def stop(self, number=signal.SIGINT):
        """Ask for the end; returns (exit code, seconds it took)."""
        started = time.monotonic()
        self.process.send_signal(number)
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return code, time.monotonic() - started

    def __exit__(self, *exc):
        end(self.process)
        self._reader.join(5)
        self.process.stdout.close()
        self.process.stderr.close()


def resident_mb(pid):
    """Resident memory of a process in MB, on Linux."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return round(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def bursts(seconds, sample_rate, seed=0):
    """Tone bursts over noise that open and shut a gate at -40 dBFS; no sample is zero."""
    rng = np.random.default_rng(seed)
    n = int(seconds * sample_rate)
    t = np.arange(n) / sample_rate
    loud = (np.sin(2 * np.pi * 0.8 * t) > 0.3) * 0.3
    sound = loud * np.sin(2 * np.pi * 440 * t) + 1e-3 * rng.standard_normal(n)
    sound[np.abs(sound) < 1e-6] = 1e-6
    return sound.astype(np.float32)
