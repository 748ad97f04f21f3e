"""Training of one network of the best model: settings, augmentation, losses."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional

from training.audioset.best_net import BestNet, BestNetSettings
from training.audioset.layers import pool_linear_softmax, row_mask, scale_bytes
from training.audioset.loop import train_epochs


@dataclass(frozen=True)
class BestSettings:
    """How a member is trained; 0 of a share, weight or power is none of it."""

    net: BestNetSettings = field(default_factory=BestNetSettings)
    epochs: int = 8
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    mixup: float = 0.5
    """Parameter of the symmetric beta distribution."""
    smoothing: float = 0.05
    """Share of the target's label replaced by one half."""
    others_weight: float = 1.0
    """Of the loss over all other classes (a tenth of their sum)."""
    rows_weight: float = 0.0
    """Of the loss of rows: to what a teacher says of each, or, pooled, to the clip's label."""
    crop: float = 0.0
    """Share of batches cut to a random run of 3 to 9 rows, so that short input is no surprise."""
    persistence: float = 0.0
    """Power of `persistence_scale` on the input."""
    average: float = 0.0
    """Decay of the weight average, a step; the average is what is kept."""
    seed: int = 0


def persistence_scale(clips, power=1.0):
    """Scale of each dimension by how much it says about the next second, (128,) float32.

    The released embeddings are whitened: each dimension has the same spread, although the first
    hold most of what VGGish heard and the last mostly noise. What belongs to a sound lasts longer
    than a second, noise does not: so a dimension is weighed by a power of its correlation with
    itself a row later, in clips of ten rows (without any, the scale is 1). Its mean square is 1.
    """
    rows = clips.embeddings[clips.lengths == clips.embeddings.shape[1]].astype(np.float32)
    if not len(rows):
        return np.ones(clips.embeddings.shape[2], np.float32)
    rows -= rows.mean((0, 1))
    correlation = (rows[:, 1:] * rows[:, :-1]).mean((0, 1)) / (rows**2).mean((0, 1)).clip(1e-9)
    scale = correlation.clip(1e-3) ** power
    return scale / np.sqrt(np.mean(scale**2))


def _crop(x, mask, lengths, rng):
    n_kept = int(rng.integers(3, x.shape[1]))
    start = int(rng.integers(0, x.shape[1] - n_kept + 1))
    # Clips too short for the cut keep their first rows.
    start = torch.where(lengths >= start + n_kept, start, 0)[:, None]
    rows = start + torch.arange(n_kept)
    return x.gather(1, rows[..., None].expand(-1, -1, x.shape[2])), mask.gather(1, rows)


def _mix(arrays, alpha, rng):
    """Each of a batch's arrays times a share plus another clip's times the rest; and the other."""
    share = rng.beta(alpha, alpha, len(arrays[0])).astype(np.float32)
    share = torch.from_numpy(np.maximum(share, 1 - share))
    other = torch.from_numpy(rng.permutation(len(share)))
    parts = [share.view(-1, *[1] * (array.ndim - 1)) for array in arrays]
    return [a * part + a[other] * (1 - part) for a, part in zip(arrays, parts, strict=True)], other


def _loss(settings, clip, rows, mask, y, taught):
    """Of the target's label, of all other classes' and of the rows, weighed."""
    with_logits = functional.binary_cross_entropy_with_logits
    target = y[:, 0] * (1 - settings.smoothing) + settings.smoothing / 2
    loss = with_logits(clip[:, 0], target)
    if settings.others_weight and y.shape[1] > 1:
        others = with_logits(clip[:, 1:], y[:, 1:], reduction="none").sum(1).mean()
        loss = loss + settings.others_weight * 0.1 * others
    if not settings.rows_weight:
        return loss
    if taught is None:
        pooled = pool_linear_softmax(torch.sigmoid(rows)[..., None], mask)[:, 0]
        of_rows = functional.binary_cross_entropy(pooled.clamp(1e-5, 1 - 1e-5), target)
    else:
        of_rows = (with_logits(rows, taught, reduction="none") * mask).sum() / mask.sum()
    return loss + settings.rows_weight * of_rows


def train_net(settings, clips, targets, rows=None, net=None):
    """Train one network.

    Parameters
    ----------
    settings : BestSettings
    clips : ClipSet
    targets : ndarray, shape (n, n_classes), float32
        The target first; 0 or 1, or what a teacher says.
    rows : ndarray, shape (n, 10), float32, or None
        What a teacher says of the target in each row.
    net : BestNet or None
        Where to begin, changed in place; None begins at random.

    Returns
    -------
    net : BestNet
        In eval mode.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    if net is None:
        net = BestNet(settings.net)
        if settings.persistence:
            scale = persistence_scale(clips, settings.persistence)
            net.input_scale.copy_(torch.from_numpy(scale))
    optimiser = torch.optim.AdamW(
        net.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    size = min(settings.batch_size, len(clips))
    steps = settings.epochs * (len(clips) // size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=steps + 1, pct_start=0.15
    )
    embeddings, lengths = torch.from_numpy(clips.embeddings), torch.from_numpy(clips.lengths)
    told = [torch.from_numpy(targets)[:, : settings.net.n_classes]]
    told += [] if rows is None else [torch.from_numpy(rows)]

    def batches():
        order = torch.from_numpy(rng.permutation(len(clips)))
        return order[: len(order) // size * size].split(size)

    def loss_of(index):
        x, mask = scale_bytes(embeddings[index]), row_mask(lengths[index])
        if settings.crop and rng.random() < settings.crop:
            x, mask = _crop(x, mask, lengths[index], rng)
        arrays = [x, *(array[index] for array in told)]
        if settings.mixup:
            arrays, other = _mix(arrays, settings.mixup, rng)
            mask = mask | mask[other]
        x, y, taught = [*arrays, None][:3]
        with torch.autocast("cpu", torch.bfloat16):
            clip, found = net(x, mask)
        return _loss(settings, clip, found, mask, y, taught)

    train_epochs(
        net, batches, loss_of, optimiser, settings.epochs,
        schedule=schedule, clip_norm=5.0, average=settings.average,
    )  # fmt: skip
    return net.eval()
