"""One training run on the embeddings: settings, augmentation, loop, early stopping."""

import copy
import dataclasses
import time
from dataclasses import dataclass, field

import numpy as np
import torch

from gate.errors import ConfigError
from training.audioset import data as audioset_data
from training.audioset import models as audioset_models
from training.audioset.metrics import evaluate

OPTIMISERS = {
    "adam": torch.optim.Adam,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
}
LEARNING_RATES = {"adam": 1e-3, "rmsprop": 5e-4, "adagrad": 1e-2}
AUGMENTATIONS = ("none", "constant", "halves")


@dataclass(frozen=True)
class RunSettings:
    """Everything that decides a run's outcome.

    Attributes
    ----------
    arch : str
        Key of `training.audioset.models.ARCHITECTURES`; `options` are its keyword arguments.
    loss : {"bce", "ce"}
        One output with binary cross-entropy, or two with cross-entropy.
    optimiser : {"adam", "rmsprop", "adagrad"}
    learning_rate : float or None
        None takes the optimiser's of `LEARNING_RATES`.
    augment : {"none", "constant", "halves"}
        What is done to positives; see `augment_positives`.
    split : {"shuffled", "file-order", "eval"}
        "eval" trains on 4/5 of the *eval* part and validates on the rest: the paper's sanity
        check, never a result.
    fraction : float
        Share of the training and validation clips used, 0 to 1.
    epochs, patience : int
        Stop after `patience` epochs without a lower validation loss.
    """

    arch: str = "linear"
    options: dict = field(default_factory=dict)
    target: str = "Speech"
    exclude: tuple = ()
    loss: str = "bce"
    optimiser: str = "adam"
    learning_rate: float | None = None
    weight_decay: float = 0.0
    augment: str = "none"
    split: str = "shuffled"
    fraction: float = 1.0
    epochs: int = 15
    patience: int = 3
    batch_size: int = 128
    seed: int = 0

    def __post_init__(self):
        for name, known in (
            ("arch", audioset_models.ARCHITECTURES),
            ("loss", ("bce", "ce")),
            ("optimiser", OPTIMISERS),
            ("augment", AUGMENTATIONS),
            ("split", ("shuffled", "file-order", "eval")),
        ):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name}={getattr(self, name)!r} must be {', '.join(known)}")
        if not 0 < self.fraction <= 1:
            raise ConfigError(f"fraction={self.fraction} must be in (0, 1]")
        for name in ("epochs", "patience", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} must be >= 1")

    def to_dict(self):
        """Plain values, for JSON."""
        return dataclasses.asdict(self)


@dataclass
class RunResult:
    """What a run gave.

    Attributes
    ----------
    history : list of dict
        ``epoch, train_loss, val_loss, val_accuracy`` of each epoch.
    best_epoch : int
        Of the lowest validation loss; the model is from there.
    validation, eval : dict
        The figures of `training.audioset.metrics.evaluate` at a threshold of 0.5; `eval` is empty
        until a final model is scored.
    seconds : float
        Processor time of the training.
    """

    history: list
    best_epoch: int
    validation: dict
    n_parameters: int
    seconds: float
    eval: dict = field(default_factory=dict)

    @property
    def best_val_loss(self):
        """Lowest validation loss."""
        return self.history[self.best_epoch]["val_loss"]


def augment_positives(embeddings, lengths, targets, kind, rng, constant=16):
    """Add one augmented copy of every positive clip.

    Parameters
    ----------
    embeddings : ndarray, shape (n, 10, 128), uint8
    lengths : ndarray, shape (n,)
    targets : ndarray, shape (n,)
    kind : {"none", "constant", "halves"}
        "constant": a number drawn from ±1..`constant` is added to all of a clip's bytes,
        clipped to 0..255. "halves": half of one positive plus half of another, byte by byte.
    rng : numpy.random.Generator
    constant : int
        Largest change.

    Returns
    -------
    embeddings, lengths, targets : ndarray
        The originals followed by the copies.
    """
    positives = np.flatnonzero(targets > 0.5)
    if kind == "none" or not positives.size:
        return embeddings, lengths, targets
    copies, copy_lengths = embeddings[positives].astype(np.int16), lengths[positives]
    if kind == "constant":
        change = rng.integers(1, constant + 1, len(positives)) * rng.choice([-1, 1], len(positives))
        copies = np.clip(copies + change[:, None, None], 0, 255)
        copies *= (np.arange(copies.shape[1]) < copy_lengths[:, None])[..., None]
    else:
        # Only a partner at least as long fills every row of the copy.
        partner = rng.permutation(len(positives))
        longer = copy_lengths[partner] >= copy_lengths
        partner = np.where(longer, partner, np.arange(len(positives)))
        copies = (copies + embeddings[positives[partner]]) // 2
        copies *= (np.arange(copies.shape[1]) < copy_lengths[:, None])[..., None]
    return (
        np.concatenate([embeddings, copies.astype(np.uint8)]),
        np.concatenate([lengths, copy_lengths]),
        np.concatenate([targets, targets[positives]]),
    )


def row_mask(lengths, n_rows=10):
    """Which rows are real, shape (n, n_rows), bool tensor."""
    return torch.arange(n_rows) < lengths[:, None]


def class_logit(clip):
    """Logit of the class from one output or two, shape (n,)."""
    return clip[:, 0] if clip.shape[1] == 1 else clip[:, 1] - clip[:, 0]


@torch.no_grad()
def predict(model, embeddings, lengths, batch_size=1024):
    """Probabilities of the class.

    Returns
    -------
    clip : ndarray, shape (n,)
    per_second : ndarray, shape (n, 10), or None
    """
    model.eval()
    clips, rows = [], []
    for i in range(0, len(lengths), batch_size):
        x = audioset_models.scale_bytes(torch.from_numpy(embeddings[i : i + batch_size]))
        clip, row = model(x, row_mask(torch.from_numpy(lengths[i : i + batch_size])))
        clips.append(torch.sigmoid(class_logit(clip)))
        rows.append(None if row is None else torch.sigmoid(row))
    per_second = None if rows[0] is None else torch.cat(rows).numpy()
    return torch.cat(clips).numpy(), per_second


def _loss(clip, targets):
    if clip.shape[1] == 2:
        return torch.nn.functional.cross_entropy(clip, targets.long())
    return torch.nn.functional.binary_cross_entropy_with_logits(clip[:, 0], targets)


def _mean_loss(scores, targets):
    """Mean loss of probabilities: what both losses come to for two classes."""
    right = np.where(targets > 0.5, scores, 1.0 - scores)
    return float(-np.log(np.maximum(right, 1e-7)).mean())


def fit(settings, train, validation, progress=None):
    """Train one model.

    Parameters
    ----------
    settings : RunSettings
    train, validation : tuple
        ``(embeddings, lengths, targets)`` arrays.
    progress : callable or None
        Called with each epoch's dict.

    Returns
    -------
    model : torch.nn.Module
        At its best epoch.
    result : RunResult
    """
    started = time.process_time()
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    n_outputs = 2 if settings.loss == "ce" else 1
    model = audioset_models.build(settings.arch, settings.options, n_outputs)
    optimiser = OPTIMISERS[settings.optimiser](
        model.parameters(),
        lr=settings.learning_rate or LEARNING_RATES[settings.optimiser],
        weight_decay=settings.weight_decay,
    )
    train = augment_positives(*train, settings.augment, rng)
    x, lengths, targets = (torch.from_numpy(np.ascontiguousarray(a)) for a in train)
    history, best, best_state = [], 0, None
    for epoch in range(settings.epochs):
        model.train()
        order, total = torch.from_numpy(rng.permutation(len(targets))), 0.0
        for index in order.split(settings.batch_size):
            clip, _ = model(audioset_models.scale_bytes(x[index]), row_mask(lengths[index]))
            loss = _loss(clip, targets[index])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item() * len(index)
        scores, _ = predict(model, validation[0], validation[1])
        history.append(
            {
                "epoch": epoch,
                "train_loss": total / len(targets),
                "val_loss": _mean_loss(scores, validation[2]),
                "val_accuracy": float(np.mean((scores >= 0.5) == (validation[2] > 0.5))),
            }
        )
        if progress:
            progress(history[-1])
        if best_state is None or history[-1]["val_loss"] < history[best]["val_loss"]:
            best, best_state = epoch, copy.deepcopy(model.state_dict())
        elif epoch - best >= settings.patience:
            break
    model.load_state_dict(best_state)
    scores, _ = predict(model, validation[0], validation[1])
    return model, RunResult(
        history,
        best,
        evaluate(validation[2], scores),
        sum(p.numel() for p in model.parameters()),
        time.process_time() - started,
    )


def prepare(settings, data, cache=None):
    """Training and validation arrays of a run.

    Returns
    -------
    train, validation : tuple
        ``(embeddings, lengths, targets)``.
    """
    part = "eval" if settings.split == "eval" else "bal_train"
    clips = audioset_data.load_part(data, part, cache)
    classes = audioset_data.ClassList.load(data)
    targets, keep = audioset_data.select_target(clips, classes, settings.target, settings.exclude)
    kind = "file-order" if settings.split == "file-order" else "shuffled"
    # The split is fixed: seeds vary the model, not the data.
    parts = []
    for index in audioset_data.split_clips(len(clips), kind, seed=0):
        index = index[keep[index]]
        index = index[: max(1, round(len(index) * settings.fraction))]
        part_targets = targets[index]
        if not 0 < part_targets.sum() < len(part_targets):
            raise ConfigError(
                f"target={settings.target!r} must have clips both with and without it"
            )
        parts.append((clips.embeddings[index], clips.lengths[index], part_targets))
    return tuple(parts)
