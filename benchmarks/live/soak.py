"""Lets `gate-live` run for half an hour of sound and checks every sample of it.

``python -m benchmarks.live.soak --minutes 30`` runs it on a JACK server in freewheel mode (faster
than the clock), with recording; compares the gated recording with what the engine makes of the
dry one, bit for bit; and prints the memory of both processes as it goes.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.live.rig import JackServer, Live, Peer, Unavailable, end_servers_on_sigterm, talk
from gate.settings import GateSettings
from realtime import open_gate

_SETTINGS = {"threshold_db": -50.0}


def main(argv=None):
    """Entry point; returns the exit code: 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="of sound (default 30)")
    parser.add_argument("--model", default="voice", help="detector, or none")
    parser.add_argument("--sample-rate", type=int, default=48000)
    parser.add_argument("--period", type=int, default=100, help="samples a block (default 100)")
    args = parser.parse_args(argv)
    end_servers_on_sigterm()
    try:
        result = soak(args)
    except Unavailable as reason:
        print(f"live_soak: {reason}", file=sys.stderr)
        return 1
    print(json.dumps(result, indent=2))
    return 0 if result["equal"] and not result["trouble"] else 1


def soak(args):
    """Run it; returns the figures as a dict."""
    rate = args.sample_rate
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, JackServer(rate, args.period) as server:
        peer = Peer(server, talk(rate), rate)
        options = ["--model", args.model, "--detector-budget-ms", "off"]
        options += ["--threshold-db", str(_SETTINGS["threshold_db"])]
        options += ["--input", "peer", "--output", "peer", "--host-api", "jack"]
        options += ["--record", folder, "--record-minutes", "1"]
        checker = Checker(Path(folder), rate, None if args.model == "none" else args.model)
        try:
            with Live(*options, env=server.env) as live:
                live.wait_for(lambda s: s["status"] == "running", 60)
                peer.client.set_freewheel(True)
                memory = _follow(live, checker, args.minutes, rate)
                code, _ = live.stop()
                checker.check(last=True)
                status = live.statuses[-1]
        finally:
            peer.close()
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


def _follow(live, checker, minutes, rate):
    """Check recordings as they are finished; returns the memory at ten points in time."""
    memory, next_at = [], 0.0
    while checker.frames < minutes * 60 * rate:
        if live.process.poll() is not None:
            raise RuntimeError(f"gate-live ended: {live.process.stderr.read()}")
        checker.check()
        status = live.statuses[-1]
        done = status["frames"] / rate / 60
        if done >= next_at:
            next_at += minutes / 10
            point = {
                "minute": round(done, 1),
                "stream": _resident_mb(status["stream_pid"]),
                "interface": _resident_mb(live.process.pid),
            }
            memory.append(point)
            print(point, file=sys.stderr, flush=True)
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


def _resident_mb(pid):
    """Resident memory of a process in MB, on Linux."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    return None


if __name__ == "__main__":
    sys.exit(main())
