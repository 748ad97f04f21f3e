"""Runs `gate-live` on a clocked sound server and tells how steady its callbacks are.

``python -m benchmarks.live.jitter --seconds 60`` starts JACK with the dummy driver: no hardware, a
clock only. Nothing is asserted: the figures are the machine's as much as the program's.
"""

import argparse
import json
import sys
import time

import numpy as np

from benchmarks.live.rig import JackServer, Live, Peer, Unavailable, end_servers_on_sigterm, talk


def main(argv=None):
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--model", default="voice", help="detector, or none")
    parser.add_argument("--sample-rate", type=int, default=48000)
    parser.add_argument("--period", type=int, default=100, help="samples a block (default 100)")
    parser.add_argument("--realtime", action="store_true",
                        help="with real-time scheduling, as a studio machine has it")  # fmt: skip
    args = parser.parse_args(argv)
    end_servers_on_sigterm()
    try:
        print(json.dumps(measure(args), indent=2))
    except Unavailable as reason:
        print(f"live_jitter: {reason}", file=sys.stderr)
        return 1
    return 0


def measure(args):
    """Run it; returns the figures as a dict."""
    rate, block_us = args.sample_rate, args.period / args.sample_rate * 1e6
    with JackServer(rate, args.period, args.realtime) as server:
        peer = Peer(server, talk(rate), rate)
        options = ["--model", args.model, "--threshold-db", "-50"]
        options += ["--input", "peer", "--output", "peer", "--host-api", "jack"]
        try:
            with Live(*options, env=server.env) as live:
                live.wait_for(lambda s: s["status"] == "running", 60)
                time.sleep(2.0)
                first = live.statuses[-1]
                time.sleep(args.seconds)
                last = live.statuses[-1]
                window = live.statuses[live.statuses.index(first) + 1 :]
                live.stop()
        finally:
            peer.close()
    means = [s["load_mean"] for s in window]
    p99s = [s["load_p99"] for s in window]
    return {
        "realtime": args.realtime,
        "seconds": round(last["time"] - first["time"], 1),
        "block_us": round(block_us, 1),
        "callbacks": last["callbacks"] - first["callbacks"],
        "callback_mean_us": round(float(np.mean(means)) * block_us, 1),
        "callback_p99_us_median": round(float(np.median(p99s)) * block_us, 1),
        "callback_p99_us_worst": round(max(p99s) * block_us, 1),
        "load_mean": round(float(np.mean(means)), 4),
        "late_callbacks": last["late_callbacks"] - first["late_callbacks"],
        "xruns": last["xruns"] - first["xruns"],
        "detector_failures": last["detector_failures"] - first["detector_failures"],
        "failed_hops": last["failed_hops"] - first["failed_hops"],
        "restarts": last["restarts"],
    }


if __name__ == "__main__":
    sys.exit(main())
