"""How the devices are opened: which columns, which latency, and whose fault it is when not."""

from dataclasses import replace

from gate.errors import ConfigError, DeviceError, GateError, ModelError
from realtime.live.device_probe import probe_devices
from realtime.live.devices import choose_devices, explain
from realtime.live.server_route import PLUGINS

ERRORS = {"config": ConfigError, "model": ModelError, "device": DeviceError}
"""What an error is called in events; others are a failure."""

_SERVER_LATENCY_S = 0.04


def error_event(error):
    """An exception as an event."""
    kind = next((k for k, t in ERRORS.items() if isinstance(error, t)), "failure")
    text = str(error) if isinstance(error, GateError) else f"{type(error).__name__}: {error}"
    return {"event": "error", "kind": kind, "message": text}


def latency_for(live, source, sink):
    """What to ask of PortAudio: low, high or seconds."""
    if live.latency != "auto":
        return live.latency
    return _SERVER_LATENCY_S if source.is_plugin or sink.is_plugin else "low"


def input_columns(live, source, route):
    """Columns to gate, columns of the key or None, and how many to open.

    Of a sound server's source all channels are opened, or those that were picked out for us: the
    server would mix them else.
    """
    key = live.key_channels
    if route is not None and source.name in PLUGINS:
        column = route["columns"]
        key = key and [column[c] for c in key]
        return [column[c] for c in live.input_channels], key, route["channels"]
    columns = [c - 1 for c in live.input_channels]
    key = key and [c - 1 for c in key]
    return columns, key, max([*columns, *(key or [])]) + 1


def output_columns(live, sink):
    """Columns of the output, from 0."""
    if live.output_channels is not None:
        return [c - 1 for c in live.output_channels]
    n = len(live.input_channels)
    return list(range(min(2, max(sink.outputs, 1)))) if n == 1 else list(range(n))


def output_of(devices, live):
    """As `choose_devices`, for the output alone."""
    return choose_devices(
        [replace(d, inputs=max(d.inputs, 1)) for d in devices], replace(live, input=live.output)
    )


def looks_complete(live):
    """Whether the devices that the settings ask for are there, as a fresh process sees them."""
    try:
        choose_devices(probe_devices(), live)
    except GateError:
        return False
    return True


def at_fault(sd, error, source, sink, channels, rate):
    """The error as one line about the device that it is about."""
    for kind, device, n, check in (
        ("input", source, channels[0], sd.check_input_settings),
        ("output", sink, channels[1], sd.check_output_settings),
    ):
        try:
            check(device=device.index, channels=n, dtype="float32", samplerate=rate)
        except Exception as found:
            return explain(found, f"{kind} {device.name!r}", rate, device.sample_rate)
    names = f"input {source.name!r}, output {sink.name!r}"
    return explain(error, names, rate, source.sample_rate)
