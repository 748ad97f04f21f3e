"""Teaches a gate: from labelled hops to a profile, with an honest estimate of what it can do.

Order of work: deal the examples and the world's classes into folds; make medleys of each fold;
run the detector over them; leave out what of the world is like the wanted sound; score every hop
by heads that have not seen its fold; calibrate the rule by these scores, and fit the ballistics to
what it does by the gated-signal loss; fit the key and the settings of a classic gate; fit the
final head on everything.
"""

from dataclasses import dataclass

import numpy as np

from realtime.learn.classic import fit_key_and_classic, suggest_threshold
from realtime.learn.estimate import confusable, confused_classes, decide_honestly, expect
from realtime.learn.examples import check_sides
from realtime.learn.gate_fit import (
    BALLISTICS_GRIDS,
    Evidence,
    GateFitter,
    as_mapping,
    fit_rule,
)
from realtime.learn.head import Basis, HeadShape, fit_logistic, sigmoids
from realtime.learn.hops import Hops
from realtime.learn.metric import metric_for
from realtime.learn.profile import Profile
from realtime.learn.recording import OPEN, SHUT
from realtime.learn.remarks import TeachingError
from realtime.learn.strangers import resembling, world_weights
from realtime.learn.world import SHIPPED, load_world

PENALTY = 0.35
"""Of every head; chosen on dev. Held-out parts of a few examples choose one that is too high."""

RANK = 120
_BASIS_HOPS = 8000  # at most twice so many show in which directions inputs vary
_MIN_BALANCED_ACCURACY = 0.7
_SURE_WEIGHT = 0.5


@dataclass(frozen=True)
class Lesson:
    """What teaching found out, beside the profile.

    Attributes
    ----------
    profile : Profile
    confusable : list of dict
        Stretches on which the gate would be wrong: name, start_s, end_s, what.
    strangers : list of (str, float)
        Classes of the world that would open it, and share of their time.
    presence, label, weight : ndarray, shape (T,)
        Scores of hops of the examples by heads that did not see them, for the picture.
    source, hop : ndarray, shape (T,)
        Where each is from.
    is_open : ndarray, shape (T,), bool
        What the fitted gate did.
    names : list of str
        Of the recordings.
    """

    profile: Profile
    confusable: list
    strangers: list
    presence: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    source: np.ndarray
    hop: np.ndarray
    is_open: np.ndarray
    names: list


def teach(recordings, detector, notes, name=None, seed=0, checked=False, world=SHIPPED,
          leave_out=True, learned=True):  # fmt: skip
    """Teach a gate.

    Parameters
    ----------
    recordings : list of Recording
    detector : Detector
        Not a profile's.
    notes : TeachingNotes
        Gets what is doubtful.
    name : str, optional
        What it opens on.
    seed : int
    checked : bool
        `check_sides` has been called.
    world : realtime.learn.world.World or str, optional
        What counts as shut although nobody showed it; the shipped one, another, or None.
    leave_out : bool
        What of the world resembles the wanted sound does not count.
    learned : bool
        Use the detector's metric, where it has one.

    Returns
    -------
    Lesson

    Raises
    ------
    TeachingError
    """
    strange = excerpts_of(world, detector)
    if not checked:
        recordings = check_sides(recordings, notes, world=bool(strange))
    metric = metric_for(detector.info) if learned else None
    shape = metric.shape if metric else HeadShape()
    hops = Hops(recordings, strange, detector, shape, seed)
    weight, left_out, scores, x, basis = _learn(hops, strange, leave_out, metric)
    once = slice(0, hops.once)
    presence = sigmoids(scores[once])
    counted = np.where(hops.weight[once] >= _SURE_WEIGHT, weight[once], 0.0)
    evidence = Evidence(presence)
    fit = fit_rule(scores[once], hops.label[once], counted)
    ballistics = {name: BALLISTICS_GRIDS[name] for name in ("attack_ms", "release_ms")}
    fitter = GateFitter(evidence.decide, hops.wanted, hops.unwanted)
    fit, _ = fitter.search(fit, ballistics)
    fit, loss = fitter.hastened(fit, ballistics["release_ms"])
    is_open = decide_honestly(hops, scores[once], counted, fit)
    known = weight > 0
    head = fit_logistic(x[known], hops.label[known], weight[known], PENALTY)
    coefficients, bias = basis.unfold(*head)
    detector.reset()
    has_shut = any((r.label == SHUT).any() for r in recordings)
    key, classic = fit_key_and_classic([*recordings, *(() if has_shut else strange)], seed)
    expected = expect(hops, weight[once], presence, is_open, fit)
    expected["gated_signal_loss"] = round(loss, 3)
    if min(expected["balanced_accuracy"], expected["roc_auc"]) < _MIN_BALANCED_ACCURACY:
        notes.warn(
            f"the two sides sound alike (balanced accuracy {expected['balanced_accuracy']:.2f} on "
            "held-out parts): check the labels, or teach with more and clearer examples"
        )
    rule = fit.rule
    times = as_mapping(fit)
    profile = Profile(
        name=name or "taught",
        detector=detector.info.name,
        detector_sha256=detector.info.sha256,
        shape=shape,
        coefficients=coefficients.astype(np.float32),
        bias=bias,
        presence_threshold=times["presence_threshold"],
        attack_ms=times["attack_ms"],
        release_ms=times["release_ms"],
        rule=rule,
        key=key,
        suggested_threshold_db=suggest_threshold(recordings, key),
        classic=classic,
        expected=expected,
        taught_with=[describe_example(r) for r in recordings],
        memory=tuple(recordings),
        penalty=PENALTY,
        world={"seconds": round(sum(r.seconds for r in strange), 1), "left_out": left_out}
        if strange else {},
    )  # fmt: skip
    mine = ~hops.is_world[once]
    presence, opened, label, weight, source, hop = (
        values[once][mine]
        for values in (presence, is_open, hops.label, weight, hops.source, hops.hop)
    )
    return Lesson(
        profile.check(), confusable(hops, recordings, is_open),
        confused_classes(hops, strange, is_open, left_out), presence, label, weight, source, hop,
        opened, [r.name for r in recordings],
    )  # fmt: skip


def excerpts_of(world, detector):
    """The recordings of a world as a detector hears them; none for no world."""
    if world is None:
        return ()
    if isinstance(world, str):
        world = load_world(world)
    return world.heard_by(detector.info)


def coordinates(hops, weight, metric=None):
    """The head's inputs in the basis in which it is fitted, (T, rank), and that basis."""
    known = weight > 0
    label = hops.label[known]
    if not (label > 0).any() or not (label == 0).any():
        raise TeachingError("one side has no sound to learn from")
    some = np.flatnonzero(known)
    some = some[:: 1 + len(some) // _BASIS_HOPS]
    if metric is None:
        basis = Basis.fit(hops.x[some], hops.source[some], RANK)
    else:
        basis = Basis.fit(hops.x[some, : metric.n_own], hops.source[some], RANK)
        basis = basis.beside(metric.basis)
    return basis.apply(hops.x).astype(np.float32), basis


def _learn(hops, world, leave_out, metric):
    """Weights, classes left out, held-out scores, coordinates and their basis."""
    weight = world_weights(hops, world)
    x, basis = coordinates(hops, weight, metric)
    scores, left_out = _held_out(x, hops, weight), {}
    if world and leave_out:
        left_out = resembling(hops, x, world, scores)
    if left_out:
        weight = world_weights(hops, world, left_out)
        scores = _held_out(x, hops, weight)
    return weight, left_out, scores, x, basis


def _held_out(x, hops, weight):
    """For every hop the score of a head that has not seen its fold."""
    known = weight > 0
    scores = np.zeros(len(x))
    for fold in np.unique(hops.fold):
        train, test = known & (hops.fold != fold), hops.fold == fold
        label = hops.label[train]
        if not len(label) or label.max() == 0.0 or label.min() == 1.0:
            continue  # all of one side is in this fold; 0 says: no idea
        some = np.flatnonzero(train)[::2]  # neighbours say the same
        theta, bias = fit_logistic(x[some], hops.label[some], weight[some], PENALTY)
        scores[test] = x[test] @ theta.astype(np.float32) + bias
    return scores


def describe_example(recording):
    """Name and seconds of either side."""
    return {
        "name": recording.name,
        "open_s": round(recording.seconds_of(OPEN), 1),
        "shut_s": round(recording.seconds_of(SHUT), 1),
    }
