"""Frame labels of a clean recording: where does the wanted sound, sound?

A recording's own energy is on time to the hop but takes hum and key clicks between words for
speech; a teacher (see `training.voice.teachers`) knows speech but is late. Together: energy draws
the edges, the teacher says which stretches count. One label a hop of 10 ms.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter1d

_HOP = 160


@dataclass(frozen=True)
class LabelSettings:
    """How labels are drawn.

    Attributes
    ----------
    range_db : float
        A hop sounds when its level is within this many dB of the loud parts.
    above_floor_db : float
        And this far above the recording's own noise floor.
    noisy_range_db : float
        Where loud parts and floor are closer than `range_db`, at least this much below the
        loud parts still counts.
    close_gap_hops, drop_hops : int
        Pauses up to this length count as sounding; shorter sounds are dropped.
    teacher_level : float
        A stretch counts when the teacher's probability exceeds this nearby.
    """

    range_db: float = 30.0
    above_floor_db: float = 9.0
    noisy_range_db: float = 12.0
    close_gap_hops: int = 15
    drop_hops: int = 3
    teacher_level: float = 0.4


def hop_levels(samples):
    """Level of each hop in dBFS, shape (n_hops,), never below -120.

    A window of two hops ending with the hop, so that the wait between two glottal pulses does
    not show.
    """
    n_hops = len(samples) // _HOP
    power = np.mean(np.square(samples[: n_hops * _HOP].reshape(n_hops, _HOP)), axis=1)
    before = np.concatenate([power[:1] * 0.0, power[:-1]])
    return 10.0 * np.log10(np.maximum(0.5 * (power + before), 1e-12))


def close_gaps(active, hops):
    """Set the gaps of up to `hops` between active hops."""
    result = active.copy()
    for begin, end in runs(~active):
        if 0 < begin and end < len(active) and end - begin <= hops:
            result[begin:end] = True
    return result


def drop_short(active, hops):
    """Clear runs of active hops shorter than `hops`."""
    result = active.copy()
    for begin, end in runs(active):
        if end - begin < hops:
            result[begin:end] = False
    return result


def runs(active):
    """Half-open index pairs of the runs of True, shape (n_runs, 2)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], active.astype(np.int8), [0]])))
    return edges.reshape(-1, 2)


def energy_activity(levels, settings=LabelSettings()):
    """Hops that sound by their own energy, before pauses are closed; shape (n_hops,) bool."""
    if not len(levels):
        return np.zeros(0, dtype=bool)
    loud = np.percentile(levels[levels > levels.max() - 40.0], 90)
    floor = np.percentile(levels, 5)
    threshold = max(
        loud - settings.range_db,
        min(floor + settings.above_floor_db, loud - settings.noisy_range_db),
    )
    return levels > threshold


def sound_labels(samples, settings=LabelSettings()):
    """Labels of a recording that holds one event or a continuous sound; shape (n_hops,) bool."""
    active = energy_activity(hop_levels(samples), settings)
    return drop_short(close_gaps(active, settings.close_gap_hops), 2)


def speech_labels(samples, teacher=None, settings=LabelSettings()):
    """Speech labels of a clean recording.

    Parameters
    ----------
    samples : ndarray, shape (n,)
        At 16 kHz.
    teacher : ndarray, shape (n_hops,), uint8 or None
        Speech probability times 255, late at onsets.
    settings : LabelSettings

    Returns
    -------
    label : ndarray, shape (n_hops,), bool
    known : ndarray, shape (n_hops,), bool
        False where energy and teacher disagree: no loss there.
    """
    active = energy_activity(hop_levels(samples), settings)
    if teacher is None:
        label = drop_short(close_gaps(active, settings.close_gap_hops), settings.drop_hops)
        return label, np.ones(len(label), dtype=bool)
    n_hops = len(active)
    heard = np.zeros(n_hops, dtype=np.uint8)
    heard[: len(teacher)] = teacher[:n_hops]
    # Late by up to 200 ms at onsets; at ends it lets go within 100 ms.
    near = maximum_filter1d(heard, 31, origin=-5) > 255 * settings.teacher_level
    label = active & near
    label = drop_short(close_gaps(label, settings.close_gap_hops), settings.drop_hops)
    # The teacher's hangover after a word is no disagreement.
    recent = maximum_filter1d(label.astype(np.uint8), 81, origin=40) > 0
    disagree = ~label & (active | ((heard > 0.8 * 255) & ~recent))
    return label, ~disagree
