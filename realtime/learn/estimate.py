"""What a taught gate will do, from hops that it did not learn from, and where it will be wrong."""

import numpy as np

from gate.metrics import measure, open_segments, roc_auc, segments_of
from realtime.learn.gate_fit import Evidence, curve, fit_rule
from realtime.learn.head import sigmoids
from realtime.learn.recording import FINE_PER_HOP, HOP_S

_SURE_WEIGHT = 0.5


def decide_honestly(hops, scores, counted, fit):
    """What gates do on each fold whose rule was fitted on the other folds, (once,) bool.

    Parameters
    ----------
    hops : realtime.learn.hops.Hops
    scores, counted : ndarray, shape (once,)
        By heads that have not seen a hop's fold; how much a hop counts.
    fit : realtime.learn.gate_fit.GateFit
        In force where the other folds hold no wanted sound.
    """
    fold, label = hops.fold[: hops.once], hops.label[: hops.once]
    is_open = np.zeros(hops.once, dtype=bool)
    for number in np.unique(fold):
        rest, mine = fold != number, fold == number
        chosen = fit
        if (label[rest & (counted > 0)] > 0).any():
            chosen = fit_rule(scores[rest], label[rest], counted[rest])
        is_open[mine] = Evidence(sigmoids(scores[mine])).decide(chosen)
    return is_open


def expect(hops, weight, presence, is_open, fit):
    """What the gate will do, by cross-validation.

    Parameters
    ----------
    hops : realtime.learn.hops.Hops
    weight : ndarray, shape (once,)
        Of hops; 0 for what was left out of the world.
    presence, is_open : ndarray, shape (once,)
    fit : realtime.learn.gate_fit.GateFit

    Returns
    -------
    dict
        Shares of time, balanced accuracy against the examples to stay shut on (against the world
        where there are none), ROC-AUC, onset delay; ``opens_on_world`` only where a world counts.
    """
    once = slice(0, hops.once)
    label, is_world = hops.label[once], hops.is_world[once]
    sure = hops.weight[once] >= _SURE_WEIGHT
    wanted, unwanted = sure & (label > 0), sure & (label == 0) & ~is_world
    strange = sure & is_world & (weight > 0)
    if not unwanted.any():
        unwanted = strange
    opens, passes = float(is_open[wanted].mean()), float(is_open[unwanted].mean())
    gain = curve(is_open, fit)
    heard = open_segments(gain, FINE_PER_HOP / HOP_S, -60.0)
    sounds = segments_of(wanted, 1.0 / HOP_S)
    sounds = sounds[sounds[:, 1] - sounds[:, 0] >= 0.05]
    tally = measure(sounds, heard, hops.once * HOP_S).summary() if len(sounds) else {}
    expected = {
        "opens_on_wanted": round(opens, 3),
        "opens_on_unwanted": round(passes, 3),
        "balanced_accuracy": round(0.5 * (opens + 1.0 - passes), 3),
        "roc_auc": round(roc_auc(presence[wanted | unwanted], label[wanted | unwanted]), 3),
        "onset_p50_ms": round(float(tally.get("onset_p50_ms", float("nan"))), 1),
    }
    if strange.any():
        expected["opens_on_world"] = round(float(is_open[strange].mean()), 3)
    return expected


def confusable(hops, recordings, is_open):
    """The longest stretches of the examples on which the gate is mostly wrong.

    Returns
    -------
    list of dict
        ``name``, ``start_s``, ``end_s``, ``what``; longest first.
    """
    once = slice(0, hops.once)
    label, sure = hops.label[once], hops.weight[once] >= _SURE_WEIGHT
    source, hop = hops.source[once], hops.hop[once]
    wanted, unwanted = sure & (label > 0), sure & (label == 0)
    found = []
    for index, recording in enumerate(recordings):
        mine = source == index
        for sounding, wrong, what in (
            (unwanted, unwanted & is_open, "opens"),
            (wanted, wanted & ~is_open, "stays shut"),
        ):
            n = len(recording.label)
            total, bad = np.zeros(n), np.zeros(n)
            total[hop[mine & sounding]] = 1.0
            bad[hop[mine & wrong]] = 1.0
            window = np.ones(min(50, n))
            share = np.convolve(bad, window, "same") / np.maximum(
                np.convolve(total, window, "same"), 15.0
            )
            for begin, end in segments_of(share > 0.5, 1.0 / HOP_S):
                if end - begin >= 0.2:
                    found.append(
                        {"name": recording.name, "start_s": round(float(begin), 2),
                         "end_s": round(float(end), 2), "what": what}
                    )  # fmt: skip
    return sorted(found, key=lambda f: f["start_s"] - f["end_s"])


def confused_classes(hops, world, is_open, left_out=(), most=5):
    """Classes of the world on which the gate would be open most of their time.

    Returns
    -------
    list of (str, float)
        Class and share of its time, highest first.
    """
    once = slice(0, hops.once)
    sure = (hops.weight[once] >= _SURE_WEIGHT) & hops.is_world[once]
    shares = {}
    for i, recording in enumerate(world):
        if recording.name in left_out:
            continue
        mine = sure & (hops.source[once] == hops.n_examples + i)
        if mine.any():
            shares.setdefault(recording.name, []).append(float(is_open[mine].mean()))
    ranked = sorted(((float(np.mean(s)), name) for name, s in shares.items()), reverse=True)
    return [(name, share) for share, name in ranked[:most] if share > 0.5]
