"""`gate-bench pulse`: `gate-live` on a PulseAudio server for minutes, at the default latency.

Talk is played into a null sink, the gate listens to it, and its virtual microphone is listened to.
Every sample is looked at twice: what the gate recorded as heard must be what was played, and what
the microphone gave must be what the gate recorded as gated. A place where either goes on elsewhere
is a glitch, whoever caused it. On PipeWire (`--server pipewire`) its stand-in for PulseAudio is
used in the same way.
"""

import contextlib
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from benchmarks import tables
from benchmarks.live.pulse_server import PipeWireServer, PulseServer
from benchmarks.live.rig import Live, end_servers_on_sigterm
from benchmarks.machine import describe
from benchmarks.part import Part
from benchmarks.signals import talk
from gate.settings import GateSettings
from realtime import open_gate

SERVERS = {"pulseaudio": PulseServer, "pipewire": PipeWireServer}
_RATE = 48000
_SETTINGS = {"threshold_db": -50.0, "range_db": -40.0}
_WINDOW = 64  # samples of noise that occur once


def pulse(args, config, command, say):
    """Minutes on a sound server, every sample followed."""
    end_servers_on_sigterm()
    found = measure(args.server, args.minutes, config.engine.model, say)
    rows = [[name.replace("_", " "), value] for name, value in found.items()]
    body = tables.table(["figure", "value"], rows)
    failures = [f"{n}={found[n]}" for n in ("glitches_heard", "glitches_given") if found[n]]
    if not found["samples_heard"] or not found["samples_given"]:
        failures += ["nothing was heard"]
    if not found["equals_the_engine"] and not found["detector_overruns"]:
        failures += ["what was gated is not what the engine makes of it"]
    name = "pulse" if args.server == "pulseaudio" else args.server
    title = f"Minutes on {'PulseAudio' if name == 'pulse' else 'PipeWire'}"
    return Part(name, title, body, {"meta": describe(command), **found}, failures=failures)


def played_sound(seconds, rate=_RATE, seed=0):
    """Talk over noise that never repeats, shape (n,), float32."""
    n = int(seconds * rate)
    noise = np.random.default_rng(seed).uniform(-1e-3, 1e-3, n).astype(np.float32)
    return np.resize(talk(rate, 20.0)[:, 0], n).astype(np.float32) + noise


def follow(heard, played):
    """How much of `played` is in `heard`, and how often it goes on elsewhere.

    Silence around it does not count, silence in between does.

    Parameters
    ----------
    heard, played : ndarray, shape (n,), float32
        No short stretch of `played` may occur in it twice.

    Returns
    -------
    samples : int
        That were found.
    glitches : int
        Places where something is missing, doubled or foreign.
    """
    sounding = np.flatnonzero(heard)
    if not len(sounding):
        return 0, 0
    at, end = int(sounding[0]), int(sounding[-1]) + 1
    samples = pieces = place = step = 0
    while at < end:
        window = heard[at : min(at + _WINDOW, end)]
        found = _find(played, window, place) if window.any() else None
        if found is None:
            # On to the next sound; faster and faster, for what is foreign may be long.
            step = min(2 * step + 16, _RATE // 10)
            at += step if window.any() else int(np.argmax(heard[at:end] != 0.0))
            continue
        n = _equal(heard[at:end], played[found:])
        samples, at, place = samples + n, at + n, found + n
        pieces, step = pieces + 1, 0
    return samples, max(pieces - 1, 0) + (step > 0 and pieces > 0)


def _find(played, window, place):
    """Where the window is in `played`: soon after `place`, else anywhere; None if nowhere."""
    for low, high in ((max(place - _RATE, 0), place + 10 * _RATE), (0, len(played))):
        for start in np.flatnonzero(played[low:high] == window[0]) + low:
            if np.array_equal(played[start : start + len(window)], window):
                return int(start)
    return None


def _equal(first, second, step=1 << 20):
    """How many samples two arrays have in common from the beginning."""
    n = min(len(first), len(second))
    for at in range(0, n, step):
        part = slice(at, min(at + step, n))
        differs = np.flatnonzero(first[part] != second[part])
        if len(differs):
            return at + int(differs[0])
    return n


def measure(server, minutes, model, say=print):
    """Run it; returns the figures as a dict."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gb")))
        server = stack.enter_context(SERVERS[server](folder))
        server.pactl("load-module", "module-null-sink", "sink_name=room", f"rate={_RATE}",
                     "channels=1", "format=float32le")  # fmt: skip
        played = played_sound(60 * minutes + 5)
        (folder / "played.raw").write_bytes(played.tobytes())
        takes = folder / "takes"
        options = ["--virtual-mic", "--input", "room.monitor", "--model", model or "none"]
        options += [f"--{name.replace('_', '-')}={value}" for name, value in _SETTINGS.items()]
        options += ["--record", str(takes), "--record-minutes", str(minutes + 10)]
        with Live(*options, env=server.env) as live:
            live.wait_for(lambda s: s["status"] == "running" and s["frames"] > _RATE, 120)
            # In stereo, as the microphone is: servers mix it down each in its own way.
            with _pacat(server, "--record", "gate_live_mic", folder / "given.raw", 2):
                time.sleep(1.0)
                first = live.statuses[-1]
                with _pacat(server, "--playback", "room", folder / "played.raw"):
                    _wait(live, minutes, say)
                last = live.statuses[-1]
                time.sleep(1.0)
            live.stop()
        given = np.fromfile(folder / "given.raw", np.float32)
        given = given[: len(given) // 2 * 2 : 2]
        return _figures(takes, played, given, first, last, model)


@contextlib.contextmanager
def _pacat(server, mode, device, path, channels=1):
    """`pacat` from or to a file while the context lasts, with a buffer that nobody empties."""
    command = ["pacat", mode, "--raw", f"--device={device}", f"--channels={channels}"]
    command += ["--format=float32le", f"--rate={_RATE}", "--latency-msec=1000", str(path)]
    process = subprocess.Popen(command, env=server.env)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def _wait(live, minutes, say):
    """For as long as it takes, telling how it goes."""
    begun = time.monotonic()
    while (done := time.monotonic() - begun) < 60 * minutes:
        if live.process.poll() is not None:
            return
        status = live.statuses[-1]
        say(f"pulse: {done / 60:.1f} min, {status['xruns']} xruns, load {status['load_mean']:.0%}")
        time.sleep(min(5.0, max(60 * minutes - done, 0.1)))


def _figures(takes, played, given, first, last, model):
    dry = gated = np.zeros(0, np.float32)
    equal = True
    gate = open_gate(GateSettings(**_SETTINGS), sample_rate=_RATE, model=model)
    for path in sorted(takes.glob("*-dry.wav"), key=lambda p: p.stat().st_mtime_ns):
        part = soundfile.read(path, dtype="float32")[0]
        made = soundfile.read(path.with_name(path.name.replace("-dry", "-gated")), dtype="float32")
        equal &= np.array_equal(gate.process(part), made[0])
        dry, gated = np.concatenate([dry, part]), np.concatenate([gated, made[0]])
    samples_heard, glitches_heard = follow(dry, played)
    samples_given, glitches_given = follow(given, gated)
    counted = ("xruns", "late_callbacks", "detector_overruns", "restarts", "record_dropped")
    return {
        "minutes": round((last["time"] - first["time"]) / 60, 2),
        "samples_heard": samples_heard,
        "glitches_heard": glitches_heard,
        "samples_given": samples_given,
        "glitches_given": glitches_given,
        "equals_the_engine": bool(equal),
        **{name: last[name] - first[name] for name in counted},
        "input_latency_ms": last["input_latency_ms"],
        "output_latency_ms": last["output_latency_ms"],
        "block_frames": last["block_frames"],
        "load_p99": last["load_p99"],
    }
