"""What a gate shows: the state of its last hop, and what it survived."""

from dataclasses import dataclass, field, fields

import numpy as np

from gate.control import Reason

_REASONS = {reason.label: int(reason) for reason in Reason}


def _traced(form, **options):
    """A field that stands in traces, and how it is written there."""
    return field(metadata={"format": form}, **options)


@dataclass(frozen=True)
class Meters:
    """What a lane knew and did on its last hop.

    Traces, shared memory, OSC and JSON take the names from here.

    Attributes
    ----------
    time_s : float
        Time from reset to the end of the hop, in seconds of input.
    input_dbfs, key_level_dbfs : float
        Levels of the key signal, whole and weighted by the key.
    presence : float
        Of the target, 0..1.
    open : bool
        Whether the gate is open on the samples that follow the hop.
    gain_db : float
        Gain at `time_s`.
    attack_ms, hold_ms, release_ms : float
        Ballistics in force.
    key_low_hz, key_high_hz : float
        Band in which the key is above half its maximum.
    reason : str
        Why: see `gate.control.Reason`.
    evidence, evidence_low, evidence_high : float
        What has been heard for the target, in nats (the gate is present above 0), and its
        bounds; all 0 where the classic rule decides.
    ears : int
        Second ears that were heard.
    """

    time_s: float = _traced("%.4f")
    input_dbfs: float = _traced("%.2f")
    key_level_dbfs: float = _traced("%.2f")
    presence: float = _traced("%.4f")
    evidence: float = _traced("%.3f", default=0.0, kw_only=True)
    evidence_low: float = field(default=0.0, kw_only=True)
    evidence_high: float = field(default=0.0, kw_only=True)
    open: bool = _traced("%d")
    gain_db: float = _traced("%.2f")
    attack_ms: float = _traced("%.2f")
    hold_ms: float = _traced("%.1f")
    release_ms: float = _traced("%.1f")
    key_low_hz: float = _traced("%.0f")
    key_high_hz: float = _traced("%.0f")
    ears: int = field(default=0, kw_only=True)
    reason: str = _traced("%s")


class MeterTable:
    """The `Meters` of many hops, an array (T,) a name.

    Parameters
    ----------
    **columns : ndarray or number
        By the names of `Meters`; a number counts for every hop. `reason` as `Reason`'s numbers.
    """

    names = tuple(f.name for f in fields(Meters))

    def __init__(self, **columns):
        n = len(columns["time_s"])
        ordered = ((name, columns[name]) for name in self.names)
        self._columns = {k: np.asarray(c) if np.ndim(c) else np.full(n, c) for k, c in ordered}

    @classmethod
    def of(cls, meters):
        """The table of a list of `Meters`."""
        columns = {name: [getattr(row, name) for row in meters] for name in cls.names}
        columns["reason"] = [_REASONS[label] for label in columns["reason"]]
        return cls(**columns)

    def __len__(self):
        return len(self._columns["time_s"])

    def __getitem__(self, name):
        return self._columns[name]

    def first(self, n):
        """The first n hops, a MeterTable."""
        return MeterTable(**{name: column[:n] for name, column in self._columns.items()})

    def rows(self):
        """Each hop's `Meters`, in order."""
        columns = {name: column.tolist() for name, column in self._columns.items()}
        columns["reason"] = [Reason(number).label for number in columns["reason"]]
        for values in zip(*columns.values(), strict=True):
            yield Meters(**dict(zip(columns, values, strict=True)))


@dataclass
class Counters:
    """What went wrong and was survived.

    Attributes
    ----------
    hops, open_hops, failed_hops : int
        Decisions taken; those that left the gate open, held included; those taken without the
        detector (the gate was open).
    opens : int
        Times the gate went from shut to open.
    detector_failures : int
        Times the detector raised or returned what is not finite.
    ear_failures : int
        Times a second ear did; it is silent until it answers again.
    nonfinite_samples : int
        Input samples replaced by silence.
    """

    hops: int = 0
    open_hops: int = 0
    opens: int = 0
    failed_hops: int = 0
    detector_failures: int = 0
    ear_failures: int = 0
    nonfinite_samples: int = 0

    def reset(self):
        """Back to nothing; whoever holds them sees it."""
        for counter in fields(self):
            setattr(self, counter.name, counter.default)
