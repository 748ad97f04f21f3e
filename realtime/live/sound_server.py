"""What a PulseAudio server, or PipeWire's stand-in for one, says through ``pactl``."""

import json
import os
import re
import subprocess
from dataclasses import dataclass, field

from gate.errors import DeviceError

_TIMEOUT_S = 10.0


def pactl(*arguments, what="the sound server"):
    """Run ``pactl``; returns what it prints.

    Parameters
    ----------
    what : str
        Who asks, for messages.

    Raises
    ------
    DeviceError
    """
    try:
        done = subprocess.run(
            ["pactl", *arguments], capture_output=True, timeout=_TIMEOUT_S, encoding="utf-8",
            errors="replace", stdin=subprocess.DEVNULL, env=environment(),
        )  # fmt: skip
    except FileNotFoundError:
        raise DeviceError(
            f"{what} needs pactl: sudo apt install pulseaudio-utils libasound2-plugins"
        ) from None
    except subprocess.TimeoutExpired:
        raise DeviceError(f"{what}: the sound server does not answer") from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["pactl failed"])[0]
        if "Connection" in reason:
            raise DeviceError(
                f"{what}: no PulseAudio or PipeWire server is running: systemctl --user "
                f"start pipewire-pulse, or pulseaudio --start ({reason})"
            )
        raise DeviceError(f"{what}: pactl {arguments[0]}: {reason}")
    return done.stdout


def environment():
    """For ``pactl``: its words and numbers in the plain form."""
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def listed(kind):
    """Objects of the server: ``sources``, ``sinks``, ``source-outputs`` or ``sink-inputs``.

    Returns
    -------
    list of dict

    Raises
    ------
    DeviceError
    """
    text = pactl("--format=json", "list", kind)
    try:
        found = json.loads(text)
    except ValueError:
        raise DeviceError("the sound server: pactl is too old (16 or newer is needed)") from None
    return [thing for thing in found if isinstance(thing, dict)]


def modules_named(*names):
    """Modules that made sinks or sources of these names.

    Returns
    -------
    list of tuple of str
        Number and arguments.
    """
    found = []
    for line in pactl("list", "short", "modules").splitlines():
        number, _, rest = line.partition("\t")
        if any(f"sink_name={n} " in rest or f"source_name={n} " in rest for n in names):
            found.append((number, rest))
    return found


def unload_named(*names):
    """Remove the modules that made sinks or sources of these names; quiet where there is none.

    By name, never by a number from before: a server started anew counts from the beginning.
    """
    try:
        for number, _ in reversed(modules_named(*names)):
            pactl("unload-module", number)
    except DeviceError:
        pass


def format_of(thing):
    """Channels and sample rate of a source or sink; 0 where unknown."""
    found = re.search(r"(\d+)ch (\d+)Hz", thing.get("sample_specification", ""))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def default_source():
    """Name of the default source, or an empty text."""
    return pactl("get-default-source").strip()


@dataclass
class Graph:
    """What is connected to what in the server.

    Attributes
    ----------
    sources, sinks, source_outputs, sink_inputs : dict
        Number to what ``pactl`` says of it.
    """

    sources: dict = field(default_factory=dict)
    sinks: dict = field(default_factory=dict)
    source_outputs: dict = field(default_factory=dict)
    sink_inputs: dict = field(default_factory=dict)

    @classmethod
    def read(cls):
        """As it is now.

        Raises
        ------
        DeviceError
        """
        kinds = ("sources", "sinks", "source-outputs", "sink-inputs")
        return cls(*({thing["index"]: thing for thing in listed(kind)} for kind in kinds))

    def streams_of(self, kind, pid):
        """Streams of a process; `kind` is ``source_outputs`` or ``sink_inputs``."""
        return [
            stream for stream in getattr(self, kind).values()
            if str(stream.get("properties", {}).get("application.process.id")) == str(pid)
        ]  # fmt: skip

    def source_named(self, name):
        """A source by its name, or None."""
        return next((s for s in self.sources.values() if s["name"] == name), None)

    def feeding(self, source):
        """The stream that a source made of another one listens with, or None."""
        module = _module(source)
        return next(
            (o for o in self.source_outputs.values() if module and _module(o) == module), None
        )

    def heard_sinks(self, source_index):
        """Numbers of the sinks whose sound a source hears."""
        heard, seen, open_ends = set(), set(), [source_index]
        while open_ends:
            index = open_ends.pop()
            source = self.sources.get(index)
            if source is None or index in seen:
                continue
            seen.add(index)
            monitored = source.get("monitor_source")
            heard |= {i for i, s in self.sinks.items() if monitored and s["name"] == monitored}
            feeding = self.feeding(source) if not monitored else None
            if feeding is not None:
                open_ends.append(feeding["source"])
        return heard

    def reached_sinks(self, sink_index):
        """Numbers of the sinks that sound played on one reaches, by modules in between, too."""
        reached, open_ends = set(), [sink_index]
        while open_ends:
            index = open_ends.pop()
            if index in reached or index not in self.sinks:
                continue
            reached.add(index)
            passing = {_module(self.sinks[index])} | {
                _module(o) for o in self.source_outputs.values()
                if index in self.heard_sinks(o["source"])
            }  # fmt: skip
            open_ends += [
                i["sink"] for i in self.sink_inputs.values() if _module(i) in passing - {None}
            ]
        return reached

    def is_loop(self, source_index, sink_index):
        """Whether a stream from the source to the sink would hear itself."""
        return bool(self.heard_sinks(source_index) & self.reached_sinks(sink_index))


def _module(thing):
    """Number of the module that made it, or None; servers say it as a number or as text.

    A program's stream belongs to the module that speaks the protocol, which says nothing.
    """
    made = (thing.get("properties") or {}).get("pulse.module.id")
    if made is None and not str(thing.get("client") or "none").isdigit():
        made = thing.get("owner_module")
    text = str(made)
    return int(text) if text.isdigit() and int(text) < 2**32 - 1 else None
