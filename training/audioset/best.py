"""The best model from bal_train alone: networks cross-fitted on five folds, their mean exported.

1. Every member architecture is trained once on each four of five folds, on the target and, at a
   small weight, on all other classes; mixup, label smoothing and weight averaging hold it back.
   Each clip then has scores from members that never saw it: thresholds and every choice rest on
   these *out-of-fold* scores.
2. The mean over folds and architectures is what is exported, as one graph.

The eval part takes no part in any of this.
"""

import copy
import dataclasses
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from training.audioset import data as audioset_data
from training.audioset.best_net import BestNet, BestNetSettings
from training.audioset.metrics import choose_thresholds, evaluate
from training.audioset.models import scale_bytes
from training.audioset.related import pool_linear_softmax, to_logit
from training.audioset.train import row_mask


@dataclass(frozen=True)
class BestSettings:
    """How a member is trained.

    Attributes
    ----------
    net : BestNetSettings
    mixup : float
        Parameter of the symmetric beta distribution; 0 for none.
    smoothing : float
        Share of the target's label replaced by one half.
    others_weight : float
        Weight of the loss over all other classes (a tenth of their sum).
    rows_weight : float
        Weight of the loss of the rows pooled by linear softmax.
    crop : float
        Share of batches cut to a random run of 3 to 9 rows, so that short input is no surprise.
    average : float
        Decay of the weight average, a step; the average is what is kept.
    """

    net: BestNetSettings = field(default_factory=BestNetSettings)
    epochs: int = 14
    batch_size: int = 512
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    mixup: float = 1.0
    smoothing: float = 0.05
    others_weight: float = 0.2
    rows_weight: float = 0.3
    crop: float = 0.1
    average: float = 0.99


N_FOLDS = 5


def _mix(x, mask, targets, alpha, rng):
    share = torch.from_numpy(rng.beta(alpha, alpha, len(x)).astype(np.float32))
    other = torch.from_numpy(rng.permutation(len(x)))
    x = x * share[:, None, None] + x[other] * (1 - share)[:, None, None]
    targets = targets * share[:, None] + targets[other] * (1 - share)[:, None]
    return x, mask | mask[other], targets


def _label_loss(clip, rows, mask, targets, settings):
    main = targets[:, 0] * (1 - settings.smoothing) + settings.smoothing / 2
    loss = functional.binary_cross_entropy_with_logits(clip[:, 0], main)
    if settings.others_weight:
        others = functional.binary_cross_entropy_with_logits(
            clip[:, 1:], targets[:, 1:], reduction="none"
        )
        loss = loss + settings.others_weight * 0.1 * others.sum(1).mean()
    pooled = pool_linear_softmax(torch.sigmoid(rows)[..., None], mask)[:, 0].clamp(1e-5, 1 - 1e-5)
    return loss + settings.rows_weight * functional.binary_cross_entropy(pooled, main)


def train_net(settings, clips, targets, seed, progress=None):
    """Train one network.

    Parameters
    ----------
    settings : BestSettings
    clips : ClipSet
    targets : ndarray, shape (n, n_classes), float32
        The target first.
    seed : int
    progress : callable or None
        Called with ``(epoch, mean loss)``.

    Returns
    -------
    net : BestNet
        With averaged weights, in eval mode.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = BestNet(settings.net)
    optimiser = torch.optim.AdamW(
        net.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    size = min(settings.batch_size, len(clips))
    steps = settings.epochs * (len(clips) // size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=steps + 1, pct_start=0.15
    )
    averaged = [p.detach().clone() for p in net.parameters()]
    embeddings, lengths = torch.from_numpy(clips.embeddings), torch.from_numpy(clips.lengths)
    labels = torch.from_numpy(targets)
    for epoch in range(settings.epochs):
        net.train()
        order, total = rng.permutation(len(clips)), 0.0
        for i in range(0, len(order) - size + 1, size):
            index = torch.from_numpy(order[i : i + size])
            x, mask, y = scale_bytes(embeddings[index]), row_mask(lengths[index]), labels[index]
            if rng.random() < settings.crop:
                n = int(rng.integers(3, 10))
                start = int(rng.integers(0, 10 - n + 1))
                # Clips too short for the cut keep their first rows.
                start = torch.where(lengths[index] >= start + n, start, 0)[:, None, None]
                rows = start + torch.arange(n)[None, :, None]
                x = x.gather(1, rows.expand(-1, -1, x.shape[2]))
                mask = mask.gather(1, rows[..., 0])
            if settings.mixup:
                x, mask, y = _mix(x, mask, y, settings.mixup, rng)
            with torch.autocast("cpu", torch.bfloat16):
                clip, rows = net(x, mask)
            loss = _label_loss(clip, rows, mask, y, settings)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            with torch.no_grad():
                torch._foreach_lerp_(averaged, list(net.parameters()), 1 - settings.average)
            total += loss.item()
        if progress:
            progress(epoch, total / max(1, len(order) // size))
    with torch.no_grad():
        for parameter, value in zip(net.parameters(), averaged, strict=True):
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


def label_matrix(clips, classes, target):
    """Targets of `clips` with the target first and every other class after it, float32."""
    wanted, _ = audioset_data.select_target(clips, classes, target)
    others = np.setdiff1d(np.arange(clips.labels.shape[1]), classes.indices(target))
    # One column at least is the target's, whatever its name stands for.
    return np.concatenate([wanted[:, None], clips.labels[:, others]], 1).astype(np.float32)


def fold_of(n, n_folds=N_FOLDS, seed=0):
    """Fold of each of `n` clips, shape (n,); the folds are shuffled and of equal size."""
    fold = np.empty(n, dtype=np.int64)
    fold[np.random.default_rng(seed).permutation(n)] = np.arange(n) % n_folds
    return fold


def save_net(path, net):
    """Keep a network: its sizes beside its weights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save({"settings": dataclasses.asdict(net.settings), "weights": net.state_dict()}, partial)
    partial.replace(path)


def load_net(path):
    """A network kept by `save_net`, in eval mode."""
    kept = torch.load(path, weights_only=True)
    net = BestNet(BestNetSettings(**kept["settings"]))
    net.load_state_dict(kept["weights"])
    return net.eval()


class Ensemble(nn.Module):
    """The mean probabilities of networks, as logits, with the interface of `BestNet`.

    Of each network's clip outputs only the target's is kept.
    """

    def __init__(self, nets):
        super().__init__()
        self.nets = nn.ModuleList(copy.deepcopy(net) for net in nets)
        for net in self.nets:
            net.clip.weight = nn.Parameter(net.clip.weight[:1].clone())
            net.clip.bias = nn.Parameter(net.clip.bias[:1].clone())

    def forward(self, x, mask):  # noqa: D102
        answers = [net(x, mask) for net in self.nets]
        clip, rows = (sum(torch.sigmoid(a) for a in part) / len(answers) for part in zip(*answers))  # noqa: B905
        return to_logit(clip), to_logit(rows)


def load_ensemble(folder, n_members):
    """The ensemble that `cross_fit` left in `folder`."""
    paths = [f"member{m}-fold{k}.pt" for m in range(n_members) for k in range(N_FOLDS)]
    return Ensemble([load_net(Path(folder) / path) for path in paths]).eval()


def cross_fit(members, clips, targets, folder, say=print):
    """Train every member on every four of five folds; finished ones are read back.

    Returns
    -------
    nets : list of BestNet
        Member by member, fold by fold.
    out_of_fold : ndarray, shape (n_members, n)
        Clip probabilities from the networks that never saw the clip.
    """
    fold = fold_of(len(clips))
    nets, out_of_fold = [], np.zeros((len(members), len(clips)), dtype=np.float32)
    for m, settings in enumerate(members):
        for k in range(N_FOLDS):
            path = Path(folder) / f"member{m}-fold{k}.pt"
            if path.exists():
                net = load_net(path)
            else:
                started = time.perf_counter()
                seen = fold != k
                net = train_net(settings, clips.take(seen), targets[seen], seed=10 * m + k)
                save_net(path, net)
                say(f"member {m} fold {k}: {time.perf_counter() - started:.0f} s")
            held_out = fold == k
            out_of_fold[m, held_out], _ = predict_net(net, clips.take(held_out))
            nets.append(net)
    return nets, out_of_fold


def members(fast=False):
    """Settings of the ensemble's architectures."""
    return [BestSettings(epochs=1)] if fast else [BestSettings()]


def train_best(args, target="Speech"):
    """Train the ensemble, choose thresholds, then score eval, once.

    Everything is kept under ``RUNS/best``; what is there is not made again.

    Parameters
    ----------
    args : argparse.Namespace
        ``data``, ``runs`` and ``fast`` of `gate-train audioset`.
    target : str

    Returns
    -------
    record : dict
        ``thresholds``, ``out_of_fold`` (each member and their mean), ``eval``, ``seconds``.
    """
    torch.set_num_threads(1)
    folder = Path(args.runs) / ("best-fast" if args.fast else "best")
    summary = folder / "best.json"
    if summary.exists():
        return json.loads(summary.read_text(encoding="utf-8"))
    started = time.perf_counter()
    cache = Path(args.runs) / "cache"
    classes = audioset_data.ClassList.load(args.data)
    clips = audioset_data.load_part(args.data, "bal_train", cache)
    if args.fast:
        clips = clips.take(np.arange(len(clips) // 10))
    targets = label_matrix(clips, classes, target)
    nets, out_of_fold = cross_fit(members(args.fast), clips, targets, folder)
    truth, pooled = targets[:, 0], out_of_fold.mean(0)
    thresholds = choose_thresholds(truth, pooled)
    record = {
        "target": target,
        "n_folds": N_FOLDS,
        "thresholds": {"accuracy": thresholds[0], "f1": thresholds[1]},
        "out_of_fold": {
            **{f"member{m}": evaluate(truth, s, *thresholds) for m, s in enumerate(out_of_fold)},
            "mean": evaluate(truth, pooled, *thresholds),
        },
    }
    record["eval"] = score_best(args, Ensemble(nets).eval(), thresholds, classes, target)
    record["seconds"] = round(time.perf_counter() - started, 1)
    summary.write_text(json.dumps(record, indent=1), encoding="utf-8")
    return record


def score_best(args, net, thresholds, classes, target):
    """Figures on eval, clips and seconds."""
    from training.audioset.metrics import per_second_roc_auc

    clips = audioset_data.load_part(args.data, "eval", Path(args.runs) / "cache")
    truth, _ = audioset_data.select_target(clips, classes, target)
    clip, rows = predict_net(net, clips)
    figures = evaluate(truth, clip, *thresholds)
    if target == "Speech":
        strong = audioset_data.load_strong_speech(args.data)
        figures["per_second_roc_auc"], figures["n_strong_clips"] = per_second_roc_auc(
            clips.video_ids, rows, clips.lengths, *strong
        )
    return figures
