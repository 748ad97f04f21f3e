"""The dev recordings: everyone's evaluation set, and the sounds held out of training."""

from dataclasses import replace

import numpy as np

from gate.metrics import hop_labels, roc_auc
from training.corpus.mixtures import evaluation_set
from training.voice.evaluate import GateChoice, ask, hear, hear_sound, judge

_LONGEST = 15 * 16000  # samples of a held-out sound


def hear_dev(data, mixing, n_mixtures=40, max_speechless=None, seed=98):
    """Load and analyse them, with the ears of `mixing`.

    Parameters
    ----------
    data : path-like
        Corpus folder.
    mixing : training.voice.mixing.Mixing
    n_mixtures : int
        A ratio of speech to noise.
    max_speechless : int, optional
        At most so many recordings without speech a group.
    seed : int
        Of synthetic sounds.

    Returns
    -------
    list of training.voice.evaluate.Heard
    """
    ears = mixing.ears()
    clips = evaluation_set(data, "dev", n_mixtures=n_mixtures, max_speechless=max_speechless)
    recordings = [hear(clip, ears) for clip in clips]
    held = replace(mixing, n_rooms=0, synthetic_rounds=6, n_noises=1, seed=seed)
    library = held.library("train", "only")
    noises = [s for s in library.beds + library.events if s.index >= 0 and s.kind == "noise"]
    for group, sounds in (
        ("held_noise", noises),
        ("held_music", library.music),
        ("held_cry", [s for s in library.human if s.index >= 0]),
        ("held_synth", [s for s in library.human if s.index < 0]),
    ):
        for k, sound in enumerate(sounds[:max_speechless]):
            samples = library.read(sound)[:_LONGEST]
            recordings.append(hear_sound(samples, f"{group}{k}", group, ears))
    return recordings


def look(net, recordings):
    """Figures of a network while it trains, with its ears and (``deaf_``) without.

    Parameters
    ----------
    net : VoiceNet
    recordings : list of training.voice.evaluate.Heard
        From `hear_dev`.

    Returns
    -------
    dict of str to float
        ROC-AUC of presence, balanced accuracy and openings a segment of the groups with speech;
        share of time open of the others.
    """
    figures = {}
    for prefix, listen in (("", True), ("deaf_", False)):
        if not listen and not net.settings.n_ears:
            continue
        ask(net, recordings, listen=listen)
        for group, row in judge(recordings, GateChoice()).table().items():
            name = group.replace(" ", "")
            if not row["segments_per_minute"] > 0.0:
                figures[f"{prefix}open_{name}"] = row["open_share"]
                continue
            figures[f"{prefix}auc_{name}"] = _auc([h for h in recordings if h.group == group])
            figures[f"{prefix}bacc_{name}"] = row["balanced_accuracy"]
            opens = row["opens_per_minute"] / row["segments_per_minute"]
            figures[f"{prefix}opens_{name}"] = opens
    return figures


def _auc(recordings):
    labels = [hop_labels(heard.segments, len(heard.presence)) for heard in recordings]
    scores = [heard.presence[:, 0] for heard in recordings]
    return roc_auc(np.concatenate(scores), np.concatenate(labels))
