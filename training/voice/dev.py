"""A quick look at the dev set while training: the network's presence against a threshold.

No key level, hold or ballistics here; `training.voice.evaluate` measures the gate itself.
"""

from dataclasses import dataclass

import numpy as np
import torch

from gate.features import LogMel
from training.corpus.labels import LabelSettings, close_gaps
from training.voice.library import loud_rms

_HOP = 160


@dataclass
class DevSet:
    """Fixed recordings to look at.

    Attributes
    ----------
    mixtures : dict of str to list of (features, label)
        Name of the condition -> log-mel (T, 64) and bool (T,).
    unwanted : dict of str to list of features
        Kind of sound -> recordings without speech.
    """

    mixtures: dict
    unwanted: dict


def log_mel(samples):
    """Log-mel hops of a signal at 16 kHz."""
    n = len(samples) // _HOP * _HOP
    return LogMel().process_many(np.asarray(samples[:n], dtype=np.float32))[0]


def speech_track(library, rng, seconds=12.0):
    """Words of one speaker with pauses, and their labels."""
    n_hops = int(seconds * 100)
    samples, label = np.zeros(n_hops * _HOP, dtype=np.float32), np.zeros(n_hops, dtype=bool)
    name = list(library.speakers)[rng.integers(len(library.speakers))]
    at = int(rng.uniform(30, 150))
    while at < n_hops - 30:
        sounds = library.speakers[name]
        sound = sounds[rng.integers(len(sounds))]
        count = min(len(sound.label), n_hops - at, 600)
        part = library.read(sound, 0, count * _HOP) / sound.level
        samples[at * _HOP : (at + count) * _HOP] += part[: count * _HOP]
        label[at : at + count] |= sound.label[:count]
        at += count + int(100 * rng.exponential(0.7))
    return samples, close_gaps(label, LabelSettings().close_gap_hops)


def build_dev_set(library, held_out=None, seed=5, n_mixtures=24, snrs_db=(None, 10, 0)):
    """Dev set of a library of the dev split.

    Parameters
    ----------
    library : training.voice.library.Library
    held_out : training.voice.library.Library or None
        Another source of unwanted sounds.
    seed : int
    n_mixtures : int
        A condition, 12 s each.
    snrs_db : sequence of float or None
        None is clean.
    """
    rng = np.random.default_rng(seed)
    mixtures = {}
    tracks = [speech_track(library, rng) for _ in range(n_mixtures)]
    noises = library.beds + [s for s in library.events if len(s.label) > 300] + library.music
    backs = []
    for samples, _ in tracks:
        sound = noises[rng.integers(len(noises))]
        backs.append(np.resize(library.read(sound), len(samples)).astype(np.float32))
    for snr in snrs_db:
        items = []
        for (samples, label), back in zip(tracks, backs, strict=True):
            floor = 1e-4 * rng.standard_normal(len(samples)).astype(np.float32)
            mixed = samples + floor
            if snr is not None:
                mixed = mixed + back * (10.0 ** (-snr / 20.0) * loud_rms(samples) / loud_rms(back))
            items.append((log_mel(0.05 * mixed / loud_rms(samples)), label))
        mixtures["clean" if snr is None else f"{snr:g}dB"] = items
    unwanted = {}
    for source, prefix in ((library, ""), (held_out, "held_")):
        if source is None:
            continue
        for kind, sounds in (
            ("noise", [s for s in source.beds + source.events if s.kind == "noise"]),
            ("music", [s for s in source.beds + source.events if s.kind == "music"] + source.music),
            ("human", source.human),
        ):
            picks = rng.permutation(len(sounds))[:60]
            features = [log_mel(source.read(sounds[k])[: 16000 * 20]) for k in picks]
            if features:
                unwanted[prefix + kind] = features
    return DevSet(mixtures, unwanted)


def held_presence(presence, open_at=0.5, stay_at=0.35, hold_hops=10):
    """Gate by presence alone: hysteresis and hold, shape (T,) bool."""
    result, is_open, left = np.zeros(len(presence), dtype=bool), False, 0
    for k, p in enumerate(presence):
        if p >= (stay_at if is_open else open_at):
            is_open, left = True, hold_hops
        elif left > 0:
            left -= 1
        else:
            is_open = False
        result[k] = is_open
    return result


@torch.no_grad()
def speech_presence(net, features):
    """Presence of speech a hop, shape (T,)."""
    outputs = net(torch.from_numpy(features).unsqueeze(0))
    return torch.sigmoid(outputs["presence_logits"][0, :, 0]).numpy()


def look(net, dev, open_at=0.5):
    """Figures of a network on the dev set: dict of float, times in ms, shares in per cent."""
    from sklearn.metrics import roc_auc_score

    figures = {}
    for name, items in dev.mixtures.items():
        presences = [speech_presence(net, features) for features, _ in items]
        labels = [label[: len(p)] for (_, label), p in zip(items, presences, strict=True)]
        gates = [held_presence(p, open_at, 0.6 * open_at) for p in presences]
        label, gate = np.concatenate(labels), np.concatenate(gates)
        figures[f"auc_{name}"] = roc_auc_score(label, np.concatenate(presences))
        figures[f"bacc_{name}"] = 0.5 * (gate[label].mean() + (~gate[~label]).mean())
        delays, lost, opens = [], 0, 0
        for own, opened in zip(labels, gates, strict=True):
            edges = np.flatnonzero(np.diff(np.pad(own.astype(np.int8), 1))).reshape(-1, 2)
            opens += np.sum(np.diff(opened.astype(np.int8), prepend=0) > 0)
            for begin, end in edges:
                first = np.flatnonzero(opened[begin:end])
                delay = first[0] if len(first) else end - begin
                lost += delay
                if begin == 0 or not opened[begin - 1]:
                    delays.append(10.0 * delay + 5.0)
        figures[f"fec_{name}"] = 100.0 * lost / label.sum()
        figures[f"p50_{name}"], figures[f"p90_{name}"] = np.percentile(delays, [50, 90])
        figures[f"opens_{name}"] = opens / (len(label) / 6000.0)
    for name, recordings in dev.unwanted.items():
        gates = [held_presence(speech_presence(net, f), open_at, 0.6 * open_at) for f in recordings]
        figures[f"open_{name}"] = 100.0 * np.concatenate(gates).mean()
    return figures
