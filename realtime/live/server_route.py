"""Which source and sink of the sound server the gate uses, and how it gets their channels whole.

ALSA's way to the server asks for a number of channels and gets them in the order that it knows;
the server mixes whatever does not fit: one channel is a mix of all. So all channels of the source
are opened where its order is ALSA's own, and where it is another, a source is made that hands on
just the channels wanted, untouched.
"""

import os
import shutil
import sys
from dataclasses import replace

from gate.errors import ConfigError, DeviceError
from realtime.live.sound_server import default_source, format_of, listed, pactl, unload_named

CHANNELS_SOURCE = "gate_live_channels"
PLUGINS = ("pulse", "default", "pipewire")
"""ALSA's devices that lead to a sound server."""

_ORDERS = {
    1: "mono",
    2: "front-left,front-right",
    4: "front-left,front-right,rear-left,rear-right",
    6: "front-left,front-right,rear-left,rear-right,front-center,lfe",
    8: "front-left,front-right,rear-left,rear-right,front-center,lfe,side-left,side-right",
}


def has_server():
    """Whether ``pactl`` is there to ask a sound server."""
    return sys.platform.startswith("linux") and shutil.which("pactl") is not None


def server_table():
    """Sources and sinks of the sound server as text, for people; empty where there is none."""
    if not has_server():
        return ""
    try:
        found = [("input", s) for s in listed("sources")] + [("output", s) for s in listed("sinks")]
    except DeviceError:
        return ""
    rows = [("name (for --input, --output)", "", "channels", "Hz", "description")]
    for kind, thing in found:
        channels, rate = format_of(thing)
        rows.append((thing["name"], kind, str(channels), str(rate), thing.get("description", "")))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(["of the sound server (PulseAudio or PipeWire):", *map(str.rstrip, lines)])


class ServerRoute:
    """Takes names of the server's sources and sinks, and arranges for their channels.

    Parameters
    ----------
    live : LiveSettings

    Attributes
    ----------
    source, sink : str or None
        Names in the server where they were asked for by name.
    """

    def __init__(self, live):
        self._made = False
        self._before = {}
        self.source = self._named("sources", live.input)
        self.sink = self._named("sinks", live.output)
        for name, value in (("PULSE_SOURCE", self.source), ("PULSE_SINK", self.sink)):
            if value is not None:
                self._set(name, value)

    def _named(self, kind, name):
        """The source or sink of exactly this name, or None."""
        if not isinstance(name, str) or name.isdigit() or not has_server():
            return None
        try:
            return name if any(thing["name"] == name for thing in listed(kind)) else None
        except DeviceError:
            return None

    def settings(self, live):
        """`LiveSettings` that open ALSA's way to the server where a name was the server's."""
        changes = {}
        if self.source is not None:
            changes |= {"input": "pulse", "host_api": live.host_api or "alsa"}
        if self.sink is not None:
            changes |= {"output": "pulse", "host_api": live.host_api or "alsa"}
        return replace(live, **changes)

    def prepare(self, live):
        """How to open the input: called before every opening of the stream.

        Returns
        -------
        dict or None
            ``channels`` to open, and ``columns``: gated channel or key channel, counted from 1,
            to the column that it comes in. None where the server is not in between.

        Raises
        ------
        ConfigError
            For a channel that the source does not have.
        """
        if not has_server() or live.input not in (None, *PLUGINS):
            return None
        try:
            name = os.environ.get("PULSE_SOURCE") or default_source()
            if name == CHANNELS_SOURCE:
                name = self.source or default_source()
            source = next((s for s in listed("sources") if s["name"] == name), None)
            if source is None:
                return None
            return self._arranged(source, live)
        except DeviceError:
            return None

    def _arranged(self, source, live):
        n, _ = format_of(source)
        wanted = sorted({*live.input_channels, *(live.key_channels or ())})
        if n and wanted[-1] > n:
            raise ConfigError(
                f"input_channels={wanted[-1]}: source {source['name']!r} has {n} input channels"
            )
        if source["channel_map"] == _ORDERS.get(n) or n <= 1:
            return {"channels": max(n, 1), "columns": {c: c - 1 for c in wanted}}
        self._make_source(source, wanted)
        opened = _fitting(len(wanted))
        return {"channels": opened, "columns": {c: i for i, c in enumerate(wanted)}}

    def _make_source(self, source, wanted):
        """A source that hands on the wanted channels in an order that ALSA knows."""
        positions = source["channel_map"].split(",")
        n = _fitting(len(wanted))
        chosen = [positions[c - 1] for c in wanted]
        chosen += chosen[-1:] * (n - len(chosen))
        unload_named(CHANNELS_SOURCE)
        self._made = True
        pactl(
            "load-module", "module-remap-source", f"source_name={CHANNELS_SOURCE}",
            f"master={source['name']}", f"channels={n}", f"channel_map={_ORDERS[n]}",
            f"master_channel_map={','.join(chosen)}", "remix=no",
            "source_properties='device.description=gate-live-channels'",
        )  # fmt: skip
        self._set("PULSE_SOURCE", CHANNELS_SOURCE)
        self.source = self.source or source["name"]

    @property
    def asked_for(self):
        """Name of the source that the gate should listen to, or None for the default."""
        return self.source or os.environ.get("PULSE_SOURCE")

    def _set(self, name, value):
        self._before.setdefault(name, os.environ.get(name))
        os.environ[name] = value

    def close(self):
        """Remove what was made and put the environment back."""
        if self._made:
            unload_named(CHANNELS_SOURCE)
        for name, before in self._before.items():
            if before is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = before


def _fitting(n):
    """The smallest number of channels with a known order that holds n."""
    return next(size for size in _ORDERS if size >= n)
