"""The gate of this project, as files and live sound run it."""

import re
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.peers.base import Answer, System, processor_time
from benchmarks.quality.decisions import Decisions, Rule
from gate.decision import ClassicRule
from gate.errors import ConfigError
from gate.settings import FILE, LEARNED, GateSettings
from realtime.engine import open_detector, open_file_gate, open_gate

_PIECE_S = 10.0


@dataclass
class OurGate(System):
    """`GateProcessor` over the whole recording.

    Attributes
    ----------
    gate : GateSettings
    model : str, path, Detector or None
    profile : path-like or None
    """

    gate: GateSettings = field(default_factory=GateSettings)
    model: object = "voice"
    profile: object = None

    def __post_init__(self):
        if self.gate.mode != "gate" or self.gate.key_listen:
            raise ConfigError("mode=duck and key_listen have no gain curve of a gate to measure")
        self.range_db = self.gate.range_db
        self.latency_ms = 0.0 if self.in_hindsight else self.gate.lookahead_ms
        self._detector = open_detector(self.model, self.profile)

    @property
    def in_hindsight(self):
        """Whether recordings are read back from their end."""
        return self.gate.lookahead_ms == FILE

    def run(self, hearing):
        """Gate a row of ones keyed by the recording: what comes out is the gain."""
        rate, audio = hearing.sample_rate, hearing.audio
        gate = open_file_gate(self.gate, sample_rate=rate, model=self._detector)
        rows = []
        gate.on_hop = lambda lane, m: rows.append(
            (m.time_s, m.presence, m.key_level_dbfs, m.attack_ms, m.hold_ms, m.release_ms)
        )
        piece = round(_PIECE_S * rate)
        parts = (audio[begin : begin + piece] for begin in range(0, len(audio), piece))
        gains = [gate.feed(np.ones((len(part), 1), np.float32), part)[:, 0] for part in parts]
        gains.append(gate.finish()[:, 0])
        table = np.array(rows, dtype=np.float64).reshape(-1, 6)
        score = table[:, 2] if self.model is None else table[:, 1]
        known = table[:, 0] - gate.latency_samples / rate
        decisions = Decisions(known, score, table[:, 2], table[:, 3:] * 1e-3)
        return Answer(np.concatenate(gains), decisions)

    @property
    def timed(self):
        """What `cost_s` times."""
        return "whole gate, streamed in 10 ms blocks, 48 kHz"

    @property
    def rule(self):
        """The rule by which the gate follows its detector; None for a level gate."""
        if self.model is None:
            return None
        gate = self.gate
        threshold, hysteresis = (
            None if value == LEARNED else value
            for value in (gate.presence_threshold, gate.presence_hysteresis)
        )
        found = self._detector.info.rule(
            gate.target, gate.hold_ms != LEARNED, threshold, hysteresis, self.in_hindsight
        )
        costs = None if isinstance(found, ClassicRule) else (found.open_cost, found.shut_cost)
        return Rule(
            found.threshold, getattr(found, "hysteresis", 0.0), 0.0, costs,
            gate.threshold_db, gate.hysteresis_db, gate.range_db,
        )  # fmt: skip

    def cost_s(self, hearing):
        """Processor seconds to stream the recording in blocks of 10 ms, the whole path."""
        block = max(1, hearing.sample_rate // 100)
        gate = open_gate(self.gate, sample_rate=hearing.sample_rate, model=self._detector)
        audio = hearing.audio[:, None]
        begin = processor_time()
        for start in range(0, len(audio), block):
            gate.process(audio[start : start + block])
        return processor_time() - begin


def parse_variant(text, gate):
    """Name and settings of ``NAME:setting=value,setting=value``, over the given settings.

    Example: ``fixed:attack_ms=2,hold_ms=150,release_ms=40``, ``voice band:key=150-5000``.

    Raises
    ------
    ConfigError
    """
    name, colon, rest = text.partition(":")
    pairs = [part.partition("=") for part in rest.split(",") if part.strip()]
    if not (colon and name.strip() and pairs and all(equals for _, equals, _ in pairs)):
        raise ConfigError(f"variant={text!r} must be NAME:setting=value,setting=value")
    changes = {}
    for key, _, value in pairs:
        value = value.strip()
        band = re.fullmatch(r"([\d.]+)-([\d.]+)", value)
        if band:
            changes[key.strip()] = {"low_hz": float(band[1]), "high_hz": float(band[2])}
        elif re.fullmatch(r"[-+]?[\d.]+", value):
            changes[key.strip()] = float(value)
        else:
            changes[key.strip()] = {"true": True, "false": False}.get(value, value)
    return name.strip(), gate.with_changes(changes, f"variant {name.strip()!r}")


def our_systems(gate, model, profile=None, variants=()):
    """The gate as set; with lookahead where it has none, with one ear; and its variants.

    `variants` are texts for `parse_variant`.
    """
    detector = open_detector(model, profile)
    size, version = _size_and_name(detector)

    def system(name, settings, detector=detector, note=""):
        return OurGate(
            name, _describe(settings) + note, gate=settings, model=detector, version=version,
            size_bytes=size,
        )  # fmt: skip

    result = [system("this gate", gate)]
    if gate.lookahead_ms == 0.0:
        result.append(system("this gate, 20 ms ahead", replace(gate, lookahead_ms=20.0)))
        result.append(system("this gate, files", replace(gate, lookahead_ms=FILE)))
    if detector.info.ears and not profile:
        deaf = open_detector(model, ears=())
        result.append(system("this gate, one ear", gate, deaf, ", no second ear"))
    result += [system(*parse_variant(text, gate)) for text in variants]
    return result


def _describe(gate):
    """The settings that are not the default."""
    default = GateSettings()
    changed = {name: value for name, value in vars(gate).items() if value != getattr(default, name)}
    return ", ".join(f"{name}={value}" for name, value in changed.items()) or "as shipped"


def _size_and_name(detector):
    path = getattr(detector, "_path", None)
    return (path.stat().st_size if path is not None else 0), detector.info.name
