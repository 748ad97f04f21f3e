"""Finished runs as two small tables, and a resumable runner of those that are missing."""

import csv
import dataclasses
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np

from training.audioset import grids
from training.audioset.settings import RunSettings

_SETTINGS = tuple(field.name for field in dataclasses.fields(RunSettings))
_FIGURES = ("accuracy", "f1_class", "ap", "roc_auc")
_COLUMNS = (
    "sweep", *_SETTINGS, "epochs_run", "best_epoch", "n_parameters", "seconds", "val_loss",
    *(f"validation_{f}" for f in _FIGURES), *(f"eval_{f}" for f in _FIGURES),
    "eval_seconds_roc_auc", "eval_seconds_roc_auc_strict",
)  # fmt: skip
_CURVE_COLUMNS = ("run", "epoch", "train_loss", "val_loss", "val_accuracy")


def _settings_cells(settings):
    cells = settings.to_dict()
    cells["options"] = json.dumps(cells["options"])
    cells["exclude"] = ";".join(cells["exclude"])
    return {name: "" if value is None else str(value) for name, value in cells.items()}


def _read(path):
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _write(path, columns, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(partial, path)


class RunStore:
    """Finished runs of one folder, a line each.

    ``runs.csv`` has settings and figures, ``curves.csv`` the losses of each epoch of the runs that
    are plotted. A run is known by its settings alone, so a committed table resumes anywhere.

    Parameters
    ----------
    folder : path-like
    """

    def __init__(self, folder):
        self.runs, self.curves = Path(folder) / "runs.csv", Path(folder) / "curves.csv"
        self._found = {self._key(row): row for row in _read(self.runs)}

    @staticmethod
    def _key(cells):
        return tuple(cells[name] for name in _SETTINGS)

    def load(self, settings):
        """A finished run's figures by column name, empty ones left out; None if it is missing."""
        row = self._found.get(self._key(_settings_cells(settings)))
        if row is None:
            return None
        own = _COLUMNS[_COLUMNS.index("epochs_run") :]
        return {name: float(row[name]) for name in own if row.get(name)}

    def save(self, name, settings, record):
        """Add a finished run of sweep `name`; the table is written beside and renamed."""
        row = {"sweep": name} | _settings_cells(settings)
        row |= {
            "epochs_run": len(record["history"]),
            "best_epoch": record["best_epoch"],
            "n_parameters": record["n_parameters"],
            "seconds": f"{record['seconds']:.1f}",
            "val_loss": f"{record['val_loss']:.4f}",
        }
        for part in ("validation", "eval"):
            for figure, value in record.get(part, {}).items():
                row[f"{part}_{figure}"] = f"{value:.4f}"
        if name in grids.PAPER:
            label = self.label(settings)
            lines = [line for line in _read(self.curves) if line["run"] != label]
            for epoch in record["history"]:
                cells = {k: v if k == "epoch" else f"{v:.4f}" for k, v in epoch.items()}
                lines.append({"run": label} | cells)
            _write(self.curves, _CURVE_COLUMNS, lines)
        row = {name: str(value) for name, value in row.items()}
        self._found[self._key(row)] = row
        _write(self.runs, _COLUMNS, self._found.values())

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
        return [{k: float(line[k]) for k in _CURVE_COLUMNS[1:]} for line in lines]

    def total(self):
        """Number of runs and their processor seconds."""
        return len(self._found), sum(float(row["seconds"]) for row in self._found.values())

    def best(self, runs):
        """Of `runs`, all finished, the settings with the lowest validation loss."""
        return min(runs, key=lambda settings: self.load(settings)["val_loss"])


def execute(settings, data, cache, score):
    """Train one run; returns its record and, if scored on eval, the clips' scores there."""
    import torch

    from training.audioset import train as audioset_train

    torch.set_num_threads(1)
    train, validation = audioset_train.prepare(settings, data, cache)
    model, record = audioset_train.fit(settings, train, validation)
    scores = None
    if score:
        record["eval"], scores = audioset_train.score_eval(model, settings, data, cache)
    return record, scores


def run_all(name, runs, store, data, cache, jobs=1, progress=None):
    """Execute the runs that `store` does not hold yet.

    Parameters
    ----------
    name : str
        The sweep, one of `grids.SWEEPS`.
    runs : list of RunSettings
    store : RunStore
    data, cache : path-like
    jobs : int
        Runs side by side, each on one thread.
    progress : callable or None
        Called with ``(settings, figures)`` after each run, finished ones first.
    """
    score = name in grids.SCORED
    progress = progress or (lambda settings, figures: None)
    todo = []
    for settings in runs:
        figures = store.load(settings)
        if figures and ("eval_ap" in figures or not score):
            progress(settings, figures)
        else:
            todo.append(settings)

    def keep(settings, record, scores):
        if scores is not None and settings.arch == grids.ENSEMBLED:
            np.save(Path(cache) / f"eval-{settings.arch}-{settings.seed}.npy", scores)
        store.save(name, settings, record)
        progress(settings, store.load(settings))

    if jobs == 1 or len(todo) <= 1:
        for settings in todo:
            keep(settings, *execute(settings, data, cache, score))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        futures = {pool.submit(execute, s, data, cache, score): s for s in todo}
        for future in as_completed(futures):
            keep(futures[future], *future.result())


def run_sweeps(names, args):
    """Run sweeps one after the other, with a progress bar.

    Parameters
    ----------
    names : sequence of str
    args : argparse.Namespace
        ``data``, ``runs``, ``out``, ``jobs`` and ``fast`` of `gate-train audioset`.

    Returns
    -------
    store : RunStore
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed

    store, cache = open_store(args), Path(args.runs) / "cache"
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Elapsed())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        for name in names:
            runs = grids.experiment(name, store, args.fast)
            task = bar.add_task(name, total=len(runs))

            def advance(settings, figures, task=task, name=name):
                bar.advance(task)
                bar.console.print(
                    f"{name} {store.label(settings)}: val loss {figures['val_loss']:.4f}, accuracy "
                    f"{figures['validation_accuracy']:.4f}, AP {figures['validation_ap']:.4f} "
                    f"({figures['seconds']:.0f} s)",
                    highlight=False,
                )

            run_all(name, runs, store, args.data, cache, args.jobs, advance)
    return store


def open_store(args):
    """The store beside the report; that of ``--fast`` lies with the runs, out of the way."""
    return RunStore(Path(args.runs) / "fast" if args.fast else Path(args.out) / "audioset")
