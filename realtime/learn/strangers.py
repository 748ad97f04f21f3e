"""How much each sound of the world counts, and which of them is like what should open the gate.

The world weighs `RATIO` times what the user's own examples to stay shut on weigh. Left out of it,
and named in the report, is a class of which two things are true: it lies among the wanted sounds,
so that it is about as near to them as they are to each other; and heads that never learned from
it take it for the wanted sound. Either alone says little: a dull thud is near everything, and
what merely lies on the open side of the examples to stay shut on is what the world is there for.
"""

import numpy as np

from gate.metrics import roc_auc
from realtime.learn.head import Basis

RATIO = 1.0
"""Weight of the world against that of the examples to stay shut on; chosen on dev."""

RESEMBLES = 0.33
"""A class is left out where its hops are nearer to wanted ones than other wanted ones are, and
score above wanted ones, each with this probability; .5 would be a class that cannot be told from
them. Chosen on dev."""

_SURE_WEIGHT = 0.5  # a hop that sounds has at least so much
_FEW_HOPS = 10
_MOST_WANTED, _MOST_OF_A_CLASS = 1200, 80
_RANK = 60


def world_weights(hops, world, left_out=()):
    """Weight of every hop, the world's in proportion and without what is left out.

    Parameters
    ----------
    hops : realtime.learn.hops.Hops
    world : sequence of Recording
        That `hops` were made of.
    left_out : collection of str
        Classes that do not count.

    Returns
    -------
    ndarray, shape (T,)
    """
    is_world = hops.is_world
    if not is_world.any():
        return hops.weight
    kept = np.array([r.name not in left_out for r in world])
    weight = hops.weight.copy()
    weight[is_world] *= kept[hops.source[is_world] - hops.n_examples]
    shut = float(weight[~is_world & (hops.label == 0)].sum())
    total = float(weight[is_world].sum())
    if total > 0 and shut > 0:
        weight[is_world] *= RATIO * shut / total
    return weight


def resembling(hops, coordinates, world, scores):
    """Classes of the world that are like the wanted sound.

    Parameters
    ----------
    hops : realtime.learn.hops.Hops
    coordinates : ndarray, shape (T, rank)
        In which the heads were fitted.
    world : sequence of Recording
    scores : ndarray, shape (T,)
        By heads that have not seen a hop's fold.

    Returns
    -------
    dict of str to float
        Class to its likeness, the smaller of the two probabilities; those above `RESEMBLES`.
    """
    sure = np.flatnonzero(hops.weight >= _SURE_WEIGHT)
    is_wanted = ~hops.is_world[sure] & (hops.label[sure] > 0)
    wanted = _thinned(sure[is_wanted], _MOST_WANTED)
    some = _thinned(sure, 12_000)
    near = Basis.fit(coordinates[some], hops.source[some], _RANK, power=1.0)
    places, fold_of = near.apply(coordinates[wanted]), hops.fold[wanted]
    own = np.full(len(wanted), np.inf)
    for fold in np.unique(fold_of):
        own[fold_of == fold] = _nearest(places[fold_of == fold], places[fold_of != fold])
    known = np.isfinite(own)
    if known.sum() < _FEW_HOPS:
        return {}
    classes = {}
    for i, recording in enumerate(world):
        classes.setdefault(recording.name, []).append(hops.n_examples + i)
    found = {}
    for name, sources in classes.items():
        mine = sure[np.isin(hops.source[sure], sources)]
        if len(mine) < _FEW_HOPS:
            continue
        mine = _thinned(mine, _MOST_OF_A_CLASS)
        higher = _above(scores[mine], scores[wanted])
        if higher <= RESEMBLES:
            continue
        there = near.apply(coordinates[mine])
        theirs = _nearest(there, places[fold_of != hops.fold[mine[0]]])
        likeness = min(higher, _above(-theirs, -own[known]))
        if likeness > RESEMBLES:
            found[name] = round(likeness, 2)
    return found


def _above(these, those):
    """Probability that one of these is above one of those."""
    return roc_auc(np.r_[these, those], np.r_[np.ones(len(these)), np.zeros(len(those))])


def _thinned(indices, most):
    """At most so many, from all over."""
    if len(indices) <= most:
        return indices
    return indices[np.linspace(0, len(indices) - 1, most).astype(int)]


def _nearest(a, b):
    """Squared distance of each row of `a` to the nearest of `b`; infinite where there are none."""
    if not len(b):
        return np.full(len(a), np.inf)
    squares = np.einsum("ij,ij->i", a, a)[:, None] + np.einsum("ij,ij->i", b, b)
    return (squares - 2.0 * (a @ b.T)).min(axis=1)
