"""Examples and the world as hops: medleys of all folds, heard by the detector, seen by the head.

Every fold holds stretches of the examples and whole classes of the world: what a head says of a
hop whose fold it did not learn from is what it would say of new sound, and of a class of sounds
that nobody told it of.
"""

import numpy as np

from realtime.learn.medley import FOLDS, MedleyMaker, Unit, split_folds

_MEDLEY_S, _MOST_COPIES = 240.0, 8


def embedding_of(log_mel, ears, detector):
    """What a detector says of a recording after a reset, (T, n)."""
    detector.reset()
    heard = () if ears is None or not detector.info.ears else (ears,)
    return detector.process(log_mel, *heard).embedding


def inputs_of(medley, detector, shape):
    """The head's inputs for a medley after a reset, (T, n).

    Parameters
    ----------
    medley : realtime.learn.medley.Medley
    detector : gate.detector.Detector
    shape : realtime.learn.head.HeadShape
    """
    return shape.inputs(medley.log_mel, embedding_of(medley.log_mel, medley.ears, detector))


def copies_of(seconds):
    """How often examples of so many seconds are shuffled in, from 1 to 8: few need it most.

    Every copy puts them at other levels, after and over other sounds: what is of the sound and what
    of its place shows only in several.
    """
    return int(min(max(_MEDLEY_S / max(seconds, 1.0), 1.0), _MOST_COPIES))


def deal_classes(world, n_folds=FOLDS, seed=0):
    """Fold of every excerpt of the world: a class is never in two folds.

    Parameters
    ----------
    world : sequence of Recording
    n_folds, seed : int

    Returns
    -------
    list of int
    """
    names = sorted({r.name for r in world})
    order = np.random.default_rng([seed, 5]).permutation(len(names))
    fold_of = {names[i]: turn % n_folds for turn, i in enumerate(order)}
    return [fold_of[r.name] for r in world]


class Hops:
    """Medleys of all folds as inputs of the head.

    Parameters
    ----------
    recordings : sequence of Recording
        The examples.
    world : sequence of Recording
        What counts as shut although nobody showed it; may be empty.
    detector : gate.detector.Detector
    shape : realtime.learn.head.HeadShape
    seed : int
    n_copies : int, optional
        How often every hop of the examples is shuffled in (`copies_of`); the world's are once.

    Attributes
    ----------
    x : ndarray, shape (T, n), float32
        Inputs of the head.
    label, weight : ndarray, shape (T,)
        1 open, 0 shut; how much a hop counts before the world is weighed.
    source, hop : ndarray, shape (T,), int
        Recording (those of the world after the examples; -1: a pause) and hop in it.
    fold : ndarray, shape (T,), int
    once : int
        The first `once` hops hold every hop of the recordings once.
    wanted, unwanted : ndarray, shape (4 `once`,)
        Energies.
    n_examples : int
        From this source on a hop is the world's.
    """

    def __init__(self, recordings, world, detector, shape, seed, n_copies=None):
        folds = split_folds(recordings)
        self.n_examples = len(recordings)
        excerpts = [[] for _ in folds]
        for i, fold in enumerate(deal_classes(world, len(folds), seed)):
            excerpts[fold].append(Unit(self.n_examples + i, 0, len(world[i].label)))
        maker = MedleyMaker([*recordings, *world])
        seconds = sum(r.seconds for r in recordings)
        n_copies = n_copies or copies_of(seconds)
        medleys, folds_of, n_first = [], [], 0
        for copy in range(n_copies):
            for fold, units in enumerate(folds):
                if copy == 0:  # the world is large: once is enough
                    units = [*units, *excerpts[fold]]
                if not units:
                    continue
                medleys.append(maker.make(units, np.random.default_rng([seed, copy, fold])))
                folds_of.append(fold)
            n_first = len(medleys) if copy == 0 else n_first
        self.x = np.concatenate([inputs_of(m, detector, shape) for m in medleys])
        self.fold = np.concatenate(
            [np.full(len(m.label), f) for m, f in zip(medleys, folds_of, strict=True)]
        )
        self.label, self.weight, self.source, self.hop = (
            np.concatenate([getattr(m, name) for m in medleys])
            for name in ("label", "weight", "source", "hop")
        )
        first = medleys[:n_first]
        self.once = sum(len(m.label) for m in first)
        self.wanted = np.concatenate([m.wanted for m in first])
        self.unwanted = np.concatenate([m.unwanted for m in first])

    @property
    def is_world(self):
        """Which hops are the world's, (T,) bool."""
        return self.source >= self.n_examples
