"""Starts the stream's process, hears it, and starts it again when it ends or hangs."""

import json
import multiprocessing
import threading
import time

from gate.errors import DeviceError, GateError
from realtime.live.opening import ERRORS, error_event
from realtime.live.record_ring import RecordRing
from realtime.live.shared_state import STATUS, SharedState
from realtime.live.stream_process import EXIT_FAILED, EXIT_LOST, EXIT_STOPPED, run_stream

_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.5, 5.0
_HUNG_S, _SLOW_START_S = 8.0, 30.0
_STEADY_S = 10.0


class StreamHost:
    """Keeps a stream running.

    Parameters
    ----------
    job : callable
        Returns the job of `run_stream` as it should be now, without ``resume``.
    on_event : callable
        Called with every event, a dict, from a thread of the host.
    record : bool
        Make a `RecordRing` for the stream to write to.

    Attributes
    ----------
    state : SharedState
    ring : RecordRing or None
    """

    def __init__(self, job, on_event, record=False):
        self._job = job
        self._on_event = on_event
        self.state = SharedState()
        self.ring = RecordRing(self.state) if record else None
        self._context = multiprocessing.get_context("spawn")
        self._process = self._connection = None
        self._sending = threading.Lock()
        self._stopping = threading.Event()
        self._opened = threading.Event()
        self._first_error = None
        self._thread = threading.Thread(target=self._keep_running, name="stream host", daemon=True)

    def start(self, patient=False, timeout_s=30.0):
        """Start and wait until sound flows.

        Parameters
        ----------
        patient : bool
            Return at once and wait for devices that are not there yet.
        timeout_s : float

        Raises
        ------
        GateError
            If the first opening fails, unless `patient`.
        """
        self._patient = patient
        self._thread.start()
        if patient:
            return
        self._opened.wait(timeout_s)
        if self._first_error is not None:
            raise self._first_error
        if not self._opened.is_set():
            raise DeviceError(f"the device did not open within {timeout_s:g} s")

    def send(self, do, **what):
        """Send a message to the stream; lost where there is none (the next job has it all)."""
        with self._sending:
            if self._connection is None:
                return
            try:
                self._connection.send_bytes(json.dumps({"do": do, **what}).encode())
            except OSError:
                pass

    def stop(self):
        """End the stream, within half a second or by force."""
        self._stopping.set()
        self.send("stop")
        if self._thread.ident is not None:
            self._thread.join(3.0)

    def close(self):
        """Let go of the memory; `stop` comes first."""
        if self.ring is not None:
            self.ring.close()
        self.state.close()

    def _keep_running(self):
        retry_s, resume = _FIRST_RETRY_S, self._patient
        while not self._stopping.is_set():
            started = time.monotonic()
            code = self._run_once(resume)
            if self._stopping.is_set():
                break
            self.state.status = STATUS.index("lost")
            if code == EXIT_STOPPED:
                code = EXIT_LOST
            if not self._opened.is_set() and not self._patient:
                self._first_error = self._first_error or GateError("the stream's process died")
                self._opened.set()
                return
            resume = True
            self.state.add("restarts")
            if time.monotonic() - started > _STEADY_S:
                retry_s = _FIRST_RETRY_S
                if code == EXIT_LOST:
                    continue
            self._stopping.wait(retry_s)
            retry_s = min(2.0 * retry_s, _LONGEST_RETRY_S)
        self.state.status = STATUS.index("stopped")

    def _run_once(self, resume):
        try:
            job = {**self._job(), "resume": resume}
        except GateError as error:
            self._emit(error_event(error))
            return EXIT_FAILED
        ours, theirs = self._context.Pipe()
        ring_name = self.ring.name if self.ring else None
        process = self._context.Process(
            target=run_stream, args=(job, theirs, self.state.name, ring_name),
            name="gate-live stream", daemon=True,
        )  # fmt: skip
        process.start()
        theirs.close()
        with self._sending:
            self._process, self._connection = process, ours
        self.state.pid = process.pid
        try:
            return self._listen(process, ours)
        finally:
            with self._sending:
                self._connection = None
            ours.close()

    def _listen(self, process, connection):
        """Pass events on until the process ends; end it where it hangs."""
        beat, beat_at = -1, time.monotonic()
        leave_at = None
        while True:
            self._pass_events(connection)
            if not process.is_alive():
                self._pass_events(connection)
                process.join()
                return process.exitcode
            now = time.monotonic()
            if self.state.heartbeat != beat:
                beat, beat_at = self.state.heartbeat, now
            patience = _SLOW_START_S if STATUS[self.state.status] == "starting" else _HUNG_S
            if now - beat_at > patience:
                self._emit({"event": "lost", "message": "the stream hung and is started again"})
                process.kill()
                process.join()
                return EXIT_LOST
            if self._stopping.is_set():
                leave_at = leave_at or now + 0.6
                if now > leave_at:
                    process.kill()
                    process.join()
                    return EXIT_STOPPED

    def _pass_events(self, connection):
        try:
            wait_s = 0.05
            while connection.poll(wait_s):
                self._emit(json.loads(connection.recv_bytes()))
                wait_s = 0.0
        except (EOFError, OSError):
            self._process.join(0.1)

    def _emit(self, event):
        if event["event"] == "open":
            self._opened.set()
        if event["event"] == "error" and not self._opened.is_set():
            kind = ERRORS.get(event["kind"], GateError)
            self._first_error = kind(event["message"])
            if not self._patient:
                return
        self._on_event(event)
