"""Fits a profile's head again with corrections, fast: the old examples are analysed once."""

from dataclasses import replace

import numpy as np

from realtime.learn.head import fit_logistic
from realtime.learn.hops import Hops, inputs_of
from realtime.learn.medley import MedleyMaker, Unit
from realtime.learn.metric import metric_for
from realtime.learn.remarks import TeachingError
from realtime.learn.strangers import world_weights
from realtime.learn.teach import coordinates, describe_example, excerpts_of
from realtime.learn.world import SHIPPED


class Refitter:
    """Fits a profile's head again with corrections.

    Parameters
    ----------
    profile : Profile
        With its examples.
    detector : Detector
        Used and reset: give it a fork.
    world : realtime.learn.world.World or str
        Counts where the profile was taught with one.
    """

    _SHARE = 0.5  # of a side's weight that all corrections of that side have together

    def __init__(self, profile, detector, world=SHIPPED):
        if not profile.memory:
            raise TeachingError(f"{profile.name}: keeps no examples, so it cannot be corrected")
        self._profile, self._detector = profile, detector
        strange = excerpts_of(world if profile.world else None, detector)
        hops = Hops(list(profile.memory), strange, detector, profile.shape, 0, n_copies=1)
        weight = world_weights(hops, strange, profile.world.get("left_out", ()))
        self._x, self._basis = coordinates(hops, weight, metric_for(detector.info, profile.shape))
        known = weight > 0
        self._x = self._x[known]
        self._label, self._weight = hops.label[known], weight[known]
        self._start = None

    def fit(self, corrections):
        """A profile that heeds corrections, too; its rule and ballistics stay.

        Parameters
        ----------
        corrections : sequence of Recording

        Returns
        -------
        Profile
        """
        x, label, weight = [self._x], [self._label], [self._weight]
        if corrections:
            maker = MedleyMaker(corrections)
            units = [Unit(i, 0, len(r.label)) for i, r in enumerate(corrections)]
            medley = maker.make(units * 2, np.random.default_rng(0), plain=True)
            inputs = inputs_of(medley, self._detector, self._profile.shape)
            more = self._basis.apply(inputs).astype(np.float32)
            boosted = medley.weight.copy()
            for side in (0.0, 1.0):
                mine = medley.label == side
                total = float(boosted[mine].sum())
                if total > 0:
                    before = float(self._weight[self._label == side].sum())
                    boosted[mine] *= max(1.0, self._SHARE * before / total)
            known = boosted > 0
            x.append(more[known])
            label.append(medley.label[known])
            weight.append(boosted[known])
        head = fit_logistic(
            np.concatenate(x), np.concatenate(label), np.concatenate(weight),
            self._profile.penalty, start=self._start,
        )  # fmt: skip
        self._start = head
        coefficients, bias = self._basis.unfold(*head)
        return replace(
            self._profile,
            coefficients=coefficients.astype(np.float32),
            bias=bias,
            memory=(*self._profile.memory, *corrections),
            taught_with=[*self._profile.taught_with, *map(describe_example, corrections)],
        )
