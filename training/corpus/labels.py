"""Where does a clean recording sound?

Its own energy is on time to the hop but takes hum and key clicks between words for speech; a
teacher (see `training.voice.teachers`) knows speech but is late. Together: energy draws the
edges, the teacher says which stretches count. The trainer asks for a label a hop of 10 ms at
16 kHz, the evaluation sets for segments at any rate; one rule, `energy_activity`, decides both.
"""

from dataclasses import dataclass

import numpy as np

from gate.metrics import merge_segments, segments_of

MAX_PAUSE_S = 0.15
"""Pauses inside a phrase up to this long count as sounding."""

MIN_SEGMENT_S = 0.1
"""Shorter than this is no word."""

_HOP = 160
_FRAME_S = 0.005


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
    """Frames that sound by their own level in dB, before pauses are closed; bool."""
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
    near = _highest_near(heard, 10, 20) > 255 * settings.teacher_level
    label = active & near
    label = drop_short(close_gaps(label, settings.close_gap_hops), settings.drop_hops)
    # The teacher's hangover after a word is no disagreement.
    recent = _highest_near(label, 80, 0)
    disagree = ~label & (active | ((heard > 0.8 * 255) & ~recent))
    return label, ~disagree


def _highest_near(values, before, after):
    """Maximum over this frame, `before` frames before it and `after` frames after it."""
    padded = np.pad(values, (before, after), mode="symmetric")
    return np.lib.stride_tricks.sliding_window_view(padded, before + 1 + after).max(axis=-1)


def active_frames(samples, sample_rate):
    """Frames of 5 ms in which a recording sounds; bool.

    Levels are those of the 15 ms that end with the frame. Pauses and blips are left as they are.
    """
    frame = round(_FRAME_S * sample_rate)
    n = len(samples) // frame
    power = np.mean(np.square(samples[: n * frame].reshape(n, frame), dtype=np.float64), axis=1)
    total = np.concatenate([np.zeros(3), np.cumsum(power)])
    return energy_activity(10.0 * np.log10(np.maximum((total[3:] - total[:-3]) / 3.0, 1e-12)))


def wanted_segments(samples, sample_rate):
    """Segments in which clean speech sounds, shape (k, 2), seconds."""
    frames_per_s = sample_rate / round(_FRAME_S * sample_rate)
    segments = segments_of(active_frames(samples, sample_rate), frames_per_s)
    return without_blips(merge_segments(segments, MAX_PAUSE_S))


def without_blips(segments):
    """Segments long enough to be part of a word."""
    return segments[segments[:, 1] - segments[:, 0] >= MIN_SEGMENT_S]
