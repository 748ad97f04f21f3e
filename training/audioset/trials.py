"""Trials of the best model's settings on the validation fifth, as a Markdown table.

``python -m training.audioset.trials``: each trial trains one `BestNet` on four fifths of
bal_train and prints its figures on the last fifth. The eval part is not read.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
import torch

from training.audioset import data as audioset_data
from training.audioset.best import label_matrix
from training.audioset.best_net import BestNetSettings
from training.audioset.best_train import BestSettings, predict_net, train_net
from training.audioset.metrics import METRICS, choose_thresholds, evaluate

BASE = BestSettings()
TRIALS = {
    "base": BASE,
    "no other classes": replace(BASE, others_weight=0.0),
    "other classes at five times the weight": replace(BASE, others_weight=5.0),
    "no convolution": replace(BASE, net=BestNetSettings(convs=0)),
    "two convolutions": replace(BASE, net=BestNetSettings(convs=2)),
    "attention between rows": replace(BASE, net=BestNetSettings(blocks=1)),
    "twice the width": replace(BASE, net=BestNetSettings(width=1024)),
    "no mixup": replace(BASE, mixup=0.0),
    "spliced clips": replace(BASE, splice=0.5),
}


def main():
    """Run the trials that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="TRIAL", help=f"of: {', '.join(TRIALS)}")
    parser.add_argument("--data", default=audioset_data.DEFAULT_DATA)
    parser.add_argument("--cache", default="runs/audioset/cache")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    unknown = set(args.names) - set(TRIALS)
    if unknown:
        parser.error(f"unknown trial {sorted(unknown)[0]!r}: {', '.join(TRIALS)}")
    torch.set_num_threads(1)
    clips = audioset_data.load_part(args.data, "bal_train", args.cache)
    targets = label_matrix(clips, audioset_data.ClassList.load(args.data), "Speech")
    train, validation = audioset_data.split_clips(len(clips))
    truth = targets[validation, 0]
    print("| trial | accuracy | F1 | AP | ROC-AUC | AP of pooled rows | processor s |")
    print("|---|---|---|---|---|---|---|")
    for name in args.names or TRIALS:
        started = time.process_time()
        net = train_net(replace(TRIALS[name], seed=args.seed), clips.take(train), targets[train])
        held_out = clips.take(validation)
        clip, rows = predict_net(net, held_out)
        rows = rows * held_out.mask
        pooled = (rows**2).sum(1) / np.maximum(rows.sum(1), 1e-6)
        # Thresholds from the same clips: fit to compare trials, not to quote.
        figures = evaluate(truth, clip, *choose_thresholds(truth, clip))
        cells = [f"{figures[m]:.4f}" for m in METRICS]
        cells += [f"{evaluate(truth, pooled)['ap']:.4f}", f"{time.process_time() - started:.0f}"]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
