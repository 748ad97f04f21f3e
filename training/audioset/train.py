"""One training run on the embeddings: augmentation, early stopping, figures."""

import time

import numpy as np
import torch
from torch.nn import functional

from gate.errors import ConfigError
from training.audioset import data as audioset_data
from training.audioset.layers import row_mask, scale_bytes
from training.audioset.loop import predict, train_epochs
from training.audioset.metrics import evaluate, seconds_figures
from training.audioset.models import build
from training.audioset.settings import LEARNING_RATES

OPTIMISERS = {
    "adam": torch.optim.Adam,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
}


def augment_positives(embeddings, lengths, targets, kind, rng):
    """Add one augmented copy of every positive clip after the originals.

    Parameters
    ----------
    embeddings, lengths, targets : ndarray
        (n, 10, 128) uint8, (n,) and (n,).
    kind : {"none", "constant", "halves"}
        "constant": a number drawn from ±1..16 is added to all of a clip's bytes,
        clipped to 0..255. "halves": half of one positive plus half of another, byte by byte.
    rng : numpy.random.Generator
    """
    positives = np.flatnonzero(targets > 0.5)
    if kind == "none" or not positives.size:
        return embeddings, lengths, targets
    copies, copy_lengths = embeddings[positives].astype(np.int16), lengths[positives]
    if kind == "constant":
        change = rng.integers(1, 17, len(positives)) * rng.choice([-1, 1], len(positives))
        copies = np.clip(copies + change[:, None, None], 0, 255)
    else:
        # Only a partner at least as long fills every row of the copy.
        partner = rng.permutation(len(positives))
        longer = copy_lengths[partner] >= copy_lengths
        partner = np.where(longer, partner, np.arange(len(positives)))
        copies = (copies + embeddings[positives[partner]]) // 2
    copies *= (np.arange(copies.shape[1]) < copy_lengths[:, None])[..., None]
    added = copies.astype(np.uint8), copy_lengths, targets[positives]
    return tuple(map(np.concatenate, zip((embeddings, lengths, targets), added, strict=True)))


def _mean_loss(scores, targets):
    """Mean loss of probabilities: what both losses come to for two classes."""
    right = np.where(targets > 0.5, scores, 1.0 - scores)
    return float(-np.log(np.maximum(right, 1e-7)).mean())


def fit(settings, train, validation, progress=None):
    """Train one model by RunSettings on what `prepare` gives; `progress` gets each epoch's dict.

    Returns
    -------
    model : torch.nn.Module
        At its best epoch.
    record : dict
        ``history`` (``epoch, train_loss, val_loss, val_accuracy`` of each epoch), ``best_epoch``
        and ``val_loss`` (the lowest; the model is from there), ``validation`` (`evaluate` at a
        threshold of 0.5), ``n_parameters``, ``seconds`` (processor time).
    """
    started = time.process_time()
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    model = build(settings.arch, settings.options, 2 if settings.loss == "ce" else 1)
    rate = settings.learning_rate or LEARNING_RATES[settings.optimiser]
    optimiser = OPTIMISERS[settings.optimiser](model.parameters(), lr=rate)
    train = augment_positives(*train, settings.augment, rng)
    x, lengths, targets = (torch.from_numpy(np.ascontiguousarray(a)) for a in train)
    history = []

    def batches():
        return torch.from_numpy(rng.permutation(len(targets))).split(settings.batch_size)

    def loss_of(index):
        clip, _ = model(scale_bytes(x[index]), row_mask(lengths[index]))
        if settings.loss == "ce":
            return functional.cross_entropy(clip, targets[index].long())
        return functional.binary_cross_entropy_with_logits(clip[:, 0], targets[index])

    def after_epoch(epoch, train_loss):
        scores, _ = predict(model, *validation[:2])
        loss = _mean_loss(scores, validation[2])
        accuracy = float(np.mean((scores >= 0.5) == (validation[2] > 0.5)))
        history.append({"epoch": epoch, "train_loss": train_loss, "val_loss": loss,
                        "val_accuracy": accuracy})  # fmt: skip
        if progress:
            progress(history[-1])
        return loss

    best = train_epochs(
        model, batches, loss_of, optimiser, settings.epochs,
        after_epoch=after_epoch, patience=settings.patience,
    )  # fmt: skip
    return model, {
        "history": history,
        "best_epoch": best,
        "val_loss": history[best]["val_loss"],
        "validation": evaluate(validation[2], predict(model, *validation[:2])[0]),
        "n_parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(time.process_time() - started, 1),
    }


def prepare(settings, data, cache=None):
    """Training and validation arrays of a run, each ``(embeddings, lengths, targets)``."""
    part = "eval" if settings.split == "eval" else "bal_train"
    clips = audioset_data.load_part(data, part, cache)
    classes = audioset_data.ClassList.load(data)
    targets, keep = audioset_data.select_target(clips, classes, settings.target, settings.exclude)
    # The split is fixed: seeds vary the model, not the data.
    parts = []
    for index in audioset_data.split_clips(len(clips), settings.split == "file-order"):
        index = index[keep[index]]
        if not 0 < targets[index].sum() < len(index):
            raise ConfigError(
                f"target={settings.target!r} must have clips both with and without it"
            )
        parts.append((clips.embeddings[index], clips.lengths[index], targets[index]))
    return tuple(parts)


def score_eval(model, data, cache=None, target="Speech", thresholds=()):
    """Figures of a final model on the eval part, and its scores (n,).

    They are those of `evaluate` at the `thresholds`; for Speech and a model with an output a second
    also of `seconds_figures`.
    """
    clips = audioset_data.load_part(data, "eval", cache)
    truth, _ = audioset_data.select_target(clips, audioset_data.ClassList.load(data), target)
    clip, rows = predict(model, clips.embeddings, clips.lengths)
    figures = evaluate(truth, clip, *thresholds)
    if rows is not None and target == "Speech":
        figures |= seconds_figures(clips, rows, *audioset_data.load_strong_speech(data))
    return figures, clip
