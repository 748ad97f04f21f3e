"""Settings of live use: which device, what goes on beside the sound, OSC and the page.

They stand beside the configuration, so that a command without sound loads nothing of live use.
"""

from dataclasses import dataclass

from gate import checks
from gate.errors import ConfigError
from gate.settings import MAX_CHANNELS, MAX_SAMPLE_RATE, MIN_SAMPLE_RATE

_MAX_DEVICE_CHANNELS = 256
DEFAULT_PAGE_PORT = 4283  # G A T E on a telephone's keys


@dataclass(frozen=True)
class LiveSettings:
    """What `gate-live` listens to and plays on.

    Attributes
    ----------
    input, output : int, str or None
        Device by number or by a part of its name; None takes the system's default.
    host_api : str or None
        Part of the name of a host API (ALSA, JACK, Core Audio, WASAPI ...) to look in.
    sample_rate : int or None
        8000..192000 Hz; None takes the input device's own.
    input_channels : tuple of int
        Channels of the input device to gate, counted from 1; up to 8.
    output_channels : tuple of int or None
        Where they go; None: one channel goes to the first two, several go one to one.
    key_channels : tuple of int or None
        Channels of the input device that key the gate instead of its own audio.
    latency : "auto", "low", "high" or float
        What to ask of the device; a number is in seconds, 0..2; auto is low, and 40 ms of a sound
        server's ALSA plug-in, which stutters at its low.
    realtime_priority : bool
        Ask the system for real-time scheduling of the audio thread, where it may be had.
    detector_budget_ms : "auto", "off" or float
        How long the detector may take for a hop before the gate fails open, 0.01..1000 ms;
        auto is the duration of a block, 1 to 5 ms.
    profiles : tuple of str
        Profiles to walk through with a key.
    record : str or None
        Folder for recordings; None records nothing.
    record_minutes : float
        A new file is begun after so long, 0.01..60.
    save : bool or str
        Keep what is taught while it runs: a name in the user's folder of profiles, or a path; true
        keeps it in the profile that runs, or under a name made of the date.
    """

    input: int | str | None = None
    output: int | str | None = None
    host_api: str | None = None
    sample_rate: int | None = None
    input_channels: tuple = (1,)
    output_channels: tuple | None = None
    key_channels: tuple | None = None
    latency: str | float = "auto"
    realtime_priority: bool = True
    detector_budget_ms: str | float = "auto"
    profiles: tuple = ()
    record: str | None = None
    record_minutes: float = 10.0
    save: bool | str = False

    def __post_init__(self):
        for name in ("input", "output"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | str)):
                raise ConfigError(f"{name}={value!r} must be a device's number or part of its name")
        for name in ("host_api", "record"):
            if getattr(self, name) is not None:
                checks.text(name, getattr(self, name))
        if self.sample_rate is not None:
            checks.whole("sample_rate", self.sample_rate, MIN_SAMPLE_RATE, MAX_SAMPLE_RATE, " Hz")
        self._set("input_channels", _channels("input_channels", self.input_channels, MAX_CHANNELS))
        for name in ("output_channels", "key_channels"):
            if getattr(self, name) is not None:
                self._set(name, _channels(name, getattr(self, name), _MAX_DEVICE_CHANNELS))
        outputs = self.output_channels
        if outputs is not None and len(self.input_channels) not in (1, len(outputs)):
            raise ConfigError(
                f"output_channels={_listed(outputs)} must be as many as "
                f"input_channels={_listed(self.input_channels)}, or that must be one"
            )
        if self.latency not in ("auto", "low", "high"):
            latency = checks.number("latency", self.latency, 0.0, 2.0, ", auto, low, high")
            self._set("latency", latency)
        if not isinstance(self.save, bool | str) or self.save == "":
            raise ConfigError(f"save={self.save!r} must be true, false, or a name or path")
        checks.switch("realtime_priority", self.realtime_priority)
        if self.detector_budget_ms is False:  # YAML reads a bare `off` as false
            self._set("detector_budget_ms", "off")
        if self.detector_budget_ms not in ("auto", "off"):
            budget = self.detector_budget_ms
            budget = checks.number("detector_budget_ms", budget, 0.01, 1e3, ", auto, off")
            self._set("detector_budget_ms", budget)
        profiles = self.profiles
        if isinstance(profiles, str) or not all(isinstance(p, str) for p in profiles or ()):
            raise ConfigError(f"profiles={profiles!r} must be a list of paths")
        self._set("profiles", tuple(profiles or ()))
        minutes = checks.number("record_minutes", self.record_minutes, 0.01, 60.0)
        self._set("record_minutes", minutes)

    def _set(self, name, value):
        object.__setattr__(self, name, value)


@dataclass(frozen=True)
class OscSettings:
    """Open Sound Control.

    Attributes
    ----------
    port : int or None
        UDP port to listen on, 1..65535; None does not listen.
    host : str
        Address to listen on. Anything but 127.0.0.1 lets the network change the gate.
    send_to : str or None
        ``host:port`` that always gets the meters.
    meter_rate_hz : float
        Meter messages a second, 1..100.
    """

    port: int | None = None
    host: str = "127.0.0.1"
    send_to: str | None = None
    meter_rate_hz: float = 20.0

    def __post_init__(self):
        if self.port is not None:
            checks.whole("port", self.port, 1, 65535)
        checks.text("host", self.host, "an address such as 127.0.0.1")
        if self.send_to is not None:
            self.destination  # noqa: B018 (checks)
        rate = checks.number("meter_rate_hz", self.meter_rate_hz, 1.0, 100.0)
        object.__setattr__(self, "meter_rate_hz", rate)

    @property
    def destination(self):
        """`send_to` as (host, port), or None."""
        if self.send_to is None:
            return None
        host, colon, port = str(self.send_to).rpartition(":")
        if not colon or not host or not port.isdigit():
            raise ConfigError(f"send_to={self.send_to!r} must be host:port")
        return host, checks.whole("send_to", int(port), 1, 65535)


def _channels(name, value, most):
    numbers = (value,) if isinstance(value, int) else value
    if isinstance(numbers, str) or not hasattr(numbers, "__iter__"):
        raise ConfigError(f"{name}={value!r} must be a list of channel numbers from 1")
    numbers = tuple(numbers)
    good = all(
        isinstance(n, int) and not isinstance(n, bool) and 1 <= n <= _MAX_DEVICE_CHANNELS
        for n in numbers
    )
    if not good or not 1 <= len(numbers) <= most or len(set(numbers)) != len(numbers):
        raise ConfigError(
            f"{name}={_listed(numbers)} must be 1 to {most} different channel numbers from 1"
        )
    return numbers


def _listed(numbers):
    return ",".join(str(n) for n in numbers)


@dataclass(frozen=True)
class PageSettings:
    """A page in the browser.

    Attributes
    ----------
    port : int or None
        TCP port on 127.0.0.1 to serve it on, 1..65535; None: no page.
    """

    port: int | None = None

    def __post_init__(self):
        if self.port is not None:
            checks.whole("page: port", self.port, 1, 65535)
