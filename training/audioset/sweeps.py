"""The experiments as lists of runs, and a resumable runner of them.

The paper's own grids are known by their description only (architecture, and which of its
variables were varied), so the values here are ours: one table an architecture, every variable
named in the description varied in it.
"""

import csv
import dataclasses
import hashlib
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np

from gate.errors import ConfigError
from training.audioset.train import RunSettings

TABLES = {
    "table1": "linear",
    "table2": "conv1d",
    "table3": "conv2d",
    "table4": "lstm",
    "table5": "transformer",
}
"""Sweep -> the paper's architecture that it varies."""

SWEEPS = (*TABLES, "finals", "related", "targets", "sanity", "file-order", "augment")
SEEDS = (0, 1, 2)
OTHER_TARGETS = ("Guitar", "Drum kit")
ENSEMBLED = "gated-conv"


def table_grid(name):
    """Runs of one of the five tables.

    Parameters
    ----------
    name : str
        Key of `TABLES`.

    Returns
    -------
    runs : list of RunSettings
    """
    arch = TABLES[name]
    base = RunSettings(arch=arch)
    if arch == "linear":
        return [
            dataclasses.replace(base, options={"hidden": hidden}, loss=loss, optimiser=optimiser)
            for hidden in (0, 64, 256, 1024)
            for loss in ("bce", "ce")
            for optimiser in ("adam", "rmsprop", "adagrad")
        ]
    if arch == "conv1d":
        options = [{"active_layers": n, "kernel": 5} for n in range(1, 9)]
        options += [{"active_layers": 4, "kernel": kernel} for kernel in (3, 9)]
        options += [{"active_layers": 4, "kernel": 5, "dropout": 0.5}]
    elif arch == "conv2d":
        options = [{"kernel": k, "channels": c} for k in (3, 5) for c in (4, 8)]
    elif arch == "lstm":
        options = [
            {"layers": layers, "hidden": hidden, "start_end_rows": rows}
            for layers in (1, 2)
            for hidden in (64, 128)
            for rows in (True, False)
        ]
    else:
        options = [{"layers": n, "width": w} for n in (1, 2) for w in (32, 64, 128)]
    return [dataclasses.replace(base, options=o) for o in options]


def run_key(settings):
    """Short name of a run: architecture and a hash of all its settings."""
    text = json.dumps(settings.to_dict(), sort_keys=True)
    return f"{settings.arch}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


class RunStore:
    """Finished runs of one folder: ``KEY.json`` and, where eval was scored, ``KEY.npz``."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def load(self, settings):
        """A finished run's record (a dict), or None."""
        path = self.folder / f"{run_key(settings)}.json"
        if not path.exists():
            return None
        return json.loads(path.read_text(encoding="utf-8"))

    def save(self, settings, record, scores=None):
        """Keep a finished run; the JSON comes last, so that it stands for a whole run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        key = run_key(settings)
        if scores:
            np.savez_compressed(self.folder / f"{key}.npz", **scores)
        partial = self.folder / f"{key}.{os.getpid()}.partial"
        partial.write_text(json.dumps(record, indent=1), encoding="utf-8")
        os.replace(partial, self.folder / f"{key}.json")

    def scores(self, settings):
        """Arrays kept with a run: ``eval`` (and ``eval_rows``), probabilities."""
        with np.load(self.folder / f"{run_key(settings)}.npz", allow_pickle=False) as arrays:
            return dict(arrays)

    def best(self, runs):
        """Of `runs`, all finished, the settings with the lowest validation loss."""
        losses = [self.load(settings)["best_val_loss"] for settings in runs]
        return runs[losses.index(min(losses))]


def experiment(name, store, fast=False):
    """Runs of one sweep.

    Parameters
    ----------
    name : str
        One of `SWEEPS`. "finals", "augment", "file-order" and "sanity" take the winners of the
        tables that are finished in `store`.
    store : RunStore
    fast : bool
        A tenth of the clips and two epochs: a check that everything runs, no result.

    Returns
    -------
    runs : list of RunSettings
    score : bool
        Whether these are final models, to be scored on eval.
    """

    def quick(runs):
        if not fast:
            return runs
        return [dataclasses.replace(s, fraction=0.1, epochs=2) for s in runs]

    def winners():
        grids = [quick(table_grid(table)) for table in TABLES]
        finished = [grid for grid in grids if all(map(store.load, grid))]
        if not finished:
            raise ConfigError(f"sweep={name!r} must come after a table: run --sweep table1 first")
        return [dataclasses.replace(store.best(grid), patience=2) for grid in finished]

    if name in TABLES:
        return quick(table_grid(name)), False
    if name == "finals":
        return [dataclasses.replace(s, seed=seed) for s in winners() for seed in SEEDS], True
    if name == "augment":
        kinds = ("constant", "halves")
        return [dataclasses.replace(s, augment=kind) for s in winners() for kind in kinds], False
    if name == "file-order":
        return [dataclasses.replace(s, split="file-order") for s in winners()], True
    if name == "sanity":
        return [dataclasses.replace(s, split="eval") for s in winners()], False
    if name == "related":
        from training.audioset.models import RELATED

        base = RunSettings(epochs=10, patience=2)
        runs = [
            dataclasses.replace(base, arch=arch, seed=seed) for arch in RELATED for seed in SEEDS
        ]
        return quick(runs), True
    if name == "targets":
        base = RunSettings(arch="multi-level", epochs=10, patience=2)
        runs = [dataclasses.replace(base, target=target) for target in OTHER_TARGETS]
        return quick(runs), True
    raise ConfigError(f"sweep={name!r} must be one of {', '.join(SWEEPS)}, all")


def execute(settings, data, cache, score):
    """Train one run; returns its record and, if scored, its eval scores."""
    import torch

    from training.audioset import data as audioset_data
    from training.audioset import train as audioset_train
    from training.audioset.metrics import evaluate

    torch.set_num_threads(1)
    train, validation = audioset_train.prepare(settings, data, cache)
    model, result = audioset_train.fit(settings, train, validation)
    scores = None
    if score:
        clips = audioset_data.load_part(data, "eval", cache)
        classes = audioset_data.ClassList.load(data)
        targets, _ = audioset_data.select_target(clips, classes, settings.target)
        clip, rows = audioset_train.predict(model, clips.embeddings, clips.lengths)
        result.eval = evaluate(targets, clip)
        scores = {"eval": clip.astype(np.float32)}
        if rows is not None:
            scores["eval_rows"] = rows.astype(np.float16)
    record = dataclasses.asdict(result)
    record["best_val_loss"] = result.best_val_loss
    record["settings"] = settings.to_dict()
    return record, scores


def run_all(runs, store, data, cache, score=False, jobs=1, progress=None):
    """Execute the runs that `store` does not hold yet.

    Parameters
    ----------
    runs : list of RunSettings
    store : RunStore
    data, cache : path-like
    score : bool
    jobs : int
        Runs side by side, each on one thread.
    progress : callable or None
        Called with ``(settings, record)`` after each run, finished ones first.
    """
    progress = progress or (lambda settings, record: None)
    todo = []
    for settings in runs:
        record = store.load(settings)
        if record is not None and (record["eval"] or not score):
            progress(settings, record)
        else:
            todo.append(settings)
    if jobs == 1 or len(todo) <= 1:
        for settings in todo:
            record, scores = execute(settings, data, cache, score)
            store.save(settings, record, scores)
            progress(settings, record)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        futures = {pool.submit(execute, s, data, cache, score): s for s in todo}
        for future in as_completed(futures):
            record, scores = future.result()
            store.save(futures[future], record, scores)
            progress(futures[future], record)


def write_csv(path, named_runs, store):
    """One line a finished run: sweep, settings, epochs, figures.

    Parameters
    ----------
    path : path-like
    named_runs : iterable of (str, RunSettings)
    store : RunStore
    """
    rows = []
    for name, settings in named_runs:
        record = store.load(settings)
        if record is None:
            continue
        row = {"sweep": name} | settings.to_dict()
        row["options"] = json.dumps(row["options"])
        row["exclude"] = ";".join(row["exclude"])
        row |= {
            "epochs_run": len(record["history"]),
            "best_epoch": record["best_epoch"],
            "n_parameters": record["n_parameters"],
            "seconds": round(record["seconds"], 1),
            "val_loss": round(record["best_val_loss"], 4),
        }
        for part in ("validation", "eval"):
            for figure in ("accuracy", "f1_class", "ap", "roc_auc"):
                value = record[part].get(figure)
                row[f"{part}_{figure}"] = "" if value is None else round(value, 4)
        rows.append(row)
    if not rows:
        return
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def run_sweeps(names, args):
    """Run sweeps one after the other, with a progress bar, and write their CSV.

    Returns
    -------
    named : list of (str, RunSettings)
    store : RunStore
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed

    store, cache = RunStore(Path(args.runs) / "store"), Path(args.runs) / "cache"
    named = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Elapsed())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        for name in names:
            runs, score = experiment(name, store, args.fast)
            task = bar.add_task(name, total=len(runs))

            def advance(settings, record, task=task, name=name):
                bar.advance(task)
                figure = record["validation"]
                bar.console.print(
                    f"{name} {settings.arch} {settings.options} {settings.loss} "
                    f"{settings.optimiser} seed {settings.seed}: val loss "
                    f"{record['best_val_loss']:.4f}, accuracy {figure['accuracy']:.4f}, "
                    f"AP {figure['ap']:.4f} ({record['seconds']:.0f} s)",
                    highlight=False,
                )

            run_all(runs, store, args.data, cache, score, args.jobs, advance)
            named += [(name, settings) for settings in runs]
    write_csv(Path(args.runs) / f"{'all' if len(names) > 1 else names[0]}.csv", named, store)
    return named, store
