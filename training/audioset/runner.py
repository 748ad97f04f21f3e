"""Finished runs as two small tables, and a resumable runner of those that are missing."""

import csv
import dataclasses
import io
import json
import sys
from pathlib import Path

import numpy as np

from realtime.outputs import write_text
from training.audioset import grids
from training.audioset.settings import FIELDS, METRICS, SECONDS

_OWN = (
    "epochs_run", "best_epoch", "n_parameters", "seconds", "val_loss",
    *(f"validation_{f}" for f in METRICS), *(f"eval_{f}" for f in METRICS + SECONDS),
)  # fmt: skip
_CURVE = ("run", "epoch", "train_loss", "val_loss", "val_accuracy")


def _cells(settings):
    cells = dataclasses.asdict(settings)
    cells |= {"options": json.dumps(settings.options), "exclude": ";".join(settings.exclude)}
    return {name: "" if value is None else str(value) for name, value in cells.items()}


def _read(path):
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _write(path, columns, rows):
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, file.getvalue())


def kept(path, make):
    """The record in a JSON file; made and written there first if it is missing."""
    if not path.exists():
        write_text(path, json.dumps(make(), indent=1))
    return json.loads(path.read_text(encoding="utf-8"))


class RunStore:
    """Finished runs of one folder, a line each.

    ``runs.csv`` has settings and figures, ``curves.csv`` the losses of each epoch of the paper's
    rows. A run is known by its settings alone, so a committed table resumes anywhere.
    """

    def __init__(self, folder):
        self.runs, self.curves = Path(folder) / "runs.csv", Path(folder) / "curves.csv"
        self._found = {tuple(row[name] for name in FIELDS): row for row in _read(self.runs)}

    def load(self, settings):
        """A finished run's figures by column name, empty ones left out; None if it is missing."""
        row = self._found.get(tuple(_cells(settings).values()))
        return row and {name: float(row[name]) for name in _OWN if row[name]}

    def save(self, name, settings, record):
        """Add a finished run of sweep `name`; the table is written beside and renamed."""
        cells = _cells(settings)
        row = {"sweep": name, **cells, "epochs_run": len(record["history"])}
        row |= {k: record[k] for k in ("best_epoch", "n_parameters")}
        row |= {"seconds": f"{record['seconds']:.1f}", "val_loss": f"{record['val_loss']:.4f}"}
        for part in ("validation", "eval"):
            row |= {f"{part}_{k}": f"{v:.4f}" for k, v in record.get(part, {}).items()}
        row = dict.fromkeys(_OWN, "") | {name: str(value) for name, value in row.items()}
        self._found[tuple(cells.values())] = row
        _write(self.runs, ("sweep", *FIELDS, *_OWN), self._found.values())
        if name in grids.PAPER:
            label = self.label(settings)
            lines = [line for line in _read(self.curves) if line["run"] != label]
            for epoch in record["history"]:
                rounded = {k: v if k == "epoch" else f"{v:.4f}" for k, v in epoch.items()}
                lines.append({"run": label} | rounded)
            _write(self.curves, _CURVE, lines)

    @staticmethod
    def label(settings):
        """A run's name in ``curves.csv``."""
        return (
            f"{settings.arch} {settings.options_text} {settings.loss} {settings.optimiser} "
            f"batch {settings.batch_size} rate {settings.learning_rate} seed {settings.seed}"
        )

    def history(self, settings):
        """Losses of each epoch, a list of dict; empty if there are none."""
        lines = (line for line in _read(self.curves) if line["run"] == self.label(settings))
        return [{k: float(line[k]) for k in _CURVE[1:]} for line in lines]

    def total(self):
        """Number of runs and their processor seconds."""
        return len(self._found), sum(float(row["seconds"]) for row in self._found.values())


def execute(settings, data, cache, score=False, progress=None):
    """Train one run; returns its settings, its record and, where it is scored, its scores."""
    import torch

    from training.audioset.train import fit, prepare, score_eval

    torch.set_num_threads(1)
    train, validation = prepare(settings, data, cache)
    model, record = fit(settings, train, validation, progress)
    scores = None
    record["n_clips"] = {"training": len(train[2]), "validation": len(validation[2])}
    if score:
        record["eval"], scores = score_eval(model, data, cache, settings.target)
    return settings, record, scores


def run_all(name, runs, store, data, cache, jobs=1):
    """Execute those `runs` of sweep `name` that `store` does not hold yet, `jobs` side by side."""
    from joblib import Parallel, delayed

    score = name in grids.SCORED
    found = [(settings, store.load(settings) or {}) for settings in runs]
    todo = [s for s, figures in found if not figures or (score and "eval_ap" not in figures)]
    tasks = (delayed(execute)(settings, data, cache, score) for settings in todo)
    done = Parallel(jobs, return_as="generator_unordered")(tasks)
    for i, (settings, record, scores) in enumerate(done, len(runs) - len(todo) + 1):
        store.save(name, settings, record)
        if score and settings.arch == grids.ENSEMBLED:
            np.save(Path(cache) / f"eval-{settings.arch}-{settings.seed}.npy", scores)
        figures = record["validation"]
        print(
            f"{name} {i}/{len(runs)} {store.label(settings)}: val loss {record['val_loss']:.4f}, "
            f"accuracy {figures['accuracy']:.4f}, AP {figures['ap']:.4f} "
            f"({record['seconds']:.0f} s)", file=sys.stderr, flush=True,
        )  # fmt: skip


def run_sweeps(args):
    """Run the sweep that ``args.sweep`` names, or all of them; returns the store."""
    store = open_store(args)
    for name in [args.sweep] if args.sweep in grids.SWEEPS else grids.SWEEPS:
        runs = grids.experiment(name, store)
        run_all(name, runs, store, args.data, Path(args.runs) / "cache", args.jobs)
    return store


def open_store(args):
    """The store beside the report."""
    return RunStore(Path(args.out) / "audioset")
