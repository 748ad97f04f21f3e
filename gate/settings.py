"""`GateSettings`: everything that a user can set, with its default, unit and range."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from gate import checks
from gate.errors import ConfigError
from gate.key import KeyBand

LEARNED = "learned"
"""Value of `attack_ms`, `hold_ms`, `release_ms` and `key` that leaves them to the detector."""

FILE = "file"
"""Value of `lookahead_ms` that decides with the whole recording in view; for files."""

MAX_CHANNELS = 8
MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 8000, 192000

RANGES = {
    "threshold_db": (-100.0, 0.0),
    "range_db": (-100.0, 0.0),
    "hysteresis_db": (0.0, 24.0),
    "attack_ms": (0.05, 500.0),
    "hold_ms": (0.0, 5000.0),
    "release_ms": (1.0, 5000.0),
    "lookahead_ms": (0.0, 100.0),
    "presence_threshold": (0.0, 1.0),
    "presence_hysteresis": (0.0, 1.0),
}
"""Smallest and largest value of each number, inclusive."""

CHOICES = {"mode": ("gate", "duck"), "stereo_link": ("linked", "independent")}

_LEARNABLE = ("attack_ms", "hold_ms", "release_ms", "presence_threshold", "presence_hysteresis")


@dataclass(frozen=True)
class GateSettings:
    """Settings of the gate; assign a new one between blocks at any time.

    Attributes
    ----------
    threshold_db : float
        Key level in dBFS that must be exceeded for the gate to open, -100..0.
    range_db : float
        Gain of the closed gate in dB, -100..0.
    hysteresis_db : float
        Once open, the gate stays open down to ``threshold_db - hysteresis_db``, 0..24.
    attack_ms, release_ms : float or "learned"
        Time for the gain to cover 63 % of its way to open (0.05..500), to closed (1..5000).
    hold_ms : float or "learned"
        How long the gate stays open after its condition has ended, 0..5000. Learned: as long as
        the evidence for the target lasts (`gate.decision`); a number brings back the classic
        rule, presence against its threshold and hysteresis.
    key : "learned", "off" or KeyBand
        What the threshold is applied to: the part of the spectrum that the detector takes for
        the wanted sound, everything up to 8 kHz, or a fixed band.
    key_listen : bool
        Output what the key lets through instead of the gated sound.
    target : str
        What is wanted: one of the detector's targets, such as ``speech`` or ``voice``.
    presence_threshold : float or "learned"
        Probability of the target that speaks neither for nor against opening, 0..1; 0 makes it
        a level gate, 1 never opens.
    presence_hysteresis : float or "learned"
        Once open, the gate stays open down to ``presence_threshold - presence_hysteresis``.
        Classic rule only; evidence has costs in its place.
    lookahead_ms : float or "file"
        Delay of the audio, so that the gate can open before the sound, and what a hop was is
        decided with what came after it, 0..100. For files also ``file``: with all that came
        after it, and without delay.
    mode : {"gate", "duck"}
        ``duck`` turns the wanted sound's time down by `range_db` and passes the rest.
    stereo_link : {"linked", "independent"}
        One decision for all channels, or one a channel.
    bypass : bool
        Pass everything; the gate goes on listening.

    Raises
    ------
    ConfigError
        Where a value breaks its rule.
    """

    threshold_db: float = -60.0
    range_db: float = -60.0
    hysteresis_db: float = 6.0
    attack_ms: float | str = LEARNED
    hold_ms: float | str = LEARNED
    release_ms: float | str = LEARNED
    key: str | KeyBand = LEARNED
    key_listen: bool = False
    target: str = "speech"
    presence_threshold: float | str = LEARNED
    presence_hysteresis: float | str = LEARNED
    lookahead_ms: float | str = 0.0
    mode: str = "gate"
    stereo_link: str = "linked"
    bypass: bool = False

    def __post_init__(self):
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if (name in _LEARNABLE and value == LEARNED) or (
                name == "lookahead_ms" and value == FILE
            ):
                continue
            also = " or 'learned'" if name in _LEARNABLE else ""
            object.__setattr__(self, name, checks.number(name, value, low, high, also))
        for name, choices in CHOICES.items():
            checks.one_of(name, getattr(self, name), choices)
        for name in ("key_listen", "bypass"):
            checks.switch(name, getattr(self, name))
        checks.text("target", self.target, "the name of a class")
        object.__setattr__(self, "key", _key(self.key))

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], where: str = "gate") -> "GateSettings":
        """Settings from a mapping such as the ``gate`` section of a configuration file.

        Parameters
        ----------
        mapping : Mapping
            Names and values; missing ones keep their default.
        where : str
            What to call the mapping in messages.

        Raises
        ------
        ConfigError
            For an unknown name (the nearest is suggested) or a value out of its range.
        """
        return cls().with_changes(mapping, where)

    def with_changes(self, mapping: Mapping[str, Any], where: str = "gate") -> "GateSettings":
        """A copy with the mapping's values; checks as `from_mapping` does."""
        checks.keys(mapping, [f.name for f in fields(self)], where)
        return replace(self, **mapping)

    def to_mapping(self) -> dict[str, Any]:
        """Plain names and values, ready for YAML."""
        return asdict(self)


def _key(value):
    if isinstance(value, Mapping):
        checks.keys(value, ["low_hz", "high_hz"], "key")
        missing = [name for name in ("low_hz", "high_hz") if name not in value]
        if missing:
            raise ConfigError(f"key: {missing[0]} is missing")
        value = KeyBand(**value)
    if isinstance(value, KeyBand):
        low = checks.number("key.low_hz", value.low_hz, 0.0, 8000.0)
        high = checks.number("key.high_hz", value.high_hz, 0.0, 8000.0)
        if low >= high:
            raise ConfigError(f"key.low_hz={low:g} must be below key.high_hz={high:g}")
        return KeyBand(low, high)
    if value is False:  # YAML reads a bare `off` as false
        return "off"
    if value not in (LEARNED, "off"):
        raise ConfigError(f"key={value!r} must be learned, off or {{low_hz, high_hz}}")
    return value


def check_format(sample_rate: int, channels: int) -> None:
    """Raise `ConfigError` for a stream format that the gate does not take."""
    checks.whole("sample_rate", sample_rate, MIN_SAMPLE_RATE, MAX_SAMPLE_RATE, " Hz")
    checks.whole("channels", channels, 1, MAX_CHANNELS)
