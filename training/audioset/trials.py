"""Trials of the best model's settings on clips of bal_train held out, as a Markdown table.

``python -m training.audioset.trials``: each trial trains one `BestNet` on four fifths of
bal_train and prints its figures on the last fifth; with ``--unlabelled`` two teachers come first
and each trial is a student of theirs. No label of the eval part is read.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from realtime.config import DataSettings
from training.audioset import data as audioset_data
from training.audioset.best import STUDENT, WIDE, fold_of, label_matrix, teachers, train_members
from training.audioset.best_net import BestNetSettings
from training.audioset.best_train import BestSettings, pool_rows, predict_net, train_net
from training.audioset.metrics import METRICS, choose_thresholds, evaluate
from training.audioset.unlabelled import join, load_unlabelled, soft_labels

BASE = BestSettings()
TRIALS = {
    "base": BASE,
    "no other classes": replace(BASE, others_weight=0.0),
    "other classes at five times the weight": replace(BASE, others_weight=5.0),
    "no convolution": replace(BASE, net=BestNetSettings(convs=0)),
    "two convolutions": replace(BASE, net=BestNetSettings(convs=2)),
    "attention between rows": replace(BASE, net=BestNetSettings(blocks=1)),
    "twice the width": replace(BASE, net=WIDE),
    "no mixup": replace(BASE, mixup=0.0),
    "spliced clips": replace(BASE, splice=0.5),
    **{f"persistence to the power {p}": replace(BASE, persistence=p) for p in (1.0, 2.0, 3.0)},
}
STUDENTS = {
    "base": STUDENT,
    "dropout 0.5, other classes at twice the weight": replace(
        STUDENT, net=replace(WIDE, dropout=0.5), others_weight=2.0
    ),
    "dropout 0.3": replace(STUDENT, net=replace(WIDE, dropout=0.3)),
    "other classes at half the weight": replace(STUDENT, others_weight=0.5),
    "no smoothing": replace(STUDENT, smoothing=0.0),
    "mixup 1": replace(STUDENT, mixup=1.0),
    "14 epochs": replace(STUDENT, epochs=14),
    "two convolutions": replace(STUDENT, net=replace(WIDE, convs=2)),
    "attention between rows, half the width": replace(
        STUDENT, net=BestNetSettings(convs=0, blocks=1)
    ),
    "all dimensions alike": replace(STUDENT, persistence=0.0),
}


def main():
    """Run the trials that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="TRIAL",
        help=f"of: {', '.join(TRIALS)}; with --unlabelled: {', '.join(STUDENTS)}",
    )  # fmt: skip
    parser.add_argument("--data", default=DataSettings().audioset)
    parser.add_argument("--runs", default="runs/audioset", help="cache and teachers are kept here")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fold", type=int, help="0..4: hold out this fold, not the shuffled fifth")
    parser.add_argument("--unlabelled", action="store_true", help="students of two teachers")
    args = parser.parse_args()
    trials = STUDENTS if args.unlabelled else TRIALS
    unknown = set(args.names) - set(trials)
    if unknown:
        parser.error(f"unknown trial {sorted(unknown)[0]!r}: {', '.join(trials)}")
    torch.set_num_threads(1)
    cache = Path(args.runs) / "cache"
    clips = audioset_data.load_part(args.data, "bal_train", cache)
    targets = label_matrix(clips, audioset_data.ClassList.load(args.data), "Speech")
    train, validation = audioset_data.split_clips(len(clips))
    if args.fold is not None:
        fold = fold_of(len(clips))
        train, validation = np.flatnonzero(fold != args.fold), np.flatnonzero(fold == args.fold)
    held_out, truth = clips.take(validation), targets[validation, 0]
    seen = clips.take(train), targets[train]
    if args.unlabelled:
        more, name = load_unlabelled(args.data, cache), f"trial-teacher-{args.fold}"
        folder = Path(args.runs) / "trials"
        tasks = [(s, *seen, folder / f"{name}-{t}.pt") for t, s in enumerate(teachers())]
        seen = join(*seen, more, soft_labels(train_members(tasks), more))
    print("| trial | accuracy | F1 | AP | ROC-AUC | AP of pooled rows | processor s |")
    print("|---|---|---|---|---|---|---|")
    for name in args.names or trials:
        started = time.process_time()
        net = train_net(replace(trials[name], seed=args.seed), *seen)
        clip, rows = predict_net(net, held_out)
        pooled = pool_rows(rows, held_out)
        # Thresholds from the same clips: fit to compare trials, not to quote.
        figures = evaluate(truth, clip, *choose_thresholds(truth, clip))
        cells = [f"{figures[m]:.4f}" for m in METRICS]
        cells += [f"{evaluate(truth, pooled)['ap']:.4f}", f"{time.process_time() - started:.0f}"]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
