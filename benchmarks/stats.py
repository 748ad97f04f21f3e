"""From clips' results to figures with bootstrap confidence intervals over recordings."""

from dataclasses import dataclass, fields
from statistics import NormalDist

import numpy as np

from gate.metrics import Tally, roc_auc

N_DRAWS = 1000
_BINS = 1024
_COUNTS = [f.name for f in fields(Tally)][:-1]


@dataclass
class ClipResult:
    """What one system did with one clip.

    Attributes
    ----------
    name, group, cluster : str
    tally : gate.metrics.Tally
    lost, passed : float
        Energies of (1 - g) s over s and of g n over n; nan where they are not known.
    loss : float
        Gated-signal loss; nan likewise.
    score, label : ndarray, shape (n_hops,)
        Presence known at each hop, and whether the sound is wanted there; empty without scores.
    """

    name: str
    group: str
    cluster: str
    tally: Tally
    lost: float = float("nan")
    passed: float = float("nan")
    loss: float = float("nan")
    score: np.ndarray = None
    label: np.ndarray = None

    @property
    def error(self):
        """Share of wanted time lost plus share of unwanted time passed."""
        summary = self.tally.summary()
        parts = [summary[name] for name in ("fec", "msc", "over", "nds")]
        return float(np.nansum(parts))


@dataclass(frozen=True)
class Figure:
    """A value and its 95 % interval."""

    value: float
    low: float = float("nan")
    high: float = float("nan")

    @property
    def half_width(self):
        """Half of the interval."""
        return 0.5 * (self.high - self.low)


def _power_db(ratio):
    """Decibels of a mean energy ratio; nan stays."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return 10.0 * np.log10(np.maximum(ratio, 1e-12)) + 0.0 * np.asarray(ratio)


def _scaled(score):
    """Scores on an even scale: logits of probabilities, levels in dB as they are."""
    if score.size and (score.min() < -1e-6 or score.max() > 1.0 + 1e-6):
        return np.clip((score + 100.0) / 100.0, 0.0, 1.0)
    p = np.clip(score, 1e-6, 1.0 - 1e-6)
    return (np.log(p / (1.0 - p)) + 14.0) / 28.0


def _histograms(results):
    """Counts (2, bins) of negative and positive hops by score."""
    counts = np.zeros((2, _BINS))
    for result in results:
        bins = np.minimum((_scaled(result.score) * _BINS).astype(int), _BINS - 1)
        for value in (0, 1):
            counts[value] += np.bincount(bins[result.label == bool(value)], minlength=_BINS)
    return counts


def _auc(counts):
    """ROC-AUC of histograms (..., 2, bins)."""
    negative, positive = counts[..., 0, :], counts[..., 1, :]
    below = np.cumsum(negative, axis=-1) - 0.5 * negative
    with np.errstate(invalid="ignore"):
        return np.sum(positive * below, axis=-1) / (positive.sum(axis=-1) * negative.sum(axis=-1))


def _point(results):
    summary = _total([r.tally for r in results]).summary()
    for name, to_figure in (("lost", _power_db), ("passed", _power_db), ("loss", float)):
        values = np.array([getattr(r, name) for r in results], dtype=np.float64)
        known = values[np.isfinite(values)]
        summary[name] = float(to_figure(known.mean())) if len(known) else float("nan")
    if results[0].score is not None:
        scores = np.concatenate([r.score for r in results])
        summary["auc"] = roc_auc(scores, np.concatenate([r.label for r in results]))
    else:
        summary["auc"] = float("nan")
    return summary


def _total(tallies):
    total = Tally()
    for tally in tallies:
        total = total + tally
    return total


def figures(results, seed=0):
    """Figures of one system on one group.

    Parameters
    ----------
    results : list of ClipResult
        At least one.
    seed : int
        Of the bootstrap: clusters are drawn with replacement, so that recordings which share
        sounds stay together.

    Returns
    -------
    dict of str to Figure
        The names of `gate.metrics.Tally.summary`, and ``auc``, ``lost`` and ``passed`` (dB) and
        ``loss``.
    """
    point = _point(results)
    clusters = {}
    for result in results:
        clusters.setdefault(result.cluster, []).append(result)
    members = list(clusters.values())
    if len(members) < 2:
        return {name: Figure(value) for name, value in point.items()}
    totals = [_total([r.tally for r in group]) for group in members]
    counts = np.array([[getattr(total, name) for name in _COUNTS] for total in totals])
    sums, known = {}, {}
    for name in ("lost", "passed", "loss"):
        rows = [np.array([getattr(r, name) for r in group], float) for group in members]
        sums[name] = np.array([np.nansum(row) for row in rows])
        known[name] = np.array([np.isfinite(row).sum() for row in rows])
    scored = results[0].score is not None
    histograms = np.array([_histograms(group) for group in members]) if scored else None

    weights = _draw_weights(len(members), seed, N_DRAWS)
    drawn = {name: np.empty(N_DRAWS) for name in point}
    all_delays = np.concatenate([total.onset_delays_s for total in totals])
    of_cluster = np.repeat(np.arange(len(totals)), [len(t.onset_delays_s) for t in totals])
    for k, weight in enumerate(weights):
        delays = np.repeat(all_delays, weight[of_cluster])
        tally = Tally(**dict(zip(_COUNTS, weight @ counts, strict=True)), onset_delays_s=delays)
        for name, value in tally.summary().items():
            drawn[name][k] = value
    with np.errstate(invalid="ignore", divide="ignore"):
        for name in ("lost", "passed", "loss"):
            means = (weights @ sums[name]) / (weights @ known[name])
            drawn[name] = means if name == "loss" else _power_db(means)
        if scored:
            n = len(members)
            flat = weights.astype(float) @ histograms.reshape(n, -1)
            drawn["auc"] = _auc(flat.reshape(N_DRAWS, 2, _BINS))
        else:
            drawn["auc"][:] = np.nan
    return {
        name: Figure(value, *_interval(drawn[name], len(members))) for name, value in point.items()
    }


def _draw_weights(n_clusters, seed, n_draws):
    """How often each cluster is in each draw, shape (n_draws, n_clusters)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), n_draws)


def _interval(drawn, n_clusters):
    """The 95 % interval of bootstrap draws, widened for few clusters; nan where it is not known.

    Percentile intervals of n recordings are too short, as a normal interval with sqrt(n) for
    sqrt(n - 1) and without Student's t would be; the percentiles are moved out by as much
    (Hesterberg 2015, "What teachers should know about the bootstrap", section 5). Where all
    draws agree, or where one in twenty has no value, the recordings do not tell how far the
    figure may vary.
    """
    known = drawn[np.isfinite(drawn)]
    if len(known) < 0.95 * len(drawn) or np.ptp(known) <= 1e-9:
        return float("nan"), float("nan")
    tail = 100.0 * NormalDist().cdf(
        -np.sqrt(n_clusters / (n_clusters - 1)) * _student_quantile(n_clusters - 1)
    )
    low, high = np.percentile(known, [tail, 100.0 - tail])
    return float(low), float(high)


def _student_quantile(freedom):
    """The 97.5 % quantile of Student's t, within 1 % from 3 degrees of freedom on."""
    z = NormalDist().inv_cdf(0.975)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return sum(term / freedom**k for k, term in enumerate(terms))


def paired_difference(results, reference, name, seed=0):
    """Mean difference of a measure between two systems on the same clips.

    Parameters
    ----------
    results, reference : list of ClipResult
        Of the same clips in the same order.
    name : {"loss", "lost", "passed", "error"}
    seed : int
        Of the bootstrap over clusters.

    Returns
    -------
    Figure
        Of ``results - reference``, over the clips on which both are known; nan without any.
    """
    sums = {}
    for ours, theirs in zip(results, reference, strict=True):
        difference = getattr(ours, name) - getattr(theirs, name)
        if np.isfinite(difference):
            total, count = sums.get(ours.cluster, (0.0, 0))
            sums[ours.cluster] = total + difference, count + 1
    if not sums:
        return Figure(float("nan"))
    table = np.array(list(sums.values()))
    value = float(table[:, 0].sum() / table[:, 1].sum())
    if len(table) < 2:
        return Figure(value)
    weights = _draw_weights(len(table), seed, N_DRAWS)
    drawn = (weights @ table[:, 0]) / (weights @ table[:, 1])
    return Figure(value, *_interval(drawn, len(table)))
