"""Training of one network of the best model: settings, augmentation, losses, the loop."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional

from training.audioset.best_net import BestNet, BestNetSettings
from training.audioset.models import scale_bytes
from training.audioset.related import pool_linear_softmax
from training.audioset.train import row_mask


@dataclass(frozen=True)
class BestSettings:
    """How a member is trained.

    Attributes
    ----------
    net : BestNetSettings
    fold : int or None
        Of a network for the seconds, the one of the five folds it is not trained on. None makes a
        network for the clips.
    mixup : float
        Parameter of the symmetric beta distribution; 0 for none.
    smoothing : float
        Share of the target's label replaced by one half.
    others_weight : float
        Weight of the loss over all other classes (a tenth of their sum).
    splice : float
        Share of batches whose clips are the beginning of one clip and the end of another. Each
        part, its rows pooled by linear softmax, then has to give the label it came with.
    rows_weight : float
        Weight of the loss of a clip's rows pooled by linear softmax.
    crop : float
        Share of batches cut to a random run of 3 to 9 rows, so that short input is no surprise.
    persistence : float
        Power of `persistence_scale` on the input; 0 for none.
    average : float
        Decay of the weight average, a step; the average is what is kept. 0 for none.
    """

    net: BestNetSettings = field(default_factory=BestNetSettings)
    epochs: int = 8
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    mixup: float = 0.5
    smoothing: float = 0.05
    others_weight: float = 1.0
    splice: float = 0.0
    rows_weight: float = 0.0
    crop: float = 0.0
    persistence: float = 0.0
    average: float = 0.0
    fold: int | None = None
    seed: int = 0

    @property
    def gives_seconds(self):
        """Whether the ensemble takes this member's rows; if not, it takes its clip output."""
        return self.fold is not None


def persistence_scale(clips, power=1.0):
    """Scale of each dimension by how much it says about the next second.

    The released embeddings are whitened: each dimension has the same spread, although the first
    hold most of what VGGish heard and the last mostly noise. What belongs to a sound lasts longer
    than a second, noise does not: so a dimension is weighed by its correlation with itself a row
    later.

    Parameters
    ----------
    clips : ClipSet
        Those of ten rows count; without any, the scale is 1.
    power : float
        Of the correlation.

    Returns
    -------
    scale : ndarray, shape (128,), float32
        Its mean square is 1.
    """
    rows = clips.embeddings[clips.lengths == clips.embeddings.shape[1]].astype(np.float32)
    if not len(rows):
        return np.ones(clips.embeddings.shape[2], np.float32)
    rows -= rows.mean((0, 1))
    correlation = (rows[:, 1:] * rows[:, :-1]).mean((0, 1)) / (rows**2).mean((0, 1)).clip(1e-9)
    scale = correlation.clip(1e-3) ** power
    return scale / np.sqrt(np.mean(scale**2))


def pool_rows(rows, clips):
    """A clip's score from its rows', (n, 10) to (n,): linear softmax over the real ones."""
    rows, mask = torch.from_numpy(rows)[..., None], torch.from_numpy(clips.mask)
    return pool_linear_softmax(rows, mask)[:, 0].numpy()


def _crop(x, mask, lengths, rng):
    n_kept = int(rng.integers(3, x.shape[1]))
    start = int(rng.integers(0, x.shape[1] - n_kept + 1))
    # Clips too short for the cut keep their first rows.
    start = torch.where(lengths >= start + n_kept, start, 0)[:, None]
    rows = start + torch.arange(n_kept)
    return x.gather(1, rows[..., None].expand(-1, -1, x.shape[2])), mask.gather(1, rows)


def _mix(x, mask, targets, alpha, rng):
    share = rng.beta(alpha, alpha, len(x)).astype(np.float32)
    share = torch.from_numpy(np.maximum(share, 1 - share))
    other = torch.from_numpy(rng.permutation(len(x)))
    x = x * share[:, None, None] + x[other] * (1 - share)[:, None, None]
    targets = targets * share[:, None] + targets[other] * (1 - share)[:, None]
    return x, mask | mask[other], targets


def _splice(x, mask, targets, rng):
    """Clips cut together, and ``(mask of its rows, target)`` of the two parts."""
    n_rows = x.shape[1]
    cut = torch.from_numpy(rng.integers(2, n_rows - 1, len(x)))
    other = torch.from_numpy(rng.permutation(len(x)))
    late = torch.arange(n_rows) >= cut[:, None]
    x = torch.where(late[..., None], x[other], x)
    mask = torch.where(late, mask[other], mask)
    parts = ((mask & ~late, targets[:, 0]), (mask & late, targets[other, 0]))
    return x, mask, torch.maximum(targets, targets[other]), parts


def _label_loss(clip, targets, settings):
    loss = functional.binary_cross_entropy_with_logits(clip[:, 0], _smooth(targets[:, 0], settings))
    if settings.others_weight and targets.shape[1] > 1:
        others = functional.binary_cross_entropy_with_logits(
            clip[:, 1:], targets[:, 1:], reduction="none"
        )
        loss = loss + settings.others_weight * 0.1 * others.sum(1).mean()
    return loss


def _smooth(target, settings):
    return target * (1 - settings.smoothing) + settings.smoothing / 2


def _rows_loss(rows, mask, target, settings):
    pooled = pool_linear_softmax(torch.sigmoid(rows)[..., None], mask)[:, 0]
    target = _smooth(target, settings)
    return functional.binary_cross_entropy(pooled.clamp(1e-5, 1 - 1e-5), target)


def _parts_loss(rows, parts, settings):
    loss = 0.0
    for mask, target in parts:
        # A part may lie behind the end of a short clip.
        there = mask.any(1)
        loss = loss + _rows_loss(rows[there], mask[there], target[there], settings)
    return 0.5 * loss


def train_net(settings, clips, targets, progress=None):
    """Train one network.

    Parameters
    ----------
    settings : BestSettings
    clips : ClipSet
    targets : ndarray, shape (n, n_classes), float32
        The target first.
    progress : callable or None
        Called with ``(epoch, mean loss)``.

    Returns
    -------
    net : BestNet
        In eval mode.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
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
    labels = torch.from_numpy(targets)[:, : settings.net.n_classes]
    averaged = [p.detach().clone() for p in net.parameters()] if settings.average else []
    net.train()
    for epoch in range(settings.epochs):
        order, total = rng.permutation(len(clips)), 0.0
        for i in range(0, len(order) - size + 1, size):
            index = torch.from_numpy(order[i : i + size])
            x, mask, y = scale_bytes(embeddings[index]), row_mask(lengths[index]), labels[index]
            parts = ()
            if settings.crop and rng.random() < settings.crop:
                x, mask = _crop(x, mask, lengths[index], rng)
            if settings.mixup:
                x, mask, y = _mix(x, mask, y, settings.mixup, rng)
            if rng.random() < settings.splice:
                x, mask, y, parts = _splice(x, mask, y, rng)
            with torch.autocast("cpu", torch.bfloat16):
                clip, rows = net(x, mask)
            loss = _label_loss(clip, y, settings) + _parts_loss(rows, parts, settings)
            if settings.rows_weight:
                loss = loss + settings.rows_weight * _rows_loss(rows, mask, y[:, 0], settings)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            if averaged:
                with torch.no_grad():
                    torch._foreach_lerp_(averaged, list(net.parameters()), 1 - settings.average)
            total += loss.item()
        if progress:
            progress(epoch, total / max(1, len(order) // size))
    with torch.no_grad():
        for parameter, value in zip(net.parameters(), averaged, strict=bool(averaged)):
            parameter.copy_(value)
    return net.eval()


@torch.no_grad()
def predict_net(net, clips, batch_size=1024):
    """Probabilities of the target: clip (n,) and rows (n, 10)."""
    clip, rows = [], []
    for i in range(0, len(clips), batch_size):
        part = slice(i, i + batch_size)
        x = scale_bytes(torch.from_numpy(clips.embeddings[part]))
        c, r = net(x, row_mask(torch.from_numpy(clips.lengths[part])))
        clip.append(torch.sigmoid(c[:, 0]))
        rows.append(torch.sigmoid(r))
    return torch.cat(clip).numpy(), torch.cat(rows).numpy()
