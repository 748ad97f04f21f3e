"""The measures of a gate: what it cut from the wanted sound and what it let through.

Everything here works on times in seconds: wanted segments (from labels) against the stretches in
which the gate was open (from its gain curve). `measure` adds up seconds in a `Tally`; tallies of
many recordings add up too, and a tally turns into shares with `summary`. Where the wanted sound
and the rest are known apart, `gate.signal_metrics` says what the gain curve did to each.

Names follow the telephony literature on clipping by voice switches (FEC, MSC, OVER, NDS: Freeman
et al., "The voice activity detector for the Pan-European digital cellular mobile telephone
service", ICASSP 1989).
"""

from dataclasses import dataclass, field, fields

import numpy as np

from gate.errors import ConfigError

EARLY_S = 0.1
"""A gate that opened at most this long before a segment's start opened for it: delay 0."""


def validate_segments(segments, duration_s, name="segments"):
    """Check segments and return them as an array.

    Parameters
    ----------
    segments : array_like, shape (n, 2)
        Start and end in seconds, in order, not overlapping; n may be 0.
    duration_s : float
        Of the recording, > 0.
    name : str
        What to call them in messages.

    Returns
    -------
    ndarray, shape (n, 2), float64

    Raises
    ------
    ConfigError
        Where a rule is broken.
    """
    if not np.isfinite(duration_s) or duration_s <= 0:
        raise ConfigError(f"duration_s={duration_s} must be > 0")
    array = np.asarray(segments, dtype=np.float64)
    array = array.reshape(0, 2) if array.size == 0 else array
    if array.ndim != 2 or array.shape[1] != 2:
        raise ConfigError(f"{name} of shape {array.shape} must be (n, 2)")
    if not np.isfinite(array).all():
        raise ConfigError(f"{name} must be finite")
    if (array[:, 0] >= array[:, 1]).any():
        raise ConfigError(f"{name}: every start must be before its end")
    if (array[1:, 0] < array[:-1, 1]).any():
        raise ConfigError(f"{name} must be in order and must not overlap (see merge_segments)")
    if len(array) and (array[0, 0] < 0 or array[-1, 1] > duration_s + 1e-6):
        raise ConfigError(f"{name} must lie within 0 and {duration_s:g} s")
    return array


def merge_segments(segments, max_gap_s=0.0):
    """Union of segments that may overlap: sorted, gaps up to `max_gap_s` closed, shape (n, 2)."""
    array = np.asarray(segments, dtype=np.float64).reshape(-1, 2)
    array = array[array[:, 1] > array[:, 0]]
    array = array[np.argsort(array[:, 0], kind="stable")]
    if not len(array):
        return array
    reach = np.maximum.accumulate(array[:, 1])
    first = np.concatenate([[True], array[1:, 0] > reach[:-1] + max_gap_s])
    last = np.concatenate([first[1:], [True]])
    return np.column_stack([array[first, 0], reach[last]])


def clip_segments(segments, duration_s):
    """The part of the segments that lies within 0 and `duration_s`, shape (n, 2)."""
    array = np.clip(np.asarray(segments, dtype=np.float64).reshape(-1, 2), 0.0, duration_s)
    return array[array[:, 1] > array[:, 0]]


def segments_of(active, rate):
    """Segments in seconds of the runs of True in a boolean array at `rate` values a second."""
    active = np.asarray(active, dtype=bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(np.int8)))
    return edges.reshape(-1, 2) / float(rate)


def hop_labels(segments, n_hops, hop_s=0.01):
    """Whether the middle of each hop lies in a segment, shape (n_hops,), bool."""
    array = np.asarray(segments, dtype=np.float64).reshape(-1, 2)
    middles = (np.arange(n_hops) + 0.5) * hop_s
    begun = np.searchsorted(array[:, 0], middles, side="right")
    ended = np.searchsorted(array[:, 1], middles, side="right")
    return begun > ended


def open_segments(gain, sample_rate, range_db):
    """Stretches in which the gate is open, in seconds.

    Open means: gain above the midpoint in dB between 0 and `range_db`. Example: with a range of
    -60 dB, above -30 dB, that is above 0.0316.

    Parameters
    ----------
    gain : ndarray, shape (n,)
        Linear gain, one a sample.
    sample_rate : float
        Values of `gain` a second, > 0.
    range_db : float
        Gain of the closed gate, < 0.

    Returns
    -------
    ndarray, shape (m, 2)
    """
    gain = np.asarray(gain)
    if gain.ndim != 1 or not np.isfinite(gain).all():
        raise ConfigError(f"gain of shape {gain.shape} must be one finite row")
    if not sample_rate > 0:
        raise ConfigError(f"sample_rate={sample_rate} must be > 0")
    if not range_db < 0:
        raise ConfigError(f"range_db={range_db} must be < 0: a gate of range 0 is never shut")
    return segments_of(gain > 10.0 ** (range_db / 40.0), sample_rate)


@dataclass(frozen=True)
class Tally:
    """Seconds and counts of one recording, or of several added up.

    Attributes
    ----------
    duration_s, wanted_s : float
        Length, and how much of it is wanted.
    front_clipped_s, mid_clipped_s : float
        Wanted time lost before, and after, the gate first opened in each segment. A segment
        in which it never opens is front-clipped whole.
    overhang_s, noise_passed_s : float
        Unwanted time passed right after a segment until the gate closes, and otherwise.
    n_segments, n_missed, n_already_open : int
        Wanted segments; those in which the gate never opened; those at whose start it had been
        open for more than `EARLY_S`.
    n_opens : int
        Times the gate opened.
    onset_delays_s : ndarray
        From a segment's start to the opening, of all segments but those already open: 0 where
        the gate opened up to `EARLY_S` before; a missed segment counts with its length.
    """

    duration_s: float = 0.0
    wanted_s: float = 0.0
    front_clipped_s: float = 0.0
    mid_clipped_s: float = 0.0
    overhang_s: float = 0.0
    noise_passed_s: float = 0.0
    n_segments: int = 0
    n_missed: int = 0
    n_already_open: int = 0
    n_opens: int = 0
    onset_delays_s: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __add__(self, other):
        """Both recordings together."""
        both = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)[:-1]}
        delays = np.concatenate([self.onset_delays_s, other.onset_delays_s])
        return Tally(**both, onset_delays_s=delays)

    def summary(self):
        """Shares and rates, a dict; nan where there is nothing to take a share of.

        Returns
        -------
        dict of str to float
            ``fec``, ``msc`` (shares of wanted time), ``over``, ``nds`` (shares of unwanted
            time), ``balanced_accuracy`` (nan unless there is both), ``open_share`` (of all
            time), ``opens_per_minute``, ``segments_per_minute``, ``opens_per_segment``
            (chatter; 1 is perfect), ``missed_share`` and ``already_open_share`` (of segments),
            ``onset_p50_ms``, ``onset_p90_ms``, ``onset_p95_ms``.
        """
        unwanted = self.duration_s - self.wanted_s
        unwanted = unwanted if unwanted > 1e-9 else 0.0
        fec = _share(self.front_clipped_s, self.wanted_s)
        msc = _share(self.mid_clipped_s, self.wanted_s)
        over = _share(self.overhang_s, unwanted)
        nds = _share(self.noise_passed_s, unwanted)
        passed = self.wanted_s - self.front_clipped_s - self.mid_clipped_s
        result = {
            "balanced_accuracy": 1.0 - 0.5 * (fec + msc + over + nds),
            "fec": fec,
            "msc": msc,
            "over": over,
            "nds": nds,
            "open_share": _share(passed + self.overhang_s + self.noise_passed_s, self.duration_s),
            "opens_per_minute": _share(60.0 * self.n_opens, self.duration_s),
            "segments_per_minute": _share(60.0 * self.n_segments, self.duration_s),
            "opens_per_segment": _share(self.n_opens, self.n_segments),
            "missed_share": _share(self.n_missed, self.n_segments),
            "already_open_share": _share(self.n_already_open, self.n_segments),
        }
        for q in (50, 90, 95):
            delays = self.onset_delays_s
            value = float(np.percentile(delays, q)) * 1e3 if len(delays) else float("nan")
            result[f"onset_p{q}_ms"] = value
        return result


def _share(part, whole):
    return float(part) / float(whole) if whole else float("nan")


def measure(wanted, opened, duration_s):
    """Compare where the gate was open with where the wanted sound was.

    Parameters
    ----------
    wanted, opened : array_like, shape (n, 2)
        Segments in seconds.
    duration_s : float
        Of the recording.

    Returns
    -------
    Tally

    Examples
    --------
    Wanted from 1 to 3 s; open from 1.25 to 2, from 2.5 to 3.5 and from 5 to 6 of 8 s: 0.25 s
    are clipped at the front, 0.5 in the middle, 0.5 s hang over, 1 s of noise is passed.

    >>> t = measure([[1, 3]], [[1.25, 2], [2.5, 3.5], [5, 6]], 8.0)
    >>> t.front_clipped_s, t.mid_clipped_s, t.overhang_s, t.noise_passed_s
    (0.25, 0.5, 0.5, 1.0)
    """
    wanted = validate_segments(wanted, duration_s, "wanted")
    opened = validate_segments(opened, duration_s, "opened")
    starts, ends = opened[:, 0], opened[:, 1]
    lengths = np.cumsum(ends - starts)
    grid = np.concatenate([[0.0], opened.ravel()])
    so_far = np.column_stack([lengths - (ends - starts), lengths]).ravel()
    so_far = np.concatenate([[0.0], so_far])

    def open_until(t):
        """Total open time from 0 to each t."""
        return np.interp(t, grid, so_far)

    first, last = wanted[:, 0], wanted[:, 1]
    # The first open stretch that ends after the segment's start.
    index = np.searchsorted(ends, first, side="right")
    padded = np.append(starts, np.inf)
    opening = padded[index]
    reached = np.minimum(np.maximum(opening, first), last)
    missed = opening >= last
    early = first - opening
    already = early > EARLY_S
    mid = (last - reached) - (open_until(last) - open_until(reached))

    # What is still open when a segment ends, until it closes or the next segment starts.
    following = np.append(first[1:], duration_s)
    index = np.searchsorted(starts, last, side="left") - 1
    tail_end = np.append(ends, 0.0)[index]  # index -1 takes the 0: nothing opened before
    overhang = np.maximum(0.0, np.minimum(tail_end, following) - last)

    total_open = float(so_far[-1])
    inside = float(np.sum(open_until(last) - open_until(first)))
    return Tally(
        duration_s=float(duration_s),
        wanted_s=float(np.sum(last - first)),
        front_clipped_s=float(np.sum(reached - first)),
        mid_clipped_s=float(np.sum(np.maximum(mid, 0.0))),
        overhang_s=float(np.sum(overhang)),
        noise_passed_s=max(0.0, total_open - inside - float(np.sum(overhang))),
        n_segments=len(wanted),
        n_missed=int(np.sum(missed)),
        n_already_open=int(np.sum(already)),
        n_opens=int(np.sum(starts > 0.0)),
        onset_delays_s=(reached - first)[~already],
    )


def _scored(score, label):
    score = np.asarray(score, dtype=np.float64)
    label = np.asarray(label, dtype=bool)
    if score.ndim != 1 or score.shape != label.shape:
        raise ConfigError(f"score {score.shape} and label {label.shape} must be equal rows")
    if np.isnan(score).any():
        raise ConfigError("score must not be nan")
    return score, label


def roc_curve(score, label):
    """False and true positive rates over all thresholds, from (0, 0) to (1, 1).

    Parameters
    ----------
    score : array_like, shape (n,)
    label : array_like of bool, shape (n,)

    Returns
    -------
    false_positive_rate, true_positive_rate, threshold : ndarray
        The threshold at or above which a score counts as positive; +inf first.
    """
    score, label = _scored(score, label)
    order = np.argsort(-score, kind="stable")
    score, label = score[order], label[order]
    last = np.flatnonzero(np.append(np.diff(score), 1.0)[: len(score)])
    hits = np.concatenate([[0], np.cumsum(label)[last]])
    alarms = np.concatenate([[0], np.cumsum(~label)[last]])
    with np.errstate(invalid="ignore"):
        false_rate, true_rate = alarms / np.sum(~label), hits / np.sum(label)
    return false_rate, true_rate, np.concatenate([[np.inf], score[last]])


def roc_auc(score, label):
    """Probability that a positive scores above a negative; ties count half; nan without both."""
    score, label = _scored(score, label)
    if not 0 < label.sum() < len(label):
        return float("nan")
    false_rate, true_rate, _ = roc_curve(score, label)
    return float(np.sum(np.diff(false_rate) * 0.5 * (true_rate[1:] + true_rate[:-1])))
