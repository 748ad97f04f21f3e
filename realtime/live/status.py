"""What the running gate is doing, as one dict: for the view, the log, JSON and OSC."""

import math

import numpy as np

from realtime.live.shared_state import STATUS

_LOAD_SECONDS = 5.0
_SETTINGS = ("threshold_db", "range_db", "lookahead_ms", "target", "bypass", "key_listen")
_COUNTS = (
    "sample_rate", "block_frames", "callbacks", "frames", "xruns", "late_callbacks",
    "nonfinite_samples", "detector_failures", "detector_overruns", "failed_hops",
    "callback_errors", "restarts", "record_dropped", "record_lost",
)  # fmt: skip


def snapshot(state, control):
    """Everything there is to show.

    Parameters
    ----------
    state : SharedState
    control : LiveControl

    Returns
    -------
    dict
        Numbers that are not known are None.
    """
    rate = max(state.sample_rate, 1)
    per_second = rate / max(state.block_frames, 1)
    loads = state.loads(math.ceil(_LOAD_SECONDS * per_second))
    mean, p99 = (float(loads.mean()), float(np.quantile(loads, 0.99))) if len(loads) else (0.0, 0.0)
    settings = control.settings
    status = STATUS[state.status]
    hop = state.last_hop() or {}
    teaching = control.teaching.status(control.profile) if control.teaching else {}
    hint = control.hint.status(settings.threshold_db) if control.hint else {}
    stream = control.stream
    connections = {
        "input_device": stream.get("input"), "output_device": stream.get("output"),
        "connection": None,
    }  # fmt: skip
    if control.connections:
        found = control.connections.status()
        connections |= {name: value for name, value in found.items() if value is not None}
    return {
        "status": status,
        "stream_pid": state.pid,
        **{name: _known(value) for name, value in hop.items()},
        **{name: getattr(settings, name) for name in _SETTINGS},
        "muted": control.muted,
        "profile": control.profile,
        "input_latency_ms": _known(state.input_latency_ms),
        "output_latency_ms": _known(state.output_latency_ms),
        "engine_latency_ms": _known(state.queue_ms),
        "load_mean": round(mean, 4),
        "load_p99": round(p99, 4),
        "detector_late_ms": round(state.detector_late_ms, 3),
        **{name: getattr(state, name) for name in _COUNTS},
        "ears_heard": list(stream.get("ears_heard", [])),
        "ears_silent": dict(stream.get("ears_silent", {})),
        **connections,
        **hint,
        **teaching,
    }


def _known(value):
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value


def log_line(status):
    """A `snapshot` as one line for people."""
    if status["status"] != "running" or status.get("gain_db") is None:
        return f"{status['status']} | restarts {status['restarts']}"
    presence = "   -" if status["presence"] is None else f"{status['presence']:4.2f}"
    return (
        f"{status['reason']:<15} in {status['input_dbfs']:6.1f} dBFS | key "
        f"{status['key_level_dbfs']:6.1f} / {status['threshold_db']:.0f} | presence "
        f"{presence} | gain {status['gain_db']:6.1f} dB | "
        f"load {status['load_mean']:.0%} p99 {status['load_p99']:.0%} | xruns {status['xruns']} | "
        f"failures {status['detector_failures']}"
        + (f" | {status['hint']}" if status.get("hint") else "")
    )
