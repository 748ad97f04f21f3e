"""`gate-bench jitter`: how steady `gate-live`'s callbacks are on a clocked sound server.

JACK with its dummy driver: no hardware, a clock only. Nothing is asserted: the figures are the
machine's as much as the program's.
"""

import contextlib
import time

import numpy as np

from benchmarks import tables
from benchmarks.live.rig import JackServer, Live, Peer, end_servers_on_sigterm
from benchmarks.machine import describe
from benchmarks.part import Part
from benchmarks.signals import talk


def jitter(args, config, command, say):
    """Callbacks of `gate-live`, at the real pace."""
    end_servers_on_sigterm()
    say(f"jitter: {args.seconds:g} s at the real pace")
    with running(args, config.engine.model) as live:
        found = _figures(args, live)
    rows = [[name.replace("_", " "), value] for name, value in found.items()]
    body = tables.table(["figure", "value"], rows)
    return Part("jitter", "Live callbacks", body, {"meta": describe(command), **found})


@contextlib.contextmanager
def running(args, model, more=(), **environment):
    """A `gate-live` through which talk flows.

    Parameters
    ----------
    args : argparse.Namespace
        ``sample_rate``, ``period``, ``realtime``.
    model : str or None
    more : sequence of str
        Further options.
    **environment : str
        Variables for its environment.
    """
    rate = args.sample_rate
    options = ["--model", model or "none", "--threshold-db", "-50", *Peer.devices, *more]
    with (
        JackServer(rate, args.period, args.realtime) as server,
        Peer(server, talk(rate, 20.0)[:, 0], rate),
        Live(*options, env={**server.env, **environment}) as live,
    ):
        live.wait_for(lambda s: s["status"] == "running", 60)
        yield live
        live.stop()


def _figures(args, live):
    """How steady a running `gate-live` is over ``args.seconds``: a dict."""
    block_us = args.period / args.sample_rate * 1e6
    time.sleep(2.0)
    first = live.statuses[-1]
    time.sleep(args.seconds)
    last = live.statuses[-1]
    window = live.statuses[live.statuses.index(first) + 1 :]
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
