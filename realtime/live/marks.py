"""What was heard lately, as an example of what should open the gate or should not."""

from dataclasses import dataclass, replace

import numpy as np

from gate.control import Reason
from gate.errors import GateError
from gate.features import MelSettings, mel_edges_hz
from gate.signal_metrics import a_weighting
from realtime.learn.recording import (
    FINE_PER_HOP,
    OPEN,
    SHUT,
    UNKNOWN,
    Recording,
    find_sounding,
    pack_ears,
    pack_energy,
    pack_log_mel,
)
from realtime.live.shared_state import REASONS, column, present

MARK_HOPS = 500
"""A mark takes up to the last five seconds."""

CORRECTION_HOPS = 200
"""A correction is about the last two."""

_LEAST_HOPS = 20
_OPEN_SHARE = 0.1  # of the last two seconds: from here on, what was wrong was opening
_TOO_QUIET_DBFS, _TOO_LOUD_DBFS = -65.0, -6.0  # of the loud hops; a full-scale sine has -3.01
_ENERGY_SCALE = 10.0**-4.5  # from magnitudes of the 512-point spectrum to mean squares (measured)
_SIDES = {OPEN: "open", SHUT: "shut"}
_FAILED = REASONS.index(Reason.DETECTOR_FAILED)


@dataclass(frozen=True)
class Mark:
    """One thing that a person said about what was heard.

    Attributes
    ----------
    recording : Recording
    what : {"open", "shut", "opened wrongly", "stayed shut wrongly"}
    level_dbfs : float
        Of its loud hops.
    """

    recording: Recording
    what: str
    level_dbfs: float

    @property
    def is_correction(self):
        """Whether it says that the gate was wrong."""
        return self.what.endswith("wrongly")

    @property
    def level(self):
        """``too quiet``, ``too loud`` or ``ok``."""
        if self.level_dbfs < _TOO_QUIET_DBFS:
            return "too quiet"
        return "too loud" if self.level_dbfs > _TOO_LOUD_DBFS else "ok"

    def seconds_of(self, label):
        """Seconds of sound of `OPEN` or `SHUT`."""
        return self.recording.seconds_of(label)


def mark_of(state, label, after_row, number):
    """The last seconds as an example.

    Parameters
    ----------
    state : SharedState
    label : int
        `OPEN` or `SHUT`.
    after_row : int
        Number of the hop from which on nothing has been marked yet.
    number : int
        For its name.

    Returns
    -------
    Mark
    int
        Number of the hop after it.

    Raises
    ------
    GateError
        If there is nothing new to mark.
    """
    hops, log_mel, ears, row = _heard(state, max(after_row, state.hop_rows - MARK_HOPS))
    side = _SIDES[label]
    recording = _recording(f"heard {number} ({side})", log_mel, ears, label)
    level = float(np.percentile(column(hops, "input_dbfs"), 90))
    return Mark(recording, side, level), row


def correction_of(state, stays_present, number):
    """The last two seconds as an example of the other side than the gate took them for.

    Parameters
    ----------
    state : SharedState
    stays_present : float
        Presence from which on an open gate stays open by the classic rule.
    number : int
        For its name.

    Returns
    -------
    Mark

    Raises
    ------
    GateError
        If nothing has been heard yet.
    """
    hops, log_mel, ears, _ = _heard(state, state.hop_rows - CORRECTION_HOPS)
    opened = column(hops, "open").mean() >= _OPEN_SHARE
    what = "opened wrongly" if opened else "stayed shut wrongly"
    recording = _recording(f"correction {number} ({what})", log_mel, ears, UNKNOWN)
    # What was right of these two seconds is not to be unlearned.
    wrong = recording.sounding & (present(hops, stays_present) == opened)
    if not wrong.any():
        wrong = recording.sounding
    label = np.where(wrong, SHUT if opened else OPEN, UNKNOWN).astype(np.int8)
    level = float(np.percentile(column(hops, "input_dbfs"), 90))
    return Mark(replace(recording, label=label), what, level)


def _heard(state, row):
    """Hops from a row on that the detector heard; those without it are left out."""
    hops, log_mel, ears, end = state.heard_since(max(row, 0))
    known = column(hops, "reason") != _FAILED
    if known.sum() < _LEAST_HOPS:
        raise GateError("nothing new has been heard yet" if end else "nothing has been heard yet")
    return hops[known], log_mel[known], ears[known], end


def _recording(name, log_mel, ears, label):
    return Recording(
        name, pack_log_mel(log_mel), pack_energy(energy_of(log_mel)),
        np.full(len(log_mel), label, np.int8), find_sounding(log_mel),
        pack_ears(ears) if ears.shape[1] else None,
    )  # fmt: skip


def energy_of(log_mel):
    """A-weighted mean squares in steps of 2.5 ms, as far as log-mel hops can tell.

    Parameters
    ----------
    log_mel : ndarray, shape (T, 64)

    Returns
    -------
    ndarray, shape (4 T,)
        White noise and speech come out within 1 dB of `gate.signal_metrics.weighted_energy`, a
        sudden onset smeared over the 25 ms of the analysis window.
    """
    mel = MelSettings()
    edges = mel_edges_hz(mel)
    bins = (edges[2:] - edges[:-2]) / 2.0 * mel.n_fft / mel.sample_rate
    weights = _ENERGY_SCALE * np.square(a_weighting(edges[1:-1])) / bins
    level = np.log(np.exp(2.0 * log_mel.astype(np.float64)) @ weights + 1e-14)
    # Hop h's window of 25 ms has its middle at 10 h - 2.5 ms, step j of 2.5 ms at 2.5 j + 1.25.
    n_hops = len(level)
    at = (np.arange(FINE_PER_HOP * n_hops) + 1.5) / FINE_PER_HOP
    return np.exp(np.interp(at, np.arange(n_hops), level))


def seconds(marks, label):
    """Seconds of sound of a side over many marks."""
    return float(sum(mark.seconds_of(label) for mark in marks))
