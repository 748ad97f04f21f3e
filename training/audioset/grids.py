"""The experiments as lists of runs: the paper's own rows, our own grids, what builds on them.

Needs no torch. The paper's rows are data (``paper/*.csv``): settings of a run, its options, and
the paper's figures in columns that begin with ``paper_``.
"""

import csv
import dataclasses
import json
from pathlib import Path

from gate.errors import ConfigError
from training.audioset.settings import RELATED, RunSettings

PAPER = ("table1", "table2", "table3", "table4", "table5", "others")
OWN = {f"own-{arch}": arch for arch in ("linear", "conv1d", "conv2d", "lstm", "transformer")}
"""Sweep -> the architecture that it varies, with values of ours."""

SWEEPS = (*PAPER, *OWN, "finals", "related", "targets", "sanity", "file-order", "augment")
SCORED = ("table1", "table2", "finals", "related", "targets", "file-order")
"""Sweeps whose runs are scored on eval: the paper gives an F1 there, or they are final models.

"others" is not among them: it came when eval had been looked at often enough, and is scored on the
validation fifth.
"""

SEEDS = (0, 1, 2)
OTHER_TARGETS = ("Guitar", "Drum kit")
ENSEMBLED = "gated-conv"


def paper_rows(name):
    """Rows of one of the paper's tables.

    Parameters
    ----------
    name : str
        One of `PAPER`.

    Returns
    -------
    rows : list of (RunSettings, dict)
        The run, and the paper's figures: ``val_loss`` and ``f1`` where it gives them. A row that
        repeats another one's settings has the next seed.
    """
    fields = {field.name for field in dataclasses.fields(RunSettings)}
    path = Path(__file__).parent / "paper" / f"{name}.csv"
    rows = []
    with open(path, newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            run, options, paper = {"split": "file-order"}, {}, {}
            for key, text in line.items():
                if not text:
                    continue
                value = text if key in ("arch", "loss", "optimiser") else json.loads(text.lower())
                if key.startswith("paper_"):
                    paper[key.removeprefix("paper_")] = value
                else:
                    (run if key in fields else options)[key] = value
            rows.append((RunSettings(options=options, **run), paper))
    return rows


def own_grid(name):
    """Runs of one of our own grids, a key of `OWN`."""
    arch = OWN[name]
    base = RunSettings(arch=arch)
    if arch == "linear":
        return [
            dataclasses.replace(base, options={"hidden": hidden}, loss=loss, optimiser=optimiser)
            for hidden in (0, 64, 256, 1024)
            for loss in ("bce", "ce")
            for optimiser in ("adam", "rmsprop", "adagrad")
        ]
    options = {
        "conv1d": [{"active_layers": n, "kernel": 5} for n in range(1, 9)]
        + [{"active_layers": 4, "kernel": kernel} for kernel in (3, 9)]
        + [{"active_layers": 4, "kernel": 5, "dropout": 0.5}],
        "conv2d": [{"kernel": k, "channels": c} for k in (3, 5) for c in (4, 8)],
        "lstm": [
            {"layers": layers, "hidden": hidden, "start_end_rows": rows}
            for layers in (1, 2)
            for hidden in (64, 128)
            for rows in (True, False)
        ],
        "transformer": [{"layers": n, "width": w} for n in (1, 2) for w in (32, 64, 128)],
    }
    return [dataclasses.replace(base, options=o) for o in options[arch]]


def experiment(name, store, fast=False):
    """Runs of one sweep.

    Parameters
    ----------
    name : str
        One of `SWEEPS`. "finals", "augment", "file-order" and "sanity" take the winners of our
        own grids that are finished in `store`.
    store : RunStore
    fast : bool
        A tenth of the clips and two epochs: a check that everything runs, no result.

    Returns
    -------
    runs : list of RunSettings
    """

    def quick(runs):
        if not fast:
            return list(runs)
        return [dataclasses.replace(s, fraction=0.1, epochs=2) for s in runs]

    def winners(**changes):
        grids = [quick(own_grid(grid)) for grid in OWN]
        finished = [grid for grid in grids if all(store.load(s) for s in grid)]
        if not finished:
            raise ConfigError(f"sweep={name!r} must come after one of ours: run --sweep own-linear")
        return [dataclasses.replace(store.best(g), patience=2, **changes) for g in finished]

    final = RunSettings(epochs=10, patience=2)
    if name in PAPER:
        return quick(settings for settings, _ in paper_rows(name))
    if name in OWN:
        return quick(own_grid(name))
    if name == "finals":
        return [dataclasses.replace(s, seed=seed) for s in winners() for seed in SEEDS]
    if name == "augment":
        kinds = ("constant", "halves")
        return [dataclasses.replace(s, augment=kind) for s in winners() for kind in kinds]
    if name == "file-order":
        return winners(split="file-order")
    if name == "sanity":
        return winners(split="eval")
    if name == "related":
        return quick(
            dataclasses.replace(final, arch=arch, seed=seed) for arch in RELATED for seed in SEEDS
        )
    if name == "targets":
        return quick(
            dataclasses.replace(final, arch="multi-level", target=t) for t in OTHER_TARGETS
        )
    raise ConfigError(f"sweep={name!r} must be one of {', '.join(SWEEPS)}, all")
