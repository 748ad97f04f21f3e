"""The best model from bal_train alone: one small network that was taught by many.

Three generations, for clips of four fifths (``check``, which chooses settings and thresholds on
the last fifth) and then of all (``final``, because a fifth more labels gives more than any other
choice):

1. Teachers are trained on the labels and say what they hear in clips without labels.
2. Students are trained on both. Networks for the seconds, smaller and held back more, are trained
   on four of five folds of the labelled clips each.
3. The head begins as the first student with thin matrices and learns what the mean of the students
   says of a clip, and what the mean of the networks for the seconds says of a row. It alone is
   exported.

Of the eval part, no label takes part in any of this; the clips without labels are its, but for
those with human labels a second. So those are unheard when the seconds are scored.
"""

import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from training.audioset import data as audioset_data
from training.audioset.best_net import BestNet, BestNetSettings
from training.audioset.best_train import BestSettings, pool_rows, predict_net, train_net
from training.audioset.head_net import HeadNet, HeadSettings, begin_as
from training.audioset.layers import round_to_bytes, row_mask, scale_bytes
from training.audioset.metrics import choose_thresholds, evaluate, per_second_roc_auc
from training.audioset.runner import open_store

N_FOLDS = 5
PARTS = ("check", "final")
WIDE = BestNetSettings(width=1024)
STUDENT = BestSettings(WIDE, epochs=9, persistence=2.0)
SECONDS_NET = BestNetSettings(width=256, convs=0, norm="layer", activation="gelu", pool="features")
"""Nothing mixes rows before a row decides, so it can only tell what that second holds."""


def recipe(fast=False):
    """Settings of every network.

    Returns
    -------
    recipe : dict
        "teachers", "students" and "seconds": lists of BestSettings; "head": BestSettings.
    """
    held_back, far = replace(WIDE, dropout=0.5), replace(STUDENT, net=replace(WIDE, convs=2))
    seconds = BestSettings(
        SECONDS_NET, epochs=14, batch_size=512, learning_rate=2e-3, weight_decay=0.05, mixup=1.0,
        others_weight=0.2, rows_weight=0.3, crop=0.1, average=0.99,
    )  # fmt: skip
    found = {
        "teachers": [
            BestSettings(WIDE, persistence=2.0, seed=0),
            BestSettings(held_back, persistence=2.0, seed=1, epochs=9, others_weight=2.0),
        ],
        "students": [
            replace(STUDENT, seed=10),
            replace(far, seed=11),
            replace(far, seed=13, others_weight=0.5),
        ],
        "seconds": [replace(seconds, seed=fold) for fold in range(N_FOLDS)],
        "head": [
            BestSettings(
                HeadSettings(),
                epochs=4,
                learning_rate=3e-4,
                weight_decay=0.01,
                smoothing=0.0,
                others_weight=0.0,
                rows_weight=1.0,
                average=0.99,
            )
        ],
    }
    if fast:
        found = {
            name: [replace(s, epochs=1) for s in settings[:1]] for name, settings in found.items()
        }
    return found


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


def load_unlabelled(data, cache=None):
    """The eval part, labels all False, without the clips that have human labels a second."""
    clips = audioset_data.load_part(data, "eval", cache)
    kept_back, _ = audioset_data.load_strong_speech(data)
    clips = clips.take(~np.isin(clips.video_ids, kept_back))
    return replace(clips, labels=np.zeros_like(clips.labels))


@torch.no_grad()
def soft_labels(nets, clips, batch_size=1024):
    """Mean probabilities by several networks: classes (n, n_classes) and rows (n, 10), float32."""
    parts = []
    for i in range(0, len(clips), batch_size):
        part = slice(i, i + batch_size)
        x = scale_bytes(torch.from_numpy(clips.embeddings[part]))
        mask = row_mask(torch.from_numpy(clips.lengths[part]))
        with torch.autocast("cpu", torch.bfloat16):
            answers = [map(torch.sigmoid, net(x, mask)) for net in nets]
        parts.append([sum(answer) / len(nets) for answer in zip(*answers, strict=True)])
    return tuple(torch.cat(column).numpy() for column in zip(*parts, strict=True))


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
    if "pool" in kept["settings"]:
        net = BestNet(BestNetSettings(**kept["settings"]))
    else:
        net = HeadNet(HeadSettings(**kept["settings"]))
    net.load_state_dict(kept["weights"])
    return net.eval()


def train_member(path, settings, *arrays, say=print):
    """One network trained by `train_net` and kept at `path`; nothing if it is there."""
    if path.exists():
        return
    # Alone or side by side: sums in the same order, so the same network.
    torch.set_num_threads(1)
    started = time.process_time()
    net = train_net(settings, *arrays)
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
    nets : list
        All of them, those read back too.
    """
    missing = [task for task in tasks if not task[0].exists()]
    if jobs == 1 or len(missing) < 2:
        for task in missing:
            train_member(*task)
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, mp_context=context) as pool:
            list(pool.map(train_member, *zip(*missing, strict=True)))
    return [load_net(task[0]) for task in tasks]


def teach(part, index, clips, targets, unlabelled, folder, settings, jobs=1):
    """What the head learns: the answers of all teachers of one of `PARTS`, kept in a file.

    Parameters
    ----------
    part : str
    index : ndarray of int
        The labelled clips that may be seen.
    clips : ClipSet
    targets : ndarray, shape (n, n_classes), float32
    unlabelled : ClipSet
    folder : Path
    settings : dict
        Of `recipe`.
    jobs : int
        Networks trained side by side.

    Returns
    -------
    joined : ClipSet
        Those of `index`, then the unlabelled ones.
    clip : ndarray, shape (len(joined), 1)
        Probability of the target as the mean of the students says.
    rows : ndarray, shape (len(joined), 10)
        That of each row, as the mean of the networks for the seconds says.
    """
    seen = clips.take(index)
    joined = seen.joined(unlabelled)
    path = folder / f"{part}-answers.npz"
    if path.exists():
        with np.load(path, allow_pickle=False) as kept:
            return joined, kept["clip"], kept["rows"]

    def train(kind, *arrays):
        tasks = [(folder / f"{part}-{kind}{i}.pt", s, *arrays)
                 for i, s in enumerate(settings[kind])]  # fmt: skip
        return train_members(tasks, jobs)

    soft, _ = soft_labels(train("teachers", seen, targets[index]), unlabelled)
    both = np.concatenate([targets[index], soft])
    clip, _ = soft_labels(train("students", joined, both), joined)
    fold, tasks = fold_of(len(clips))[index], []
    for k, own in enumerate(settings["seconds"]):
        kept = index[fold != k]
        tasks.append((folder / f"{part}-seconds{k}.pt", own, clips.take(kept), targets[kept]))
    _, rows = soft_labels(train_members(tasks, jobs), joined)
    partial = path.with_name(f"{part}.partial.npz")
    np.savez(partial, clip=clip[:, :1], rows=rows)
    partial.replace(path)
    return joined, clip[:, :1], rows


def train_head(part, taught, folder, settings):
    """The head of one of `PARTS`, from what `teach` gave; nothing if it is there."""
    path = folder / f"{part}-head0.pt"
    if not path.exists():
        joined, _, rows = taught
        some = np.random.default_rng(0).permutation(len(joined))[:3000]
        student = load_net(folder / f"{part}-students0.pt")
        start = begin_as(student, settings.net, joined.take(some), rows[some])
        train_member(path, settings, *taught, start)


def train_best(args, target="Speech"):
    """Train the head and all its teachers, choose thresholds, then score eval, once.

    Networks are kept under ``RUNS/best``, the record beside the report; what is there is not made
    again.

    Parameters
    ----------
    args : argparse.Namespace
        ``data``, ``runs``, ``out``, ``jobs`` and ``fast`` of `gate-train audioset`.
    target : str

    Returns
    -------
    record : dict
        ``thresholds``, ``check`` (figures of the head and of its teachers on the last fifth),
        ``eval``, ``seconds`` (processor time of all training).
    """
    torch.set_num_threads(1)
    found, folder, cache = read_best(args), best_folder(args), Path(args.runs) / "cache"
    if found and (folder / "final-head0.pt").exists():
        return found
    clips = audioset_data.load_part(args.data, "bal_train", cache)
    unlabelled = load_unlabelled(args.data, cache)
    classes = audioset_data.ClassList.load(args.data)
    if args.fast:
        clips = clips.take(np.arange(len(clips) // 10))
        unlabelled = unlabelled.take(np.arange(len(unlabelled) // 10))
    targets, settings = label_matrix(clips, classes, target), recipe(args.fast)
    train, validation = audioset_data.split_clips(len(clips))
    for part, index in zip(PARTS, (train, np.arange(len(clips))), strict=True):
        taught = teach(part, index, clips, targets, unlabelled, folder, settings, args.jobs)
        train_head(part, taught, folder, settings["head"][0])

    held_out, truth = clips.take(validation), targets[validation, 0]
    record = {"target": target, "n_unlabelled": len(unlabelled)}
    record |= check_head(folder, held_out, truth)
    record["eval"] = score_best(args, load_head(folder), record["thresholds"], classes, target)
    kept = (torch.load(path, weights_only=True) for path in folder.glob("*.pt"))
    record["seconds"] = round(sum(net["seconds"] for net in kept), 1)
    path = _record_path(args)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1), encoding="utf-8")
    return record


def best_folder(args):
    """Where everything of the best model is kept."""
    return Path(args.runs) / ("best-fast" if args.fast else "best")


def _record_path(args):
    return open_store(args).runs.with_name("best.json")


def read_best(args):
    """The record that `train_best` left beside the finished runs, or None."""
    path = _record_path(args)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def load_head(folder, part="final"):
    """The head as it is exported: a byte a weight."""
    net = load_net(Path(folder) / f"{part}-head0.pt")
    round_to_bytes(net)
    return net


def check_head(folder, clips, truth):
    """Thresholds of the head and its figures beside its teachers', on clips that none has seen.

    Returns
    -------
    record : dict
        ``thresholds`` ("accuracy", "f1", and "presence": of a row, the one that serves F1 of the
        clips best, a clip being its rows pooled by linear softmax) and ``check``.
    """
    head = predict_net(load_head(folder, "check"), clips)
    thresholds = choose_thresholds(truth, head[0])
    pooled = pool_rows(head[1], clips)
    check = {"head": evaluate(truth, head[0], *thresholds)}
    check["head"]["rows_ap"] = evaluate(truth, pooled)["ap"]
    for kind, column in (("students", 0), ("seconds", 1)):
        nets = [load_net(path) for path in sorted(folder.glob(f"check-{kind}?.pt"))]
        scores = np.mean([predict_net(net, clips)[column] for net in nets], axis=0)
        if column:
            check["teachers"]["rows_ap"] = evaluate(truth, pool_rows(scores, clips))["ap"]
        else:
            check["teachers"] = evaluate(truth, scores, *choose_thresholds(truth, scores))
    names = ("accuracy", "f1", "presence")
    values = (*thresholds, choose_thresholds(truth, pooled)[1])
    return {"thresholds": dict(zip(names, values, strict=True)), "check": check}


def score_best(args, net, thresholds, classes, target):
    """Figures on eval, clips and seconds."""
    clips = audioset_data.load_part(args.data, "eval", Path(args.runs) / "cache")
    truth, _ = audioset_data.select_target(clips, classes, target)
    clip, rows = predict_net(net, clips)
    figures = evaluate(truth, clip, thresholds["accuracy"], thresholds["f1"])
    if target == "Speech":
        labelled = (clips.video_ids, rows, clips.lengths)
        labelled += audioset_data.load_strong_speech(args.data)
        for strict in (False, True):
            name = "per_second_roc_auc" + "_strict" * strict
            figures[name] = per_second_roc_auc(*labelled, strict=strict)[0]
    return figures
