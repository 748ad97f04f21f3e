"""What the network should say of every hop of an item, from its parts."""

import functools

import numpy as np
from scipy.fft import irfft, rfft

from gate.features import LogMel
from gate.key import band_partition
from gate.signal_metrics import a_weighting
from training.corpus.labels import hop_levels
from training.voice.classes import CLASSES

_RATE = 16000
_FINE = 40  # samples a step of the gated-signal loss: 2.5 ms


@functools.cache
def _frontend():
    return LogMel()  # its tables take longer to make than an item


@functools.cache
def _partition():
    return np.ascontiguousarray(band_partition().T)


@functools.cache
def _weighting(n):
    return a_weighting(np.fft.rfftfreq(n, 1.0 / _RATE)).astype(np.float32)


def _analyse(samples):
    frontend = _frontend()
    frontend.reset()
    return frontend.process_many(samples)


def measure(x, s, n, layers, speaker, settings):
    """Features and labels of a rendered item.

    Parameters
    ----------
    x, s, n : ndarray, shape (n_hops * 160,)
        Mixture, wanted speech, everything else.
    layers : list of training.voice.mixer.Layer
    speaker : ndarray, shape (n_hops,), int
        Class number where exactly one speaker sounds, else -1.
    settings : training.voice.mixer.MixSettings

    Returns
    -------
    dict of ndarray
        See `training.voice.mixer.VoiceMixer.item`.
    """
    n_hops = settings.n_hops
    partition = _partition()
    features, power = _analyse(x)
    s_power, n_power = _analyse(s)[1], _analyse(n)[1]
    classes = np.zeros((n_hops, len(CLASSES)), dtype=np.float32)
    weight = np.ones((n_hops, len(CLASSES)), dtype=np.float32)
    total = hop_levels(x)
    for layer in layers:
        if layer.kind == "floor":
            continue
        column = CLASSES.index(layer.kind)
        own = hop_levels(layer.samples)
        if layer.kind == "speech":
            _label_speech(classes, weight, layer, own, hop_levels(n), settings)
            continue
        audible = own > total - 12.0
        classes[:, column] = np.maximum(classes[:, column], layer.active & audible)
        weight[:, column] *= np.where(layer.active & ~audible, 0.0, 1.0)
        # What lingers in a room after the event is neither.
        weight[:, column] *= np.where(~layer.active & audible, 0.0, 1.0)
        if layer.ambiguous_music:
            weight[:, CLASSES.index("music")] = 0.0
    event = max(
        (layer for layer in layers if layer.event >= 0),
        key=lambda layer: float(np.sum(np.square(layer.samples))),
        default=None,
    )
    heard = (classes[:, 0] > 0.5) & (speaker >= 0)
    most = np.bincount(speaker[heard]).argmax() if heard.any() else -1
    if heard.any() and np.mean(speaker[heard] == most) < 0.9:
        most = -1
    return {
        "features": features,
        "classes": classes,
        "classes_weight": weight,
        "band_power": power @ partition,
        "s_band_power": s_power @ partition,
        "n_band_power": n_power @ partition,
        "s_fine": fine_energy(s),
        "n_fine": fine_energy(n),
        "speaker": np.int32(most),
        "event": np.int32(-1 if event is None else event.event),
    }


def _label_speech(classes, weight, layer, own, other, settings):
    n_hops = settings.n_hops
    classes[:, 0] = np.maximum(classes[:, 0], layer.active)
    weight[:, 0] *= np.where(layer.known, 1.0, 0.0)
    began = np.flatnonzero(np.diff(layer.active.astype(np.int8), prepend=0) > 0)
    for hop in began:
        weight[hop : min(hop + settings.onset_hops, n_hops), 0] *= settings.onset_weight
    ended = np.flatnonzero(np.diff(layer.active.astype(np.int8), append=0) < 0) + 1
    for hop in ended:
        weight[hop : min(hop + settings.offset_hops, n_hops), 0] *= settings.offset_weight
    # Drowned words are not held against the network as much.
    weight[:, 0] *= np.where(layer.active & (own < other - 12.0), 0.4, 1.0)
    loud = np.percentile(own[layer.active], 90) if layer.active.any() else 0.0
    # What lingers in the room is no speech, but who would know at once?
    weight[:, 0] *= np.where(~layer.active & (own > loud - 18.0), 0.5, 1.0)


def fine_energy(samples):
    """`gate.signal_metrics.weighted_energy` at 16 kHz in float32, shape (4 n_hops,)."""
    shaped = irfft(rfft(samples) * _weighting(len(samples)), len(samples))
    return np.mean(np.square(shaped.reshape(-1, _FINE)), axis=1)
