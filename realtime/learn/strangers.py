"""How much each sound of the world counts, and which of them is like what should open the gate.

The world weighs `RATIO` times what the user's own examples to stay shut on weigh. A class of it
that lies among the wanted sounds, so that it is about as near to them as they are to each other,
is the wanted sound under another name (keyboards, where a keyboard should open): it is left out,
and the report says so. What merely lies on the same side of the examples to stay shut on is not:
that is what the world is there for.
"""

import numpy as np

from gate.metrics import roc_auc

RATIO = 1.0
"""Weight of the world against that of the examples to stay shut on; chosen on dev."""

RESEMBLES = 0.3
"""A class is left out where its hops are nearer to wanted ones than other wanted ones are with
this probability; .5 would be a class that cannot be told from them. Chosen on dev."""

_SURE_WEIGHT = 0.5  # a hop that sounds has at least so much
_FEW_HOPS = 10
_MOST_WANTED, _MOST_OF_A_CLASS = 1200, 80


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


def resembling(hops, world, x):
    """Classes of the world that are as near to the wanted sound as it is to itself.

    Nearness is the distance to the nearest wanted hop of another fold.

    Parameters
    ----------
    hops : realtime.learn.hops.Hops
    world : sequence of Recording
    x : ndarray, shape (T, rank)
        Coordinates of the hops.

    Returns
    -------
    dict of str to float
        Class to the probability that its hops are nearer than wanted ones; those above
        `RESEMBLES`.
    """
    sure = hops.weight >= _SURE_WEIGHT
    wanted = _thinned(np.flatnonzero(sure & ~hops.is_world & (hops.label > 0)), _MOST_WANTED)
    own = np.concatenate([
        _nearest(x, mine, wanted[hops.fold[wanted] != fold])
        for fold in np.unique(hops.fold[wanted])
        if len(mine := wanted[hops.fold[wanted] == fold]) < len(wanted)
    ] or [np.zeros(0)])  # fmt: skip
    if len(own) < _FEW_HOPS:
        return {}
    classes = {}
    for i, recording in enumerate(world):
        classes.setdefault(recording.name, []).append(hops.n_examples + i)
    found = {}
    for name, sources in classes.items():
        mine = np.flatnonzero(sure & np.isin(hops.source, sources))
        if len(mine) < _FEW_HOPS:
            continue
        mine = _thinned(mine, _MOST_OF_A_CLASS)
        theirs = _nearest(x, mine, wanted[hops.fold[wanted] != hops.fold[mine[0]]])
        label = np.r_[np.zeros(len(theirs)), np.ones(len(own))]
        likeness = 1.0 - roc_auc(-np.r_[theirs, own], label)
        if likeness > RESEMBLES:
            found[name] = round(float(likeness), 2)
    return found


def _thinned(indices, most):
    """At most so many, from all over."""
    if len(indices) <= most:
        return indices
    return indices[np.linspace(0, len(indices) - 1, most).astype(int)]


def _nearest(x, rows, others):
    """Squared distance of each row to the nearest of others; infinite where there are none."""
    if not len(others):
        return np.full(len(rows), np.inf)
    a, b = x[rows], x[others]
    squares = np.einsum("ij,ij->i", a, a)[:, None] + np.einsum("ij,ij->i", b, b)
    return (squares - 2.0 * (a @ b.T)).min(axis=1)
