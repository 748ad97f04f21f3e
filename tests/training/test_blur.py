"""What is done to a batch's log-mel: other voices for the bands, nothing new for the ears."""

import numpy as np
import torch

from training.voice.blur import BANDS, Blur


def batch(n_items=6, n_hops=20):
    ramp = torch.arange(64.0).expand(n_items, n_hops, 64)
    return {name: ramp.clone() + k for k, name in enumerate(BANDS)} | {"ears": torch.ones(6, 20, 1)}


def test_all_bands_of_an_item_are_stretched_alike():
    given = batch()
    Blur(warp_share=1.0, mask_share=0.0, noise_share=0.0)(given, np.random.default_rng(0))
    first = given["features"]
    for k, name in enumerate(BANDS):
        assert torch.equal(given[name] - k, first)
    rows = first[:, 0]
    assert not torch.equal(rows, batch()["features"][:, 0])
    place = torch.arange(64.0)
    assert ((rows >= place / 1.16 - 1) & (rows <= place * 1.16 + 1)).all()
    assert torch.equal(given["ears"], torch.ones(6, 20, 1))


def test_silenced_bands_say_the_least_of_their_item():
    given = batch()
    Blur(warp_share=0.0, mask_share=1.0, mask_bands=5, noise_share=0.0)(
        given, np.random.default_rng(1)
    )
    changed = given["features"] != batch()["features"]
    assert (given["features"][changed] == 0.0).all()
    count = changed[:, 0].sum(dim=-1)
    assert (count >= 0).all() and (count <= 10).all() and count.sum() > 0
    assert torch.equal(given["band_power"], batch()["band_power"])


def test_the_same_seed_gives_the_same_batch():
    def once(seed):
        torch.manual_seed(seed)
        given = batch()
        Blur()(given, np.random.default_rng(seed))
        return given["features"]

    assert torch.equal(once(3), once(3))
    assert not torch.equal(once(3), once(4))
