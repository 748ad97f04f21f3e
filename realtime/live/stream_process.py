"""The process in which the sound flows. Nothing else runs here: the interpreter lock is its own.

It lives for one opening of the devices. When they go away it says so and ends, and the host
starts another: a fresh process is the one state from which every sound server's client library
recovers. Messages are JSON over a pipe; meters go through `SharedState`.
"""

import gc
import json
import math
import os
import signal
import sys
import threading
import time

from gate.errors import ConfigError, DeviceError, GateError, ModelError
from gate.settings import GateSettings
from realtime.engine import NO_MODEL, open_detector, open_gate
from realtime.learn.profile import load_profile
from realtime.live.audio_path import AudioPath
from realtime.live.detector_budget import BudgetedDetector, budget_seconds
from realtime.live.devices import choose_devices, explain, load_portaudio, query_devices
from realtime.live.heard import HeardDetector, heard_detectors, take_profile
from realtime.live.opening import (
    at_fault,
    error_event,
    input_columns,
    latency_for,
    looks_complete,
    output_columns,
    output_of,
)
from realtime.live.record_ring import RecordRing
from realtime.live.shared_state import STATUS, SharedState
from realtime.live.split_stream import SplitStream
from realtime.live_settings import LiveSettings

EXIT_STOPPED, EXIT_LOST, EXIT_FAILED = 0, 3, 4
_SILENT_DEVICE_S = 3.0
_SWITCH_INTERVAL_S = 1e-4


def run_stream(job, connection, state_name, ring_name):
    """Entry point of the process.

    Parameters
    ----------
    job : dict
        ``live``, ``model``, ``ears``, ``profile``, ``route`` (of `ServerRoute`),
        ``block_size``, ``gate``, ``muted``; ``resume`` is true after the first opening.
    connection : multiprocessing.connection.Connection
        Messages in, events out.
    state_name : str
        `SharedState` to join.
    ring_name : str or None
        `RecordRing` to join.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the interface's to handle
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):  # ALSA and JACK print into the terminal
        os.dup2(nowhere, number)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)  # the callback waits this long for the lock at most
    stream = StreamProcess(job, connection, SharedState(state_name), ring_name)
    try:
        code = stream.run()
    except (BrokenPipeError, EOFError):
        code = EXIT_STOPPED
    except Exception as error:
        stream.tell_error(error)
        code = EXIT_FAILED
    connection.close()
    os._exit(code)  # PortAudio's own farewell hangs when its server is gone


class StreamProcess:
    """One opening of the devices; see `run_stream` for the parameters."""

    def __init__(self, job, connection, state, ring_name):
        self._job = job
        self._live = LiveSettings(**job["live"])
        self._connection = connection
        self._state = state
        self._ring = RecordRing(state, ring_name) if ring_name else None
        self._path = None
        self._profile = job["profile"]
        self._native = job["engine"] == "native"
        self._first_callback = True
        self._told_overruns = 0
        # Every message of the interface: add a name here to give the stream a new command.
        self.commands = {
            "settings": self._do_settings,
            "mute": self._do_mute,
            "profile": self._do_profile,
        }

    def tell(self, event, **what):
        """Send an event to the interface."""
        self._connection.send_bytes(json.dumps({"event": event, **what}).encode())

    def tell_error(self, error):
        """Send an exception as an event."""
        self.tell(**error_event(error))

    def run(self):
        """Open, flow until the end; returns the exit code."""
        self._set_status("starting")
        try:
            source, sink = choose_devices(query_devices(), self._live)
            stream = self._open(source, sink)
        except DeviceError as error:
            self.tell_error(error)
            return self._feed_silence() if self._job["resume"] else EXIT_FAILED
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            stream.start()
        except Exception as error:
            self.tell_error(explain(error, f"input {source.name!r}, output {sink.name!r}"))
            return self._feed_silence() if self._job["resume"] else EXIT_FAILED
        self._announce(stream, source, sink)
        return self._watch(stream)

    def _open(self, source, sink):
        live = self._live
        in_columns, key_columns, n_inputs = input_columns(live, source, self._job["route"])
        out_columns = output_columns(live, sink)
        for name, columns, device, kind in (
            ("input_channels", in_columns, source, "input"),
            ("key_channels", key_columns or [0], source, "input"),
            ("output_channels", out_columns, sink, "output"),
        ):
            if max(columns) >= device.channels(kind):
                raise ConfigError(
                    f"{name}={max(columns) + 1}: device {device.name!r} has "
                    f"{device.channels(kind)} {kind} channels"
                )
        rate = live.sample_rate or source.sample_rate
        block_size = self._job["block_size"]
        gate, overruns = self._make_gate(rate, len(in_columns), block_size)
        if self._ring is not None:
            self._begin_recording(2 * len(in_columns))
        self._state.sample_rate, self._state.queue_ms = rate, 0.0
        self._path = AudioPath(
            gate, self._state, in_columns=in_columns, out_columns=out_columns,
            key_columns=key_columns, record=self._ring, muted=self._job["muted"],
        )  # fmt: skip
        self._path.overruns = overruns
        self._is_jack = source.is_jack and sink.is_jack
        sd = load_portaudio()
        channels = (n_inputs, max(out_columns) + 1)
        apart = not self._is_jack and (source.index != sink.index or source.is_plugin)
        try:
            if apart:
                return SplitStream(
                    sd, source, sink, rate, block_size, channels,
                    latency_for(live, source, sink), self._callback,
                    self._state,
                )  # fmt: skip
            return sd.Stream(
                device=(source.index, sink.index),
                samplerate=rate,
                # JACK's period is the server's; anything else would cost a buffer more.
                blocksize=0 if self._is_jack else block_size,
                channels=channels,
                dtype="float32",
                latency=latency_for(live, source, sink),
                callback=self._callback,
                clip_off=True,
                dither_off=True,
            )
        except Exception as error:
            raise at_fault(sd, error, source, sink, channels, rate) from None

    def _make_gate(self, rate, channels, block_size):
        how = {"sample_rate": rate, "channels": channels, "engine": self._job["engine"]}
        if self._native:
            model, overruns = self._job["model"], None
            how |= {"profile": self._profile, "ears": self._job["ears"]}
        else:
            model, overruns = self._load_detector(rate, block_size)
        gate = open_gate(GateSettings.from_mapping(self._job["gate"]), model=model, **how)
        gate.settings = gate.settings  # refuses a target that the detector does not know
        return gate, overruns

    def _load_detector(self, rate, block_size):
        detector = HeardDetector(
            open_detector(self._job["model"], self._profile, ears=self._job["ears"])
        )
        budget_s = budget_seconds(self._live.detector_budget_ms, block_size, rate)
        if budget_s is None:
            return detector, None
        detector = BudgetedDetector(detector, budget_s)
        return detector, detector.overruns

    def _begin_recording(self, width):
        until = time.monotonic() + 1.0
        while not self._ring.drained and time.monotonic() < until:
            time.sleep(0.01)
        self._ring.begin(width)

    def _callback(self, indata, outdata, frames, time_info, status):
        if self._first_callback:
            self._first_callback = False
            if self._live.realtime_priority and not self._is_jack:  # JACK sees to it itself
                _raise_priority()
        if status:
            self._count_xruns(status)
        self._path.process(indata, outdata)

    def _count_xruns(self, status):
        add = self._state.add
        if status.input_overflow:
            add("input_overflows")
        if status.input_underflow:
            add("input_underflows")
        if status.output_underflow:
            add("output_underflows")
        if status.output_overflow:
            add("output_overflows")

    def _announce(self, stream, source, sink):
        state, gate = self._state, self._path.gate
        for name, seconds in zip(("input", "output"), stream.latency, strict=True):
            # PortAudio reports nonsense for a JACK server without hardware.
            sane = 0.0 <= seconds < 10.0
            setattr(state, f"{name}_latency_ms", seconds * 1e3 if sane else math.nan)
        self._set_status("running")
        self.tell(
            "open", input=source.name, output=sink.name, host_api=source.host_api,
            sample_rate=gate.sample_rate, channels=gate.channels, profile=self._profile,
            ears_heard=list(gate.ears_heard), ears_silent=dict(gate.ears_silent),
            **_knows(gate.lanes[0].detector.info),
        )  # fmt: skip

    def _watch(self, stream):
        """Serve messages while the sound flows."""
        state = self._state
        seen, seen_at = -1, time.monotonic()
        while True:
            state.heartbeat += 1
            if not self._serve(0.05):
                return _abort(stream)
            now = time.monotonic()
            if state.callbacks != seen:
                seen, seen_at = state.callbacks, now
            if not stream.active:
                return self._lost("the device or the sound server went away")
            if now - seen_at > _SILENT_DEVICE_S:
                return self._lost("the device delivers no sound any more")
            self._tell_trouble()

    def _tell_trouble(self):
        path = self._path
        note = path.phase_note()
        if note is not None:
            self.tell("notice", message=note)
        if path.error is not None:
            message, path.error = path.error, None
            self.tell("notice", message=f"the gate failed and passes everything: {message}")
        overruns = path.overruns
        if overruns is not None and overruns.count > self._told_overruns:
            first = self._told_overruns == 0
            self._told_overruns = overruns.count
            if first:
                self.tell(
                    "notice",
                    message="the detector is too slow by "
                    f"{overruns.late_s * 1e3:.1f} ms a hop: the gate stays open meanwhile "
                    "(a larger --block-size or fewer programs help)",
                )

    def _lost(self, why):
        self._set_status("lost")
        self.tell("lost", message=why)
        return EXIT_LOST

    def _feed_silence(self):
        """Feed the output with zeros until the input is back, if there is an output at all."""
        live = self._live
        sd = load_portaudio()
        try:
            _, sink = output_of(query_devices(), live)
            out_columns = output_columns(live, sink)
            stream = sd.OutputStream(
                device=sink.index, samplerate=live.sample_rate or sink.sample_rate,
                channels=max(out_columns) + 1, dtype="float32",
                callback=lambda outdata, *_: outdata.fill(0.0),
            )  # fmt: skip
            stream.start()
        except Exception:
            return EXIT_FAILED
        self._set_status("silence")
        self.tell("silence", message=f"feeding silence to {sink.name!r} until the input is back")
        wait_s, next_look = 0.5, time.monotonic() + 0.5
        while True:
            self._state.heartbeat += 1
            if not self._serve(0.05):
                return _abort(stream)
            if not stream.active:
                return EXIT_FAILED
            if time.monotonic() >= next_look:
                if looks_complete(live):
                    return EXIT_LOST
                wait_s = min(2.0 * wait_s, 5.0)
                next_look = time.monotonic() + wait_s

    def _serve(self, wait_s):
        """Handle messages for a while; False when it is time to go."""
        if not self._connection.poll(wait_s):
            return True
        try:
            message = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            return False
        command = message.pop("do")
        if command == "stop":
            return False
        handler = self.commands.get(command)
        if handler is None:
            self.tell("refused", command=command, message=f"unknown command {command!r}")
            return True
        try:
            handler(**message)
        except GateError as error:
            self.tell("refused", command=command, message=str(error))
        return True

    def _do_settings(self, gate):
        self._job["gate"] = gate
        if self._path is None:
            return
        settings = GateSettings.from_mapping(gate)
        self._path.gate.lanes[0].detector.info.target_columns(settings.target)
        if self._native:
            self._path.gate.check(settings)

        def change(running):
            running.settings = settings

        self._path.changes.append(change)

    def _do_mute(self, on):
        self._job["muted"] = on
        if self._path is not None:
            self._path.muted = on

    def _do_profile(self, path):
        """Put another profile around the running detector, or none, in between two blocks."""
        if self._native:
            raise ConfigError(f"profile={path!r} must be null with engine native")
        if self._path is None:
            self._profile = path
            return
        if path is not None and self._job["model"] == NO_MODEL:
            raise ModelError(f"{path}: needs the detector that it was taught on; there is none")
        profile = None if path is None else load_profile(path, with_memory=False)
        running = heard_detectors(self._path.gate)[0]
        prepared = running.prepare(profile)
        info = running.base.info if prepared is None else prepared.info
        info.target_columns(self._job["gate"]["target"])
        self._path.changes.append(lambda gate: take_profile(gate, prepared))
        self._profile = path
        self.tell("profile", path=path, **_knows(info))

    def _set_status(self, name):
        self._state.status = STATUS.index(name)


def _knows(info):
    """What the interface is told of a detector."""
    targets = list(dict.fromkeys([*info.targets, *info.classes]))
    presence = {
        name: [info.presence_threshold.get(name, 0.5), info.presence_hysteresis.get(name, 0.0)]
        for name in targets
    }
    return {"detector": info.name, "targets": targets, "presence": presence}


def _abort(stream):
    """Stop the stream, but do not wait for a server that is gone."""
    ending = threading.Thread(target=lambda: stream.abort(ignore_errors=True), daemon=True)
    ending.start()
    ending.join(0.3)
    return EXIT_STOPPED


def _raise_priority():
    """Real-time scheduling for the calling thread where the system grants it."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))
    except (AttributeError, OSError):
        pass
