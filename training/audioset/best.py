"""The best model from bal_train alone: several networks, their mean exported as one graph.

1. Every member is trained on the shuffled four fifths, on the target and, at a small weight, on
   all other classes; the last fifth chooses settings and thresholds.
2. Every member is trained again on all of bal_train, because a fifth more clips gives more than
   any other choice: these are exported.

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
    gives_seconds : bool
        Whether the ensemble takes this member's rows; if not, it takes its clip output.
    mixup : float
        Parameter of the symmetric beta distribution; 0 for none.
    smoothing : float
        Share of the target's label replaced by one half.
    others_weight : float
        Weight of the loss over all other classes (a tenth of their sum).
    splice : float
        Share of batches whose clips are the beginning of one clip and the end of another. Each
        part, its rows pooled by linear softmax, then has to give the label it came with.
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
    gives_seconds: bool = False
    seed: int = 0


def members(fast=False):
    """Settings of the ensemble's networks."""
    if fast:
        return [BestSettings(epochs=1), BestSettings(epochs=1, gives_seconds=True)]
    wide = BestNetSettings(width=1024)
    row_wise = BestNetSettings(width=256, convs=0)
    wide_held_back = BestNetSettings(width=1024, dropout=0.5)
    return [
        BestSettings(wide, seed=0),
        BestSettings(wide_held_back, seed=1, epochs=9, others_weight=2.0),
        BestSettings(seed=3, others_weight=0.0),
        *(BestSettings(row_wise, gives_seconds=True, seed=seed) for seed in (4, 5, 6)),
    ]


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


def _parts_loss(rows, parts, settings):
    loss = 0.0
    for mask, target in parts:
        # A part may lie behind the end of a short clip.
        there = mask.any(1)
        pooled = pool_linear_softmax(torch.sigmoid(rows)[there][..., None], mask[there])[:, 0]
        target = _smooth(target[there], settings)
        loss = loss + functional.binary_cross_entropy(pooled.clamp(1e-5, 1 - 1e-5), target)
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
    net.train()
    for epoch in range(settings.epochs):
        order, total = rng.permutation(len(clips)), 0.0
        for i in range(0, len(order) - size + 1, size):
            index = torch.from_numpy(order[i : i + size])
            x, mask, y = scale_bytes(embeddings[index]), row_mask(lengths[index]), labels[index]
            parts = ()
            if settings.mixup:
                x, mask, y = _mix(x, mask, y, settings.mixup, rng)
            if rng.random() < settings.splice:
                x, mask, y, parts = _splice(x, mask, y, rng)
            with torch.autocast("cpu", torch.bfloat16):
                clip, rows = net(x, mask)
            loss = _label_loss(clip, y, settings) + _parts_loss(rows, parts, settings)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            total += loss.item()
        if progress:
            progress(epoch, total / max(1, len(order) // size))
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


def save_net(path, net, seconds=0.0):
    """Keep a network: sizes, weights, and the processor time it took."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    kept = {"settings": dataclasses.asdict(net.settings), "weights": net.state_dict()}
    torch.save(kept | {"seconds": seconds}, partial)
    partial.replace(path)


def load_net(path):
    """A network kept by `save_net`, in eval mode."""
    kept = torch.load(path, weights_only=True)
    net = BestNet(BestNetSettings(**kept["settings"]))
    net.load_state_dict(kept["weights"])
    return net.eval()


class Ensemble(nn.Module):
    """Several networks as one, with the interface of `BestNet` and the target's outputs only.

    Parameters
    ----------
    nets : sequence of BestNet
    gives_seconds : sequence of bool
        Of each network: whether it is one for the seconds or one for the clips. If none is, the
        networks for the clips give both.

    Notes
    -----
    Matrices are rounded as they are exported. A clip's answer is the mean of the probabilities,
    a second's the mean of the logits.
    """

    def __init__(self, nets, gives_seconds):
        super().__init__()
        self.gives_seconds = tuple(gives_seconds)
        self.nets = nn.ModuleList(copy.deepcopy(net) for net in nets)
        for net in self.nets:
            net.slim()

    def forward(self, x, mask):  # noqa: D102
        clips, rows = [], []
        for net, gives_seconds in zip(self.nets, self.gives_seconds, strict=True):
            clip, row = net(x, mask)
            if not gives_seconds:
                clips.append(torch.sigmoid(clip))
            if gives_seconds or not any(self.gives_seconds):
                rows.append(row)
        return to_logit(sum(clips) / len(clips)), sum(rows) / len(rows)


def train_member(settings, clips, targets, path, say=print):
    """One network trained on `clips` and kept at `path`; read back if it is there.

    Parameters
    ----------
    settings : BestSettings
    clips : ClipSet
    targets : ndarray, shape (n, n_classes), float32
    path : Path
    say : callable

    Returns
    -------
    net : BestNet
    """
    if not path.exists():
        started = time.process_time()
        net = train_net(settings, clips, targets)
        seconds = time.process_time() - started
        save_net(path, net, seconds)
        say(f"{path.stem}: {seconds:.1f} processor s", flush=True)
    return load_net(path)


def load_ensemble(folder, gives_seconds):
    """The ensemble that `train_best` left in `folder`."""
    nets = [load_net(Path(folder) / f"final{m}.pt") for m in range(len(gives_seconds))]
    return Ensemble(nets, gives_seconds).eval()


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
        ``thresholds``, ``validation`` (each member and the ensemble), ``eval``, ``seconds``
        (processor time of all training).
    """
    torch.set_num_threads(1)
    folder = Path(args.runs) / ("best-fast" if args.fast else "best")
    summary = folder / "best.json"
    if summary.exists():
        return json.loads(summary.read_text(encoding="utf-8"))
    clips = audioset_data.load_part(args.data, "bal_train", Path(args.runs) / "cache")
    classes = audioset_data.ClassList.load(args.data)
    if args.fast:
        clips = clips.take(np.arange(len(clips) // 10))
    targets, settings = label_matrix(clips, classes, target), members(args.fast)
    record = {"target": target, "gives_seconds": [s.gives_seconds for s in settings]}
    record |= check_members(settings, clips, targets, folder)
    for m, member in enumerate(settings):
        train_member(member, clips, targets, folder / f"final{m}.pt")
    net = load_ensemble(folder, record["gives_seconds"])
    thresholds = record["thresholds"]["accuracy"], record["thresholds"]["f1"]
    record["eval"] = score_best(args, net, thresholds, classes, target)
    kept = (torch.load(path, weights_only=True) for path in folder.glob("*.pt"))
    record["seconds"] = round(sum(net["seconds"] for net in kept), 1)
    summary.write_text(json.dumps(record, indent=1), encoding="utf-8")
    return record


def check_members(settings, clips, targets, folder):
    """Train on four fifths; thresholds and figures from the last.

    Networks for the seconds are left out: there are no labels to check them on.

    Returns
    -------
    record : dict
        ``thresholds`` and ``validation``.
    """
    train, validation = audioset_data.split_clips(len(clips))
    settings = [s for s in settings if not s.gives_seconds]
    nets = [
        train_member(s, clips.take(train), targets[train], Path(folder) / f"check{m}.pt")
        for m, s in enumerate(settings)
    ]
    net = Ensemble(nets, [False] * len(nets)).eval()
    held_out, truth = clips.take(validation), targets[validation, 0]
    scores, _ = predict_net(net, held_out)
    thresholds = choose_thresholds(truth, scores)
    figures = {
        f"member{m}": evaluate(truth, predict_net(member, held_out)[0])
        for m, member in enumerate(net.nets)
    }
    figures["ensemble"] = evaluate(truth, scores, *thresholds)
    return {
        "thresholds": {"accuracy": thresholds[0], "f1": thresholds[1]},
        "validation": figures,
    }


def score_best(args, net, thresholds, classes, target):
    """Figures on eval, clips and seconds."""
    from training.audioset.metrics import per_second_roc_auc

    clips = audioset_data.load_part(args.data, "eval", Path(args.runs) / "cache")
    truth, _ = audioset_data.select_target(clips, classes, target)
    clip, rows = predict_net(net, clips)
    figures = evaluate(truth, clip, *thresholds)
    if target == "Speech":
        strong = audioset_data.load_strong_speech(args.data)
        labelled = (clips.video_ids, rows, clips.lengths, *strong)
        figures["per_second_roc_auc"], figures["n_strong_clips"] = per_second_roc_auc(*labelled)
        figures["per_second_roc_auc_clear"], _ = per_second_roc_auc(*labelled, clear=True)
    return figures
