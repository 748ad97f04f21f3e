"""PortAudio: loading it, its devices by number or name, and its errors in plain words."""

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from gate.errors import ConfigError, DeviceError

_NO_LIBRARY = (
    "the PortAudio library is missing: sudo apt install libportaudio2 (Debian, Ubuntu), "
    "brew install portaudio (macOS)"
)
_NO_DEVICE = (
    "no audio device: plug one in or start a sound server (Debian: sudo apt install pipewire-pulse "
    "libasound2-plugins, or jackd2); gate-live --list-devices shows what is there"
)


@dataclass(frozen=True)
class Device:
    """A device of PortAudio.

    Attributes
    ----------
    index : int
    name, host_api : str
    inputs, outputs : int
        Channels.
    sample_rate : int
        Its own, Hz.
    default_input, default_output : bool
        Whether it is the host API's default.
    """

    index: int
    name: str
    host_api: str
    inputs: int
    outputs: int
    sample_rate: int
    default_input: bool = False
    default_output: bool = False

    def channels(self, kind):
        """Channels for ``input`` or ``output``."""
        return self.inputs if kind == "input" else self.outputs

    @property
    def is_jack(self):
        """Whether it belongs to JACK, whose devices share one clock."""
        return "JACK" in self.host_api

    @property
    def is_plugin(self):
        """Whether it is a plug-in of ALSA, such as a sound server's, and no hardware."""
        return self.host_api == "ALSA" and "(hw:" not in self.name

    def is_default(self, kind):
        """Whether it is the default of its host API for ``input`` or ``output``."""
        return self.default_input if kind == "input" else self.default_output


@contextlib.contextmanager
def quiet():
    """Send what C libraries print (ALSA and JACK print a lot) to nowhere."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield
    finally:
        for number, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)


def load_portaudio():
    """The `sounddevice` module.

    Raises
    ------
    DeviceError
        One line that names the package to install.
    """
    try:
        import sounddevice
    except OSError:
        raise DeviceError(_NO_LIBRARY) from None
    except ImportError as error:
        raise DeviceError(f"{error}: pip install sounddevice") from None
    except Exception as error:
        raise explain(error, "PortAudio") from None
    return sounddevice


def query_devices():
    """All devices that PortAudio sees.

    Returns
    -------
    list of Device

    Raises
    ------
    DeviceError
    """
    sd = load_portaudio()
    try:
        apis = sd.query_hostapis()
        found = list(sd.query_devices())
    except sd.PortAudioError as error:
        raise explain(error, "PortAudio") from None
    return [
        Device(
            index=d["index"],
            name=d["name"],
            host_api=apis[d["hostapi"]]["name"],
            inputs=d["max_input_channels"],
            outputs=d["max_output_channels"],
            sample_rate=round(d["default_samplerate"]),
            default_input=apis[d["hostapi"]]["default_input_device"] == d["index"],
            default_output=apis[d["hostapi"]]["default_output_device"] == d["index"],
        )
        for d in found
    ]


def devices_table(devices):
    """The devices as text, one a line, for people.

    Raises
    ------
    DeviceError
        If there are none.
    """
    if not devices:
        raise DeviceError(no_device_reason())
    rows = [("", "no", "device", "host API", "in", "out", "Hz")]
    for d in devices:
        mark = (">" if d.default_input else "") + ("<" if d.default_output else "")
        rows.append(
            (mark, str(d.index), d.name, d.host_api, str(d.inputs), str(d.outputs),
             f"{d.sample_rate}")
        )  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(7)]
    numbers = (1, 4, 5, 6)
    lines = []
    for row in rows:
        cells = (
            c.rjust(w) if i in numbers else c.ljust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
    return "\n".join([*lines, "", "> default input   < default output   of its host API"])


def choose_devices(devices, live):
    """The input and the output device that the settings ask for.

    Parameters
    ----------
    devices : list of Device
    live : LiveSettings

    Returns
    -------
    tuple of Device

    Raises
    ------
    ConfigError
        For a name that fits several devices.
    DeviceError
        For one that is not there.
    """
    if not devices:
        raise DeviceError(no_device_reason())
    if live.host_api is not None:
        known = sorted({d.host_api for d in devices})
        devices = [d for d in devices if live.host_api.lower() in d.host_api.lower()]
        if not devices:
            raise DeviceError(
                f"host_api={live.host_api!r} has no devices (with devices: {', '.join(known)})"
            )
    chosen = {}
    named = [kind for kind in ("input", "output") if getattr(live, kind) is not None]
    for kind in [*named, *({"input", "output"} - set(named))]:
        other = next(iter(chosen.values()), None)
        nearby = [d for d in devices if other is None or d.host_api == other.host_api]
        query = getattr(live, kind)
        pool = nearby if query is None else devices
        chosen[kind] = find_device(pool, query, kind, other and other.host_api)
    return chosen["input"], chosen["output"]


def find_device(devices, query, kind, near=None):
    """One device by number, part of a name, or the default.

    Parameters
    ----------
    devices : list of Device
    query : int, str or None
    kind : {"input", "output"}
    near : str, optional
        Host API to prefer where a name is found in several.

    Raises
    ------
    ConfigError, DeviceError
    """
    usable = [d for d in devices if d.channels(kind) > 0]
    if query is None:
        if not usable:
            raise DeviceError(f"no {kind} device; gate-live --list-devices shows what is there")
        if any(d.is_jack for d in usable):  # better than ALSA's way round to the same server
            usable = [d for d in usable if not (d.is_plugin and d.name == "jack")]
        return next((d for d in usable if d.is_default(kind)), usable[0])
    if isinstance(query, int) or query.isdigit():
        for d in usable:
            if d.index == int(query):
                return d
        raise DeviceError(f"{kind}={query} is no {kind} device; see gate-live --list-devices")
    wanted = query.lower()
    words = wanted.split()
    found = (
        [d for d in usable if d.name.lower() == wanted]
        or [d for d in usable if wanted in d.name.lower()]
        or [d for d in usable if all(w in f"{d.name} {d.host_api}".lower() for w in words)]
    )
    if not found:
        raise DeviceError(f"{kind}={query!r} fits no {kind} device; see gate-live --list-devices")
    if len({d.name for d in found}) > 1:
        names = ", ".join(f"{d.index} {d.name!r}" for d in found[:5])
        raise ConfigError(f"{kind}={query!r} fits {len(found)} devices ({names}); say which")
    return next((d for d in found if d.host_api == near), found[0])


def no_device_reason():
    """Why there is no device at all, in one line, as far as it can be found out."""
    sound = Path("/dev/snd")
    cards = [p for p in sound.glob("pcm*")] if sound.is_dir() else []
    if cards and not any(os.access(p, os.R_OK | os.W_OK) for p in cards):
        return (
            "no permission for /dev/snd: sudo usermod -aG audio $USER, then log in again "
            "(or use a sound server)"
        )
    return _NO_DEVICE


def explain(error, what, sample_rate=None, own_rate=None):
    """A PortAudio error as a `DeviceError` of one line that says what to do.

    Parameters
    ----------
    error : Exception
    what : str
        What was being opened.
    sample_rate, own_rate : int, optional
        Asked for, and the device's own.
    """
    code = error.args[1] if len(error.args) > 1 else None
    text = str(error.args[0] if error.args else error).splitlines()[0]
    advice = {
        -9997: f"does not do {sample_rate} Hz: try --sample-rate {own_rate}",
        -9985: "is busy or held by another program: close that, or choose a sound server's "
        "device (pulse, pipewire, default)",
        -9984: "does not go together with the other device: choose both from one host API",
        -9998: "does not have that many channels; see gate-live --list-devices",
        -9996: "is not there; see gate-live --list-devices",
        -9986: "has an internal error: is the sound server running?",
        -9999: "refused by the system: permission for the microphone, or the device's exclusive "
        "mode in another program",
    }.get(code)
    if advice is None:
        return DeviceError(f"{what}: {text}")
    return DeviceError(f"{what} {advice} ({text.split(':')[0]})")
