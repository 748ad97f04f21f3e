"""A bank of synthetic clips that must not open the gate."""

import numpy as np

from training.voice.effects import OTHER
from training.voice.nonspeech import HUMAN
from training.voice.parts import whole


def synthetic_clips(seed, rounds=20):
    """Make a bank of clips.

    Parameters
    ----------
    seed : int
    rounds : int
        Times that every kind is made as often as its table says; about 55 clips a round.

    Returns
    -------
    list of (kind, cls, samples)
        ``human_nonspeech`` or ``noise``; name; float32 with a peak of 0.5.
    """
    clips = []
    for stream, (kind, table) in enumerate((("human_nonspeech", HUMAN), ("noise", OTHER))):
        rng = np.random.default_rng([seed, 7 + stream])
        for name, (make, count) in table.items():
            for _ in range(count * rounds):
                samples = whole(make(rng))
                peak = np.max(np.abs(samples)) + 1e-9
                clips.append((kind, f"synthetic {name}", (0.5 / peak * samples).astype(np.float32)))
    return clips
