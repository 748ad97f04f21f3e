"""A microphone that other programs can choose, on PulseAudio and on PipeWire's stand-in for it.

A null sink takes the gated sound; a remapped source of its monitor is the microphone (some
programs hide monitors). Names stay the same from run to run, so that call software finds its
microphone again.
"""

import os
import re
import subprocess
import sys
from dataclasses import replace

from gate.errors import DeviceError

SINK, SOURCE = "gate_live", "gate_live_mic"
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
        self._modules = []
        self._environment = {}

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
            if f"sink_name={SINK} " not in _pactl("list", "short", "modules"):
                self._load()
        except DeviceError:
            pass

    def remove(self):
        """Remove it and put the environment back."""
        for module in reversed(self._modules):
            _unload(module)
        self._modules = []
        for name, before in self._environment.items():
            if before is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = before

    def settings(self, live):
        """`LiveSettings` that play on it."""
        output = "pulse" if live.output is None else live.output
        rate = live.sample_rate
        if live.input is None:  # the server converts; 48 kHz is what call software wants
            live, rate = replace(live, input="pulse"), rate or 48000
        return replace(live, output=output, sample_rate=rate, host_api=live.host_api or "alsa")

    def _load(self):
        about = f"device.description=gate-live gate.pid={os.getpid()}"
        sink = _pactl(
            "load-module", "module-null-sink", f"sink_name={SINK}", f"sink_properties='{about}'"
        )
        self._modules = [sink.strip()]
        about = "device.description=gate-live-microphone"
        source = _pactl(
            "load-module", "module-remap-source", f"master={SINK}.monitor",
            f"source_name={SOURCE}", f"source_properties='{about}'",
        )  # fmt: skip
        self._modules.append(source.strip())

    def _forget_old(self):
        """Remove what a run that was killed left behind."""
        for line in _pactl("list", "short", "modules").splitlines():
            module, _, rest = line.partition("\t")
            if f"sink_name={SINK} " not in rest and f"source_name={SOURCE} " not in rest:
                continue
            owner = re.search(r"gate\.pid=(\d+)", rest)
            if owner and int(owner[1]) != os.getpid() and _alive(int(owner[1])):
                raise DeviceError(
                    f"--virtual-mic: another gate-live (process {owner[1]}) already has it"
                )
            _unload(module)

    def _set(self, name, value):
        self._environment.setdefault(name, os.environ.get(name))
        os.environ[name] = value


def _some_source():
    """The default source, or the first that there is."""
    names = [line.split("\t")[1] for line in _pactl("list", "short", "sources").splitlines()]
    if not names:
        raise DeviceError("--virtual-mic: the sound server has no microphone; plug one in")
    default = _pactl("get-default-source").strip()
    return default if default in names else names[0]


def _unload(module):
    try:
        _pactl("unload-module", module)
    except DeviceError:  # it went with another, or with the server
        pass


def _pactl(*arguments):
    try:
        done = subprocess.run(
            ["pactl", *arguments], capture_output=True, text=True, timeout=5,
            stdin=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except FileNotFoundError:
        raise DeviceError(
            "--virtual-mic needs pactl: sudo apt install pulseaudio-utils libasound2-plugins"
        ) from None
    except subprocess.TimeoutExpired:
        raise DeviceError("--virtual-mic: the sound server does not answer") from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["pactl failed"])[0]
        if "Connection" in reason:
            raise DeviceError(
                "--virtual-mic: no PulseAudio or PipeWire server is running: systemctl --user "
                f"start pipewire-pulse, or pulseaudio --start ({reason})"
            )
        raise DeviceError(f"--virtual-mic: pactl {arguments[0]}: {reason}")
    return done.stdout


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
