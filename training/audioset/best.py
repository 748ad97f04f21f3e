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
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from gate.errors import ModelError
from realtime.outputs import Replacement, write_text
from training.audioset import data as audioset_data
from training.audioset.best_net import BestNet, BestNetSettings
from training.audioset.best_train import BestSettings, train_net
from training.audioset.head_net import begin_as
from training.audioset.layers import pool_linear_softmax, round_to_bytes
from training.audioset.loop import logits
from training.audioset.metrics import choose_thresholds, evaluate
from training.audioset.train import score_eval

N_FOLDS = 5
PARTS = ("check", "final")
RECORD = "audioset/best.json"
WIDE = BestNetSettings(width=1024)
STUDENT = BestSettings(WIDE, epochs=9, persistence=2.0)
FAR = replace(STUDENT, net=replace(WIDE, convs=2))
SECONDS_NET = BestNetSettings(width=256, convs=0, norm="layer", activation="gelu", pool="features")
"""Nothing mixes rows before a row decides, so it can only tell what that second holds."""
SECONDS = BestSettings(
    SECONDS_NET, epochs=14, batch_size=512, learning_rate=2e-3, weight_decay=0.05, mixup=1.0,
    others_weight=0.2, rows_weight=0.3, crop=0.1, average=0.99,
)  # fmt: skip
HEAD_NET = BestNetSettings(width=1024, rank=64, norm="none", dropout=0.1, n_classes=1)
HEAD = BestSettings(
    HEAD_NET, epochs=6, learning_rate=5e-4, weight_decay=0.01, smoothing=0.0,
    others_weight=0.0, rows_weight=1.0, average=0.99,
)  # fmt: skip


def recipe():
    """Settings of every network: "teachers", "students", "seconds", "head" -> BestSettings each."""
    return {
        "teachers": [
            BestSettings(WIDE, persistence=2.0, seed=0),
            replace(STUDENT, net=replace(WIDE, dropout=0.5), seed=1, others_weight=2.0),
        ],
        "students": [
            replace(STUDENT, seed=10), replace(FAR, seed=11),
            replace(FAR, seed=13, others_weight=0.5),
        ],
        "seconds": [replace(SECONDS, seed=fold) for fold in range(N_FOLDS)],
        "head": [HEAD],
    }  # fmt: skip


def fold_of(n):
    """Fold of each of `n` clips, shape (n,); the folds are shuffled and of equal size."""
    fold = np.empty(n, dtype=np.int64)
    fold[np.random.default_rng(0).permutation(n)] = np.arange(n) % N_FOLDS
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


def soft_labels(nets, clips, quick=True):
    """Mean probabilities by several networks: classes (n, n_classes) and rows (n, 10), float32.

    `quick` is in half the bits.
    """
    with torch.autocast("cpu", torch.bfloat16, enabled=quick):
        answers = [logits(net, clips.embeddings, clips.lengths) for net in nets]
    return tuple(
        (sum(torch.sigmoid(part) for part in parts) / len(nets)).numpy()
        for parts in zip(*answers, strict=True)
    )


def load_net(path):
    """A network kept by `train_member`, in eval mode."""
    kept = torch.load(path, weights_only=True)
    try:
        net = BestNet(BestNetSettings(**kept["settings"]))
    except TypeError:
        raise ModelError(f"{path}: is of another version; remove it and run --best") from None
    net.load_state_dict(kept["weights"])
    return net.eval()


def train_member(path, settings, *arrays):
    """One network trained by `train_net` and kept at `path`: sizes, weights, processor time."""
    # Alone or side by side: sums in the same order, so the same network.
    torch.set_num_threads(1)
    started = time.process_time()
    net = train_net(settings, *arrays)
    seconds = time.process_time() - started
    kept = {"settings": asdict(net.settings), "weights": net.state_dict(), "seconds": seconds}
    with Replacement(path) as output:
        torch.save(kept, output.file)
        output.commit()
    print(f"{path.stem}: {seconds:.1f} processor s", flush=True)


def train_members(tasks, jobs=1):
    """Several networks, `jobs` side by side; those that are kept already are not trained again.

    `tasks` are arguments of `train_member`; returns the list of all networks.
    """
    from joblib import Parallel, delayed

    missing = [task for task in tasks if not task[0].exists()]
    Parallel(jobs)(delayed(train_member)(*task) for task in missing)
    return [load_net(task[0]) for task in tasks]


def teach(part, index, clips, targets, unlabelled, folder, settings, jobs=1):
    """What the head learns: the answers of all teachers of one of `PARTS`.

    Of `clips` and their `targets` (n, n_classes) only those at `index` may be seen; `settings` are
    those of `recipe`, `jobs` networks are trained side by side.

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

    def train(kind, arrays_of):
        tasks = [(folder / f"{part}-{kind}{i}.pt", own, *arrays_of(i))
                 for i, own in enumerate(settings[kind])]  # fmt: skip
        return train_members(tasks, jobs)

    fold = fold_of(len(clips))[index]
    soft, _ = soft_labels(train("teachers", lambda i: (seen, targets[index])), unlabelled)
    both = np.concatenate([targets[index], soft])
    clip, _ = soft_labels(train("students", lambda i: (joined, both)), joined)
    folds = [index[fold != k] for k in range(N_FOLDS)]
    _, rows = soft_labels(
        train("seconds", lambda k: (clips.take(folds[k]), targets[folds[k]])), joined
    )
    return joined, clip[:, :1], rows


def train_best(args, target="Speech"):
    """Train the head and all its teachers, choose thresholds, then score eval, once.

    Networks are kept under ``RUNS/best``, the record beside the report; what is there is not made
    again. `args` are those of `gate-train audioset`.

    Returns
    -------
    record : dict
        ``thresholds``, ``check`` (figures of the head and of its teachers on the last fifth),
        ``eval``, ``seconds`` (processor time of all training).
    """
    torch.set_num_threads(1)
    found, folder, cache = read_best(args), Path(args.runs) / "best", Path(args.runs) / "cache"
    if found and (folder / "final-head0.pt").exists():
        return found
    clips = audioset_data.load_part(args.data, "bal_train", cache)
    unlabelled = load_unlabelled(args.data, cache)
    targets = label_matrix(clips, audioset_data.ClassList.load(args.data), target)
    settings = recipe()
    train, validation = audioset_data.split_clips(len(clips))
    for part, index in zip(PARTS, (train, np.arange(len(clips))), strict=True):
        if (path := folder / f"{part}-head0.pt").exists():
            continue
        taught = teach(part, index, clips, targets, unlabelled, folder, settings, args.jobs)
        some = np.random.default_rng(0).permutation(len(taught[0]))[:3000]
        student, own = load_net(folder / f"{part}-students0.pt"), settings["head"][0]
        start = begin_as(student, own.net, taught[0].take(some), taught[2][some])
        train_member(path, own, *taught, start)

    record = {"target": target, "n_unlabelled": len(unlabelled)}
    record |= check_head(folder, clips.take(validation), targets[validation, 0])
    thresholds = [record["thresholds"][name] for name in ("accuracy", "f1")]
    record["eval"], _ = score_eval(load_head(folder), args.data, cache, target, thresholds)
    kept = (torch.load(path, weights_only=True) for path in folder.glob("*.pt"))
    record["seconds"] = round(sum(net["seconds"] for net in kept), 1)
    write_text(Path(args.out) / RECORD, json.dumps(record, indent=1))
    return record


def read_best(args):
    """The record that `train_best` left beside the finished runs, or None."""
    path = Path(args.out) / RECORD
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

    def said(nets):
        return soft_labels(nets, clips, quick=False)

    students, seconds = (
        said([load_net(path) for path in sorted(folder.glob(f"check-{kind}?.pt"))])
        for kind in ("students", "seconds")
    )
    head, check = said([load_head(folder, "check")]), {}
    mask = torch.from_numpy(clips.mask)
    for name, classes, rows in (("teachers", students[0], seconds[1]), ("head", *head)):
        clip = classes[:, 0]
        pooled = pool_linear_softmax(torch.from_numpy(rows)[..., None], mask)[:, 0].numpy()
        thresholds = choose_thresholds(truth, clip)
        check[name] = evaluate(truth, clip, *thresholds)
        check[name]["rows_ap"] = evaluate(truth, pooled)["ap"]
    presence = choose_thresholds(truth, pooled)[1]
    thresholds = {"accuracy": thresholds[0], "f1": thresholds[1], "presence": presence}
    return {"thresholds": thresholds, "check": check}
