"""The experiments as lists of runs. They are data: ``sweeps.yaml`` and ``paper/*.csv``."""

import csv
import itertools
import json
from dataclasses import replace
from pathlib import Path

import yaml

from gate.errors import ConfigError
from training.audioset.settings import FIELDS, RunSettings

_FOLDER = Path(__file__).parent
_DATA = yaml.safe_load((_FOLDER / "sweeps.yaml").read_text(encoding="utf-8"))
GRIDS, SCORED, FIGURES = _DATA["sweeps"], _DATA["scored"], _DATA["figures"]
PAPER = ("table1", "table2", "table3", "table4", "table5", "others")
OWN = tuple(name for name in GRIDS if name.startswith("own-"))
SWEEPS = (*PAPER, *GRIDS)
ENSEMBLED = "gated-conv"


def paper_rows(name):
    """Rows of one of the tables in `PAPER`.

    Returns
    -------
    rows : list of (RunSettings, dict)
        The run, and the paper's figures: ``val_loss`` and ``f1`` where it gives them. A row that
        repeats another one's settings has the next seed.
    """
    rows = []
    with open(_FOLDER / "paper" / f"{name}.csv", newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            cells = {
                key: text if key in ("arch", "loss", "optimiser") else json.loads(text.lower())
                for key, text in line.items()
                if text
            }
            paper = {k.removeprefix("paper_"): cells.pop(k) for k in list(cells) if "paper_" in k}
            rows.append((_changed(RunSettings(split="file-order"), cells), paper))
    return rows


def _changed(base, cells):
    """`base` with the settings in `cells`; what is no setting is an option."""
    options = base.options | {k: v for k, v in cells.items() if k not in FIELDS}
    return replace(base, options=options, **{k: v for k, v in cells.items() if k in FIELDS})


def experiment(name, store):
    """Runs of one of `SWEEPS`, a list of RunSettings.

    Those that build on winners take them from the runs that are finished in `store`, a
    `training.audioset.runner.RunStore`.
    """
    if name in PAPER:
        return [settings for settings, _ in paper_rows(name)]
    runs = []
    for grid in GRIDS[name]:
        grid = {k: v if isinstance(v, list) else [v] for k, v in grid.items()}
        bases = _winners(name, store) if grid.pop("winners", None) else [RunSettings()]
        rows = [dict(zip(grid, row, strict=True)) for row in itertools.product(*grid.values())]
        runs += [_changed(base, cells) for base in bases for cells in rows]
    return runs


def _winners(name, store):
    grids = [experiment(grid, store) for grid in OWN]
    finished = [grid for grid in grids if all(store.load(settings) for settings in grid)]
    if not finished:
        raise ConfigError(f"sweep={name!r} must come after one of ours: run --sweep own-linear")
    return [min(grid, key=lambda s: store.load(s)["val_loss"]) for grid in finished]
