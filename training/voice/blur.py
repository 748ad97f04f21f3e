"""Another voice, another microphone: what is done to a batch's log-mel as it is drawn.

The recordings are few and a network learns them by heart: on voices that it has not heard it then
trusts its own hearing too much and a second ear, which knows thousands of voices, too little.
So the bands of an item are stretched (formants and pitch of somebody else), some are silenced, and
all are made a little uncertain, while the ears hear the mixture as it is. Items whose ears are
silent stay as they are: there the network has nobody else to trust.
"""

from dataclasses import dataclass

import numpy as np
import torch

BANDS = ("features", "band_power", "s_band_power", "n_band_power")
"""What is stretched alike."""


@dataclass(frozen=True)
class Blur:
    """How often and how much.

    Attributes
    ----------
    warp_share, warp : float
        Of items whose bands are stretched, and by at most which factor.
    mask_share : float
        Of items in which bands are silenced.
    mask_bands : int
        At most so many side by side, in one place or two.
    noise_share, noise : float
        Of items whose log-mel is shaken, and the largest standard deviation in nats.
    """

    warp_share: float = 0.5
    warp: float = 1.15
    mask_share: float = 0.4
    mask_bands: int = 14
    noise_share: float = 0.5
    noise: float = 0.4

    def __call__(self, batch, rng, items=None):
        """Change these items of a batch (None: all) in place; `rng` is numpy's."""
        n_mels = batch["features"].shape[-1]
        for item in range(len(batch["features"])) if items is None else items:
            features = batch["features"][item]
            if rng.random() < self.warp_share:
                factor = np.exp(rng.uniform(-1.0, 1.0) * np.log(self.warp))
                place = np.round(np.arange(n_mels) * factor).clip(0, n_mels - 1)
                place = torch.from_numpy(place.astype(np.int64))
                for name in BANDS:
                    batch[name][item] = batch[name][item].index_select(-1, place)
            if rng.random() < self.mask_share:
                low = features.amin()
                for _ in range(int(rng.integers(1, 3))):
                    width = int(rng.integers(1, self.mask_bands + 1))
                    first = int(rng.integers(0, n_mels - width + 1))
                    features[:, first : first + width] = low
            if rng.random() < self.noise_share:
                features += float(rng.uniform(0.0, self.noise)) * torch.randn(features.shape)
