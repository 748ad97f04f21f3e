"""Learning from clips without labels: teachers label them, students learn from all.

The only further embeddings at hand are those of the eval part. Their labels are not read here, and
the clips with human labels a second stay out altogether, so those are still unheard of when the
seconds are scored. What it is worth that the other eval clips were heard is measured by
`unheard_figures`.
"""

import numpy as np
import torch

from training.audioset import data as audioset_data
from training.audioset.best_train import predict_net
from training.audioset.metrics import evaluate
from training.audioset.models import scale_bytes
from training.audioset.train import row_mask


def load_unlabelled(data, cache=None):
    """The eval part without its labels and without the clips that have human labels a second.

    Parameters
    ----------
    data, cache : path-like
        As in `load_part`.

    Returns
    -------
    clips : ClipSet
        `labels` are all False.
    """
    clips = audioset_data.load_part(data, "eval", cache)
    kept_back, _ = audioset_data.load_strong_speech(data)
    clips = clips.take(~np.isin(clips.video_ids, kept_back))
    return audioset_data.ClipSet(
        clips.embeddings, clips.lengths, np.zeros_like(clips.labels), clips.video_ids
    )


@torch.no_grad()
def soft_labels(nets, clips, batch_size=1024):
    """Mean probability of every class by several networks.

    Parameters
    ----------
    nets : sequence of BestNet
    clips : ClipSet

    Returns
    -------
    probabilities : ndarray, shape (n, n_classes), float32
    """
    parts = []
    for i in range(0, len(clips), batch_size):
        part = slice(i, i + batch_size)
        x = scale_bytes(torch.from_numpy(clips.embeddings[part]))
        mask = row_mask(torch.from_numpy(clips.lengths[part]))
        with torch.autocast("cpu", torch.bfloat16):
            parts.append(sum(torch.sigmoid(net(x, mask)[0]) for net in nets) / len(nets))
    return torch.cat(parts).numpy()


def join(clips, targets, more_clips, more_targets):
    """Two sets of clips and their targets as one."""
    names = ("embeddings", "lengths", "labels", "video_ids")
    arrays = (np.concatenate([getattr(clips, n), getattr(more_clips, n)]) for n in names)
    return audioset_data.ClipSet(*arrays), np.concatenate([targets, more_targets])


def halves(n):
    """Two masks of shape (n,) that share nothing and leave nothing out."""
    first = np.arange(n) % 2 == 0
    return first, ~first


def unheard_figures(nets, unlabelled, eval_clips, truth):
    """What hearing eval's clips without labels is worth on those very clips.

    Parameters
    ----------
    nets : sequence of BestNet
        Two students: of the unlabelled clips, each heard the one of `halves`.
    unlabelled : ClipSet
    eval_clips : ClipSet
        Holds every clip of `unlabelled`.
    truth : ndarray, shape (n_eval,)
        Labels of `eval_clips`.

    Returns
    -------
    figures : dict
        ``heard`` and ``unheard``: AP and ROC-AUC, each the mean of both students.
    """
    where = {video_id: i for i, video_id in enumerate(eval_clips.video_ids)}
    truth = truth[[where[v] for v in unlabelled.video_ids]]
    found = {"heard": [], "unheard": []}
    for net, heard in zip(nets, halves(len(unlabelled)), strict=True):
        scores, _ = predict_net(net, unlabelled)
        found["heard"].append(evaluate(truth[heard], scores[heard]))
        found["unheard"].append(evaluate(truth[~heard], scores[~heard]))
    return {
        name: {m: float(np.mean([f[m] for f in figures])) for m in ("ap", "roc_auc")}
        for name, figures in found.items()
    }
