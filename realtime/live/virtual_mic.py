"""A microphone that other programs can choose, on PulseAudio and on PipeWire's stand-in for it.

A null sink takes the gated sound; a remapped source of its monitor is the microphone (some
programs hide monitors). Names stay the same from run to run, so that call software finds its
microphone again.
"""

import os
import re
import sys
from dataclasses import replace

from gate.errors import DeviceError
from gate.settings import MAX_SAMPLE_RATE, MIN_SAMPLE_RATE
from realtime.live.sound_server import (
    default_source,
    format_of,
    listed,
    modules_named,
    pactl,
    unload_named,
)

SINK, SOURCE = "gate_live", "gate_live_mic"
_RATE = 48000  # what call software wants, where the source does not say
_ELSEWHERE = {
    "darwin": "install BlackHole (brew install blackhole-2ch) and use --output BlackHole",
    "win32": "install VB-CABLE (vb-audio.com/Cable) and use --output 'CABLE Input'",
}


class VirtualMic:
    """Makes the two modules in the sound server, and removes them.

    Raises
    ------
    DeviceError
        Where there is no such sound server; one line that says what to do.
    """

    def __init__(self):
        if sys.platform in _ELSEWHERE:
            raise DeviceError(f"--virtual-mic is for Linux: {_ELSEWHERE[sys.platform]}")
        self._environment = {}
        self._rate = _RATE

    def make(self):
        """Make the microphone, and send the output of programs started from here to it."""
        self._forget_old()
        source = os.environ.get("PULSE_SOURCE") or _some_source()
        self._load()
        self._set("PULSE_SINK", SINK)
        # Named, because the server might make the new microphone the default: a howling loop.
        self._set("PULSE_SOURCE", source)

    def ensure(self):
        """Make it again where the sound server was started anew; quiet where there is none."""
        try:
            if not modules_named(SINK):
                self._load()
        except DeviceError:
            pass

    def remove(self):
        """Remove it and put the environment back."""
        unload_named(SINK, SOURCE)
        for name, before in self._environment.items():
            if before is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = before

    def settings(self, live):
        """`LiveSettings` that play on it, at the rate of the source where none is asked for."""
        output = "pulse" if live.output is None else live.output
        rate = live.sample_rate
        if live.input in (None, "pulse"):
            live, rate = replace(live, input="pulse"), rate or _rate_of_source()
        self._rate = rate or _RATE
        return replace(live, output=output, sample_rate=rate, host_api=live.host_api or "alsa")

    def _load(self):
        about = f"device.description=gate-live gate.pid={os.getpid()}"
        _pactl(
            "load-module", "module-null-sink", f"sink_name={SINK}", f"rate={self._rate}",
            f"sink_properties='{about}'",
        )  # fmt: skip
        about = "device.description=gate-live-microphone"
        _pactl(
            "load-module", "module-remap-source", f"master={SINK}.monitor",
            f"source_name={SOURCE}", f"rate={self._rate}", f"source_properties='{about}'",
        )  # fmt: skip

    def _forget_old(self):
        """Remove what a run that was killed left behind."""
        for _, arguments in modules_named(SINK):
            owner = re.search(r"gate\.pid=(\d+)", arguments)
            if owner and int(owner[1]) != os.getpid() and _alive(int(owner[1])):
                raise DeviceError(
                    f"--virtual-mic: another gate-live (process {owner[1]}) already has it"
                )
        unload_named(SINK, SOURCE)

    def _set(self, name, value):
        self._environment.setdefault(name, os.environ.get(name))
        os.environ[name] = value


def _pactl(*arguments):
    return pactl(*arguments, what="--virtual-mic")


def _rate_of_source():
    """Sample rate of the source that the gate will listen to, so that nothing is converted."""
    try:
        name = os.environ.get("PULSE_SOURCE") or _some_source()
        source = next((s for s in listed("sources") if s["name"] == name), {})
    except DeviceError:
        return _RATE
    rate = format_of(source)[1]
    return rate if MIN_SAMPLE_RATE <= rate <= MAX_SAMPLE_RATE else _RATE


def _some_source():
    """The default source, or the first that there is."""
    names = [source["name"] for source in listed("sources")]
    if not names:
        raise DeviceError("--virtual-mic: the sound server has no microphone; plug one in")
    default = default_source()
    return default if default in names else names[0]


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
