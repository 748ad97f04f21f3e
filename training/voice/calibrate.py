"""After training: calibrated presence and a rule that decides, both on dev data.

Presence of ``speech`` is calibrated: two numbers (slope and offset of the logit) are fitted on the
dev mixtures and folded into the network's last layer, so nothing is added to the graph. The
evidence rule, its threshold and what opening and shutting cost, is chosen under `Limits`.
`training.voice.recipe` says in which order.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import torch

from gate.decision import EvidenceRule
from gate.metrics import hop_labels
from training.voice.evaluate import GateChoice, judge

_CLEAN_TO_10DB = ("clean", "20 dB", "10 dB")
STREAM = {
    "thresholds": (0.5, 0.55, 0.6, 0.65, 0.7, 0.75),
    "open_costs": (0.5, 1.0, 1.5, 2.0),
    "shut_costs": (6.0, 7.0, 8.0, 10.0),
}
FILE = {
    "thresholds": (0.5, 0.55, 0.6, 0.65, 0.7),
    "open_costs": (3.0, 5.0, 8.0),
    "shut_costs": (6.0, 8.0, 10.0),
}
"""What is tried: as sound comes in, and where a recording is read back from its end."""

_FINALISTS = 8
_EXCESS_WEIGHT = 0.02
CLASSIC_HYSTERESIS = 0.1
"""Of presence where the classic rule is asked for."""


def speech_hops(recordings, every=3):
    """Speech logits and labels of hops of the mixtures: two arrays."""
    logits, labels = [], []
    for heard in recordings:
        if heard.s_level_db is None:
            continue
        presence = np.clip(heard.presence[:, 0].astype(np.float64), 1e-7, 1 - 1e-7)
        logits.append(np.log(presence / (1 - presence))[::every])
        labels.append(hop_labels(heard.segments, len(presence))[::every])
    return np.concatenate(logits), np.concatenate(labels)


def fit_slope_offset(logits, labels):
    """Slope and offset of the logit with the least cross entropy (Platt's calibration)."""
    x = torch.from_numpy(np.asarray(logits, dtype=np.float64))
    y = torch.from_numpy(np.asarray(labels, dtype=np.float64))
    pair = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([pair], max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(x * pair[0] + pair[1], y)
        loss.backward()
        return loss

    optimizer.step(closure)
    slope, offset = pair.detach().tolist()
    return slope, offset


def fold_in(net, slope, offset, column=0):
    """Apply slope and offset to a presence column of the network, in its last layer."""
    with torch.no_grad():
        net.heads.weight[column] *= slope
        net.heads.bias[column] = net.heads.bias[column] * slope + offset


def reliability(logits, labels, n_bins=10):
    """Rows (lower, upper, mean probability, share of speech, hops) and the calibration error.

    The error is the expected one: the mean over hops of the distance between a bin's mean
    probability and its share.
    """
    probability = 1.0 / (1.0 + np.exp(-np.asarray(logits)))
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    which = np.clip(np.digitize(probability, edges) - 1, 0, n_bins - 1)
    rows, error = [], 0.0
    for k in range(n_bins):
        inside = which == k
        if not inside.any():
            continue
        mean, share = float(probability[inside].mean()), float(np.mean(labels[inside]))
        rows.append((edges[k], edges[k + 1], mean, share, int(inside.sum())))
        error += inside.mean() * abs(mean - share)
    return rows, float(error)


@dataclass(frozen=True)
class Limits:
    """What a rule must keep on dev, some of it stricter than what is wanted.

    Attributes
    ----------
    open_share : tuple of (str, float)
        Largest share of time open of recordings without speech, a group.
    opens_per_segment : float
        Openings over the segments of the reference, of every group with speech.
    fec : tuple of (str, float)
        Largest share of wanted time lost at the front of segments, a group.
    onset_p50_ms, onset_p90_ms : float
        From clean down to 10 dB.
    """

    open_share: tuple = (
        ("noise", 0.005), ("held_noise", 0.01), ("music", 0.02), ("held_music", 0.02),
        ("human_nonspeech", 0.025), ("held_cry", 0.03), ("held_synth", 0.05),
    )  # fmt: skip
    opens_per_segment: float = 1.5
    fec: tuple = (
        ("clean", 0.025), ("20 dB", 0.03), ("10 dB", 0.035), ("5 dB", 0.05), ("0 dB", 0.08),
    )  # fmt: skip
    onset_p50_ms: float = 20.0
    onset_p90_ms: float = 110.0

    def excess(self, table):
        """How far a table of `Verdict.table` breaks the limits: 0 where it keeps them all.

        Each limit adds the share by which it is exceeded, at most 1.
        """
        total = 0.0
        for name, limits in (("open_share", self.open_share), ("fec", self.fec)):
            for group, limit in limits:
                if group in table:
                    total += _over(table[group][name], limit)
        for row in table.values():
            if np.isfinite(row["opens_per_segment"]):
                total += _over(row["opens_per_segment"], self.opens_per_segment)
        for group in _CLEAN_TO_10DB:
            if group in table:
                total += _over(table[group]["onset_p50_ms"], self.onset_p50_ms)
                total += _over(table[group]["onset_p90_ms"], self.onset_p90_ms)
        return total


def _over(value, limit):
    return float(np.clip(value / max(limit, 1e-9) - 1.0, 0.0, 1.0))


def mean_accuracy(table):
    """Mean balanced accuracy over the groups with speech."""
    values = [row["balanced_accuracy"] for row in table.values()]
    return float(np.nanmean(values))


def choose_rule(recordings, grid, limits=Limits(), **gate):
    """Search the evidence rule: all on every third recording, the best few on all.

    Parameters
    ----------
    recordings : list of Heard
        After `ask`.
    grid : dict of str to sequence of float
        ``thresholds``, ``open_costs``, ``shut_costs`` to try, each with each (`STREAM`).
    limits : Limits
    **gate
        Other fields of `GateChoice`.

    Returns
    -------
    list of (score, GateChoice, table)
        Best first; the score is the mean balanced accuracy less a fiftieth of the excess.
    """

    def ranked(choices, heard):
        found = []
        for choice in choices:
            table = judge(heard, choice).table()
            score = mean_accuracy(table) - _EXCESS_WEIGHT * limits.excess(table)
            found.append((score, choice, table))
        return sorted(found, key=lambda entry: -entry[0])

    choices = [
        GateChoice(EvidenceRule(*values), **gate) for values in itertools.product(*grid.values())
    ]
    if len(choices) > _FINALISTS:
        choices = [entry[1] for entry in ranked(choices, recordings[::3])[:_FINALISTS]]
    return ranked(choices, recordings)


def calibrate_presence(net, recordings):
    """Fit slope and offset on the mixtures and fold them into the network and the recordings.

    Returns
    -------
    dict
        ``slope``, ``offset``; ``error_before``, ``error_after`` (expected calibration error) and
        ``error_held_out``, the error on each half of the recordings with the numbers fitted on
        the other; the reliability rows ``before`` and ``after``.
    """
    logits, labels = speech_hops(recordings)
    held_out = _held_out_error(recordings)
    slope, offset = fit_slope_offset(logits, labels)
    fold_in(net, slope, offset)
    for heard in recordings:
        presence = np.clip(heard.presence[:, 0].astype(np.float64), 1e-7, 1 - 1e-7)
        scaled = slope * np.log(presence / (1 - presence)) + offset
        heard.presence[:, 0] = 1.0 / (1.0 + np.exp(-scaled))
    before, error_before = reliability(logits, labels)
    after, error_after = reliability(slope * logits + offset, labels)
    return {
        "slope": slope,
        "offset": offset,
        "error_before": error_before,
        "error_after": error_after,
        "error_held_out": held_out,
        "before": before,
        "after": after,
    }


def _held_out_error(recordings):
    """Calibration error on recordings that the numbers were not fitted on, mean of two halves."""
    mixtures = [heard for heard in recordings if heard.s_level_db is not None]
    clusters = sorted({heard.cluster for heard in mixtures})
    halves = [
        [heard for heard in mixtures if clusters.index(heard.cluster) % 2 == side]
        for side in (0, 1)
    ]
    errors = []
    for fitted, judged in (halves, halves[::-1]):
        slope, offset = fit_slope_offset(*speech_hops(fitted))
        logits, labels = speech_hops(judged)
        errors.append(reliability(slope * logits + offset, labels)[1])
    return float(np.mean(errors))


def only(rule):
    """The grid of one rule."""
    costs = {"open_costs": (rule.open_cost,), "shut_costs": (rule.shut_cost,)}
    return {"thresholds": (rule.threshold,), **costs}


def limits_of_files(table):
    """What a file's rule must keep beside a stream's table on the same recordings."""
    fec = tuple((group, row["fec"]) for group, row in table.items() if np.isfinite(row["fec"]))
    return Limits(opens_per_segment=1.1, fec=fec)


def describe(rule):
    """An evidence rule for people."""
    return (
        f"presence {rule.threshold:.2f} speaks neither way, opening costs {rule.open_cost:g} nats, "
        f"shutting {rule.shut_cost:g}"
    )
