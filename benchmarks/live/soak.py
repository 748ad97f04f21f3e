"""`gate-bench soak`: `gate-live` for half an hour of sound, every sample of it checked.

It runs on a JACK server in freewheel mode (faster than the clock), with recording; the gated
recording must be what the engine makes of the dry one, bit for bit; and the memory of both
processes is looked at as it goes.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from benchmarks import tables
from benchmarks.live.rig import JackServer, Live, Peer, end_servers_on_sigterm, resident_mb
from benchmarks.machine import describe
from benchmarks.part import Part
from benchmarks.signals import talk
from gate.errors import GateError
from gate.settings import GateSettings
from realtime import open_gate

_SETTINGS = {"threshold_db": -50.0}


def soak(args, config, command, say):
    """A long run, compared with the engine."""
    end_servers_on_sigterm()
    found = measure(args, config.engine.model, say)
    body = tables.table(
        ["at minute", "sound's process, MB", "interface, MB"],
        [[m["minute"], m["stream"], m["interface"]] for m in found["memory_mb"]],
    )
    body += (
        f"\n\n{found['samples_compared']:,} samples ({found['minutes']:g} minutes of sound in "
        f"{found['took_minutes']:g}), gated live and offline: "
        f"{'all equal' if found['equal'] else 'NOT equal'}.\n"
    )
    failures = [] if found["equal"] else ["live and offline differ"]
    failures += [] if found["opened_and_shut"] else ["the gate did not both open and shut"]
    failures += [f"{name}={value}" for name, value in found["trouble"].items()]
    return Part("soak", "Live for long", body, {"meta": describe(command), **found},
                failures=failures)  # fmt: skip


def measure(args, model, say):
    """Run it; returns the figures as a dict."""
    rate = args.sample_rate
    started = time.monotonic()
    options = ["--model", model or "none", "--detector-budget-ms", "off", *Peer.devices]
    options += ["--threshold-db", str(_SETTINGS["threshold_db"]), "--record-minutes", "1"]
    with (
        tempfile.TemporaryDirectory() as folder,
        JackServer(rate, args.period) as server,
        Peer(server, talk(rate, 20.0)[:, 0], rate) as peer,
        Live(*options, "--record", folder, env=server.env) as live,
    ):
        checker = Checker(Path(folder), rate, model)
        live.wait_for(lambda s: s["status"] == "running", 60)
        peer.client.set_freewheel(True)
        memory = _follow(live, checker, args.minutes, rate, say)
        code, _ = live.stop()
        checker.check(last=True)
        status = live.statuses[-1]
    trouble = {
        name: status[name]
        for name in ("detector_failures", "callback_errors", "restarts", "record_dropped")
        if status[name]
    }
    if code:
        trouble["exit_code"] = code
    return {
        "minutes": round(checker.frames / rate / 60, 2),
        "took_minutes": round((time.monotonic() - started) / 60, 2),
        "samples_compared": checker.frames,
        "equal": checker.equal and checker.frames > 0,
        "opened_and_shut": checker.loudest > 0.1 and checker.softest < 1e-4,
        "memory_mb": memory,
        "trouble": trouble,
    }


def _follow(live, checker, minutes, rate, say):
    """Check recordings as they are finished; returns the memory at ten points in time."""
    memory, next_at = [], 0.0
    while checker.frames < minutes * 60 * rate:
        if live.process.poll() is not None:
            raise GateError(f"gate-live ended: {live.process.stderr.read()}")
        checker.check()
        status = live.statuses[-1]
        done = status["frames"] / rate / 60
        if done >= next_at:
            next_at += minutes / 10
            point = {
                "minute": round(done, 1),
                "stream": resident_mb(status["stream_pid"]),
                "interface": resident_mb(live.process.pid),
            }
            memory.append(point)
            say(f"soak: {point}")
        time.sleep(0.2)
    return memory


class Checker:
    """Compares finished recordings with the engine's work on them, and removes them."""

    def __init__(self, folder, sample_rate, model):
        self._folder = folder
        self._gate = open_gate(GateSettings(**_SETTINGS), sample_rate=sample_rate, model=model)
        self.frames = 0
        self.equal = True
        self.loudest, self.softest = 0.0, 1.0

    def check(self, last=False):
        """Take the recordings that are complete: all, or all but the newest."""
        found = sorted(self._folder.glob("*-dry.wav"), key=lambda p: p.stat().st_mtime_ns)
        for dry_path in found if last else found[:-1]:
            gated_path = dry_path.with_name(dry_path.name.replace("-dry", "-gated"))
            dry, _ = soundfile.read(dry_path, dtype="float32")
            gated, _ = soundfile.read(gated_path, dtype="float32")
            n = len(dry)
            self.equal &= len(gated) == n and np.array_equal(gated, self._gate.process(dry))
            if n >= 100:
                peaks = np.abs(gated[: n - n % 100].reshape(-1, 100)).max(axis=1)
                self.loudest = max(self.loudest, float(peaks.max()))
                self.softest = min(self.softest, float(peaks.min()))
            self.frames += n
            for path in (dry_path, gated_path):
                path.unlink()
