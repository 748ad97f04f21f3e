"""The best model from bal_train alone: several networks, their mean exported as one graph.

Networks for the clips learn the target and, at a small weight, all other classes:

1. Teachers are trained on the shuffled four fifths and say what they hear in clips without labels.
2. Students are trained on both; the last fifth chooses settings and thresholds.
3. Teachers and students are trained again with all of bal_train, because a fifth more labels
   gives more than any other choice: these students are exported.

Networks for the seconds, smaller and held back more, are trained on four of five folds each. The
threshold for live use comes from the clips that each of them did not see.

Of the eval part, no label takes part in any of this; the clips without labels are its, but for
those with human labels a second (see `training.audioset.unlabelled`).
"""

import copy
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from training.audioset import data as audioset_data
from training.audioset.best_net import BestNet, BestNetSettings
from training.audioset.best_train import BestSettings, pool_rows, predict_net, train_net
from training.audioset.metrics import choose_thresholds, evaluate
from training.audioset.related import to_logit
from training.audioset.unlabelled import halves, join, load_unlabelled, soft_labels, unheard_figures

N_FOLDS = 5
WIDE = BestNetSettings(width=1024)
STUDENT = BestSettings(WIDE, epochs=9, persistence=2.0)
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


def teachers(fast=False):
    """Settings of the networks that label the unlabelled clips."""
    if fast:
        return [BestSettings(epochs=1)]
    held_back = BestNetSettings(width=1024, dropout=0.5)
    return [
        BestSettings(WIDE, persistence=2.0, seed=0),
        BestSettings(held_back, persistence=2.0, seed=1, epochs=9, others_weight=2.0),
    ]


def members(fast=False):
    """Settings of the ensemble's networks: students for the clips, then those for the seconds."""
    if fast:
        return [BestSettings(epochs=1), seconds_settings(0, epochs=1)]
    far = replace(STUDENT, net=replace(WIDE, convs=2))
    return [
        replace(STUDENT, seed=10),
        replace(far, seed=11),
        replace(far, seed=13, others_weight=0.5),
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
    kept = {"settings": asdict(net.settings), "weights": net.state_dict()}
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
    """One network trained on `clips` and kept at `path`; nothing if it is there.

    Parameters
    ----------
    settings : BestSettings
    clips : ClipSet
    targets : ndarray, shape (n, n_classes), float32
    path : Path
    say : callable
    """
    if path.exists():
        return
    # Alone or side by side: sums in the same order, so the same network.
    torch.set_num_threads(1)
    started = time.process_time()
    net = train_net(settings, clips, targets)
    seconds = time.process_time() - started
    save_net(path, net, seconds)
    say(f"{path.stem}: {seconds:.1f} processor s", flush=True)


def train_members(tasks, jobs=1):
    """Several networks side by side, a core each.

    Parameters
    ----------
    tasks : sequence of tuple
        Arguments of `train_member`.
    jobs : int

    Returns
    -------
    nets : list of BestNet
        All of them, those read back too.
    """
    missing = [task for task in tasks if not task[3].exists()]
    if jobs == 1 or len(missing) < 2:
        for task in missing:
            train_member(*task)
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, mp_context=context) as pool:
            list(pool.map(train_member, *zip(*missing, strict=True)))
    return [load_net(task[3]) for task in tasks]


def load_ensemble(folder, gives_seconds):
    """The ensemble that `train_best` left in `folder`."""
    nets = [load_net(Path(folder) / f"final{m}.pt") for m in range(len(gives_seconds))]
    return Ensemble(nets, gives_seconds).eval()


def train_all(settings, teacher_settings, clips, targets, unlabelled, folder, jobs=1):
    """Train every network of the best model that is not in `folder` yet.

    ``check*.pt`` are teachers and students of four fifths, ``final*.pt`` those of all clips and the
    networks for the seconds, ``half*.pt`` students of one of the `halves` of the unlabelled clips.

    Parameters
    ----------
    settings, teacher_settings : sequence of BestSettings
    clips : ClipSet
    targets : ndarray, shape (n, n_classes), float32
    unlabelled : ClipSet
    folder : Path
    jobs : int
        Networks trained side by side.
    """
    parts = {"check": audioset_data.split_clips(len(clips))[0], "final": np.arange(len(clips))}
    soft = {}
    for name, index in parts.items():
        seen = clips.take(index), targets[index]
        tasks = [
            (s, *seen, folder / f"{name}-teacher{t}.pt") for t, s in enumerate(teacher_settings)
        ]
        soft[name] = soft_labels(train_members(tasks, jobs), unlabelled)
    tasks, fold = [], fold_of(len(clips))
    for m, s in enumerate(settings):
        if s.gives_seconds:
            seen = fold != s.fold
            tasks.append((s, clips.take(seen), targets[seen], folder / f"final{m}.pt"))
    for name, index in parts.items():
        both = join(clips.take(index), targets[index], unlabelled, soft[name])
        tasks += [
            (s, *both, folder / f"{name}{m}.pt")
            for m, s in enumerate(settings)
            if not s.gives_seconds
        ]
    for h, half in enumerate(halves(len(unlabelled))):
        both = join(clips, targets, unlabelled.take(half), soft["final"][half])
        tasks.append((settings[0], *both, folder / f"half{h}.pt"))
    train_members(tasks, jobs)


def train_best(args, target="Speech"):
    """Train the ensemble, choose thresholds, then score eval, once.

    Everything is kept under ``RUNS/best``; what is there is not made again.

    Parameters
    ----------
    args : argparse.Namespace
        ``data``, ``runs``, ``jobs`` and ``fast`` of `gate-train audioset`.
    target : str

    Returns
    -------
    record : dict
        ``thresholds``, ``presence_threshold``, ``validation`` (each member and the ensemble),
        ``eval``, ``heard`` (see `unheard_figures`), ``seconds`` (processor time of all training).
    """
    torch.set_num_threads(1)
    folder = Path(args.runs) / ("best-fast" if args.fast else "best")
    summary = folder / "best.json"
    if summary.exists():
        return json.loads(summary.read_text(encoding="utf-8"))
    cache = Path(args.runs) / "cache"
    clips = audioset_data.load_part(args.data, "bal_train", cache)
    unlabelled = load_unlabelled(args.data, cache)
    classes = audioset_data.ClassList.load(args.data)
    if args.fast:
        clips = clips.take(np.arange(len(clips) // 10))
        unlabelled = unlabelled.take(np.arange(len(unlabelled) // 10))
    targets, settings = label_matrix(clips, classes, target), members(args.fast)
    gives_seconds = [s.gives_seconds for s in settings]
    train_all(settings, teachers(args.fast), clips, targets, unlabelled, folder, args.jobs)

    record = {"target": target, "gives_seconds": gives_seconds}
    _, validation = audioset_data.split_clips(len(clips))
    held_out, truth = clips.take(validation), targets[validation, 0]
    record |= check_clips(folder, gives_seconds.count(False), held_out, truth)
    seconds = {s.fold: folder / f"final{m}.pt" for m, s in enumerate(settings) if s.gives_seconds}
    record["presence_threshold"] = choose_presence_threshold(
        clips, targets[:, 0], fold_of(len(clips)), {k: load_net(p) for k, p in seconds.items()}
    )
    net = load_ensemble(folder, gives_seconds)
    thresholds = record["thresholds"]["accuracy"], record["thresholds"]["f1"]
    record["eval"] = score_best(args, net, thresholds, classes, target)
    eval_clips = audioset_data.load_part(args.data, "eval", cache)
    truth, _ = audioset_data.select_target(eval_clips, classes, target)
    nets = [load_net(folder / f"half{h}.pt") for h in (0, 1)]
    record["heard"] = unheard_figures(nets, unlabelled, eval_clips, truth)
    record["n_unlabelled"] = len(unlabelled)
    kept = (torch.load(path, weights_only=True) for path in folder.glob("*.pt"))
    record["seconds"] = round(sum(net["seconds"] for net in kept), 1)
    summary.write_text(json.dumps(record, indent=1), encoding="utf-8")
    return record


def check_clips(folder, n_nets, clips, truth):
    """Thresholds and figures of a clip, from clips that the networks ``check*.pt`` did not see.

    Returns
    -------
    record : dict
        ``thresholds`` and ``validation``.
    """
    net = Ensemble(
        [load_net(Path(folder) / f"check{m}.pt") for m in range(n_nets)], [False] * n_nets
    ).eval()
    scores, _ = predict_net(net, clips)
    thresholds = choose_thresholds(truth, scores)
    figures = {
        f"member{m}": evaluate(truth, predict_net(member, clips)[0])
        for m, member in enumerate(net.nets)
    }
    figures["ensemble"] = evaluate(truth, scores, *thresholds)
    return {
        "thresholds": {"accuracy": thresholds[0], "f1": thresholds[1]},
        "validation": figures,
    }


def choose_presence_threshold(clips, truth, fold, nets):
    """The threshold of a row that serves F1 of the clips best.

    A clip counts as its rows pooled by linear softmax, which lies near its likeliest rows.

    Parameters
    ----------
    clips : ClipSet
    truth : ndarray, shape (n,)
    fold : ndarray, shape (n,)
    nets : dict
        Fold -> the network for the seconds that did not see it.

    Returns
    -------
    threshold : float
    """
    known = np.isin(fold, list(nets))
    rows = np.zeros(clips.mask.shape)
    for k, net in nets.items():
        rows[fold == k] = predict_net(net, clips.take(fold == k))[1]
    pooled = pool_rows(rows, clips)
    return choose_thresholds(truth[known], pooled[known])[1]


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
