"""The best model from bal_train alone: several networks, their mean exported as one graph.

Networks for the clips:

1. Every one is trained on the shuffled four fifths, on the target and, at a small weight, on
   all other classes; the last fifth chooses settings and thresholds.
2. Every one is trained again on all of bal_train, because a fifth more clips gives more than
   any other choice: these are exported.

Networks for the seconds, smaller and held back more, are trained on four of five folds each. The
threshold for live use comes from the clips that each of them did not see.

The eval part takes no part in any of this.
"""

import copy
import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from training.audioset import data as audioset_data
from training.audioset.best_net import BestNet, BestNetSettings
from training.audioset.best_train import BestSettings, predict_net, train_net
from training.audioset.metrics import choose_thresholds, evaluate
from training.audioset.related import to_logit

N_FOLDS = 5
SECONDS_NET = BestNetSettings(width=256, convs=0, norm="layer", activation="gelu", pool="features")
"""Nothing mixes rows before a row decides, so it can only tell what that second holds."""


def seconds_settings(fold, **changes):
    """Settings of a network for the seconds."""
    given = {
        "net": SECONDS_NET, "epochs": 14, "batch_size": 512, "learning_rate": 2e-3,
        "weight_decay": 0.05, "mixup": 1.0, "others_weight": 0.2, "rows_weight": 0.3,
        "crop": 0.1, "average": 0.99, "seed": fold,
    }  # fmt: skip
    return BestSettings(fold=fold, **(given | changes))


def members(fast=False):
    """Settings of the ensemble's networks."""
    if fast:
        return [BestSettings(epochs=1), seconds_settings(0, epochs=1)]
    wide = BestNetSettings(width=1024)
    wide_held_back = BestNetSettings(width=1024, dropout=0.5)
    return [
        BestSettings(wide, seed=0),
        BestSettings(wide_held_back, seed=1, epochs=9, others_weight=2.0),
        BestSettings(seed=3, others_weight=0.0),
        *(seconds_settings(fold) for fold in range(N_FOLDS)),
    ]


def fold_of(n, seed=0):
    """Fold of each of `n` clips, shape (n,); the folds are shuffled and of equal size."""
    fold = np.empty(n, dtype=np.int64)
    fold[np.random.default_rng(seed).permutation(n)] = np.arange(n) % N_FOLDS
    return fold


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
    Both answers are means of probabilities. Matrices of networks for the clips are rounded as they
    are exported; those for the seconds are small without.
    """

    def __init__(self, nets, gives_seconds):
        super().__init__()
        self.gives_seconds = tuple(gives_seconds)
        self.nets = nn.ModuleList(copy.deepcopy(net) for net in nets)
        for net, for_seconds in zip(self.nets, self.gives_seconds, strict=True):
            net.drop_other_classes()
            if not for_seconds:
                net.round_matrices()

    def forward(self, x, mask):  # noqa: D102
        clips, rows = [], []
        for net, gives_seconds in zip(self.nets, self.gives_seconds, strict=True):
            clip, row = net(x, mask)
            if not gives_seconds:
                clips.append(torch.sigmoid(clip))
            if gives_seconds or not any(self.gives_seconds):
                rows.append(torch.sigmoid(row))
        return to_logit(sum(clips) / len(clips)), to_logit(sum(rows) / len(rows))


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
        ``thresholds``, ``presence_threshold``, ``validation`` (each member and the ensemble),
        ``eval``, ``seconds`` (processor time of all training).
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
    fold, out_of_fold = fold_of(len(clips)), {}
    for m, member in enumerate(settings):
        # Without a fold to leave out, all clips.
        seen = fold != (-1 if member.fold is None else member.fold)
        path = folder / f"final{m}.pt"
        net = train_member(member, clips.take(seen), targets[seen], path)
        if member.gives_seconds:
            out_of_fold[member.fold] = predict_net(net, clips.take(~seen))[0]
    truth = np.concatenate([targets[fold == k, 0] for k in out_of_fold])
    pooled = np.concatenate(list(out_of_fold.values()))
    record["presence_threshold"] = choose_thresholds(truth, pooled)[1]
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
        figures["per_second_roc_auc_strict"], _ = per_second_roc_auc(*labelled, strict=True)
    return figures
