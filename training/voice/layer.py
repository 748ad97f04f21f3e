"""One sound source of an item, and how a stretch of a recording gets onto it."""

import numpy as np

RATE = 16000
HOP = 160


class Layer:
    """One sound source of an item: samples and where they sound.

    Attributes
    ----------
    kind : str
        A class of `training.voice.classes`, or ``floor``.
    samples : ndarray, shape (n_hops * 160,), float32
    active, known : ndarray, shape (n_hops,), bool
        Where it sounds, and where that is sure.
    event : int
        Class number, -1 where there is none.
    ambiguous_music : bool
        Whether it is "music" is not known.
    offset_db : float
        Level against the first layer of its kind.
    distance : float
        From the microphone: 0 near, 1 far.
    """

    def __init__(self, n_hops, kind):
        self.kind = kind
        self.samples = np.zeros(n_hops * HOP, dtype=np.float32)
        self.active = np.zeros(n_hops, dtype=bool)
        self.known = np.ones(n_hops, dtype=bool)
        self.event = -1
        self.ambiguous_music = False
        self.offset_db = 0.0
        self.distance = 0.0

    def add(self, samples, active, start_hop):
        """Add samples and flags at a hop, cut at the item's end; negative starts cut the head."""
        if start_hop < 0:
            samples, active, start_hop = samples[-start_hop * HOP :], active[-start_hop:], 0
        n = min(len(active), len(samples) // HOP, len(self.active) - start_hop)
        if n > 0:
            self.samples[start_hop * HOP : (start_hop + n) * HOP] += samples[: n * HOP]
            self.active[start_hop : start_hop + n] |= active[:n]


def clip(library, sound, max_hops, rng, low=0.85, high=1.18, share=0.4):
    """A crop of a sound at unit level, perhaps played faster or slower.

    Parameters
    ----------
    library : training.voice.library.Library
    sound : training.voice.library.Sound
    max_hops : int
    rng : numpy.random.Generator
    low, high : float
        Bounds of the change of speed (and pitch).
    share : float
        How often the speed is changed.

    Returns
    -------
    samples : ndarray, float32
    label, known : ndarray, bool
        A hop each.
    """
    n = len(sound.label)
    start = int(rng.integers(0, n - max_hops)) if n > max_hops else 0
    count = min(n - start, max_hops)
    samples = library.read(sound, start * HOP, count * HOP)
    label, known = sound.label[start : start + count], sound.known[start : start + count]
    if rng.random() < share:
        factor = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        samples = _resample_by(samples, factor)
        hops = len(samples) // HOP
        samples = samples[: hops * HOP]
        if hops:
            label, known = _stretch(label, hops), _stretch(known, hops)
    n_hops = len(samples) // HOP
    return samples / sound.level, label[:n_hops], known[:n_hops]


def _resample_by(samples, factor):
    """Play faster by `factor` (pitch and speed), band-limited."""
    import soxr

    return soxr.resample(samples, RATE * factor, RATE, quality="LQ")


def _stretch(flags, n_hops):
    """Nearest-neighbour resampling of hop flags."""
    index = (np.arange(n_hops) * len(flags) / n_hops).astype(int)
    return flags[index]
