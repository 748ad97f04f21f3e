"""Figures of a binary classifier, each under its own name.

For two classes a *micro-averaged* F1 counts every right answer as a true positive of some class
and every wrong one once as a false positive and once as a false negative, so it is the accuracy.
"""

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from training.audioset.settings import SECONDS


def evaluate(targets, scores, accuracy_threshold=0.5, f1_threshold=None):
    """Accuracy (= micro-F1), F1 of the positive class, AP and ROC-AUC.

    Parameters
    ----------
    targets, scores : array_like, shape (n,)
        0 or 1, both must occur; probability of the class.
    accuracy_threshold, f1_threshold : float
        At or above them a clip counts as positive; `f1_threshold` None takes the other.

    Returns
    -------
    figures : dict
        Those of `METRICS`.
    """
    targets = np.asarray(targets) > 0.5
    scores = np.asarray(scores)
    if f1_threshold is None:
        f1_threshold = accuracy_threshold
    called = scores >= f1_threshold
    hits = np.sum(called & targets)
    return {
        "accuracy": float(np.mean((scores >= accuracy_threshold) == targets)),
        "f1_class": float(2 * hits / max(called.sum() + targets.sum(), 1)),
        "ap": float(average_precision_score(targets, scores)),
        "roc_auc": float(roc_auc_score(targets, scores)),
    }


def choose_thresholds(targets, scores):
    """Thresholds that serve accuracy best and F1 of the class best.

    Returns
    -------
    accuracy_threshold, f1_threshold : float
        Midway between two neighbouring scores, averaged over the settings within 0.1 % of the
        best, because the very best of a finite set is a matter of luck.
    """
    targets = np.asarray(targets) > 0.5
    order = np.argsort(-np.asarray(scores), kind="stable")
    ranked, hits = np.asarray(scores)[order], np.cumsum(targets[order])
    called = np.arange(1, len(ranked) + 1)
    accuracy = (hits + (len(targets) - targets.sum()) - (called - hits)) / len(targets)
    f1 = 2 * hits / (called + targets.sum())
    below = np.append(ranked[1:], ranked[-1])
    middle = (ranked + below) / 2
    return tuple(float(middle[curve >= curve.max() - 0.001].mean()) for curve in (accuracy, f1))


def seconds_figures(clips, rows, strong_ids, coverage):
    """ROC-AUC of a score a second, rows past a clip's length left out.

    Parameters
    ----------
    clips : ClipSet
    rows : ndarray, shape (n, 10)
        Their scores.
    strong_ids, coverage : ndarray
        Of the labelled clips: names (m,), share of each second that is speech (m, 10).

    Returns
    -------
    figures : dict
        Those of `SECONDS`: seconds at least half speech against seconds without any, and against
        all others.
    """
    where = {video_id: i for i, video_id in enumerate(clips.video_ids)}
    pairs = [(where[v], row) for v, row in zip(strong_ids, coverage, strict=True) if v in where]
    scores = np.concatenate([rows[i, : clips.lengths[i]] for i, _ in pairs])
    share = np.concatenate([row[: clips.lengths[i]] for i, row in pairs])
    truth, clear = share >= 0.5, (share >= 0.5) | (share == 0.0)
    found = roc_auc_score(truth[clear], scores[clear]), roc_auc_score(truth, scores)
    return dict(zip(SECONDS, map(float, found), strict=True))
