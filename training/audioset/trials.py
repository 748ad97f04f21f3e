"""Trials of the head's settings on the fifth of bal_train held out, as a Markdown table.

``python -m training.audioset.trials``: each trial trains one head on what the teachers of the other
four fifths say. No label of the eval part is read.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch

from realtime.config import DataSettings
from training.audioset import best
from training.audioset import data as audioset_data
from training.audioset.best_train import pool_rows, predict_net, train_net
from training.audioset.metrics import METRICS, choose_thresholds, evaluate

BASE = best.recipe()["head"][0]
TRIALS = {
    "base": BASE,
    "two convolutions of 640": replace(BASE, net=replace(BASE.net, width=640, convs=2)),
    "dropout 0.2": replace(BASE, net=replace(BASE.net, dropout=0.2)),
    "14 epochs": replace(BASE, epochs=14),
    "no mixup": replace(BASE, mixup=0.0),
    "all dimensions alike": replace(BASE, persistence=0.0),
}


def main():
    """Run the trials that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="TRIAL", help=f"of: {', '.join(TRIALS)}")
    parser.add_argument("--data", default=DataSettings().audioset)
    parser.add_argument("--runs", default="runs/audioset", help="cache and teachers are kept here")
    args = parser.parse_args()
    if unknown := set(args.names) - set(TRIALS):
        parser.error(f"unknown trial {sorted(unknown)[0]!r}: {', '.join(TRIALS)}")
    torch.set_num_threads(1)
    cache = Path(args.runs) / "cache"
    clips = audioset_data.load_part(args.data, "bal_train", cache)
    targets = best.label_matrix(clips, audioset_data.ClassList.load(args.data), "Speech")
    train, validation = audioset_data.split_clips(len(clips))
    unlabelled, folder = best.load_unlabelled(args.data, cache), Path(args.runs) / "best"
    taught = best.teach("check", train, clips, targets, unlabelled, folder, best.recipe())
    held_out, truth = clips.take(validation), targets[validation, 0]
    print("| trial | accuracy | F1 | AP | ROC-AUC | AP of pooled rows | processor s |")
    print("|---|---|---|---|---|---|---|")
    for name in args.names or TRIALS:
        started = time.process_time()
        clip, rows = predict_net(train_net(TRIALS[name], *taught), held_out)
        # Thresholds from the same clips: fit to compare trials, not to quote.
        figures = evaluate(truth, clip, *choose_thresholds(truth, clip))
        cells = [f"{figures[m]:.4f}" for m in METRICS]
        cells += [f"{evaluate(truth, pool_rows(rows, held_out))['ap']:.4f}"]
        cells += [f"{time.process_time() - started:.0f}"]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
