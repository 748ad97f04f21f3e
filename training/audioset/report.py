"""`gate-train audioset --report`: runs what is missing and writes ``benchmarks/audioset.md``.

The prose is in ``report.md`` beside this file; here are the tables that fill it.
"""

import json
import time
from pathlib import Path

import numpy as np

from training.audioset import grids
from training.audioset.card import SCORINGS
from training.audioset.runner import open_store, run_sweeps
from training.audioset.settings import TITLES

METRICS = ("accuracy", "f1_class", "ap", "roc_auc")
_VALIDATION = tuple(f"validation_{m}" for m in METRICS)
_EVAL = tuple(f"eval_{m}" for m in METRICS)
FIGURES = {
    1: ("Linear", "table3", {"hidden": 32, "batch_size": 16, "learning_rate": 1e-4}),
    2: ("1-D convolution, 2 active layers", "table4",
        {"active_layers": 2, "batch_size": 8, "learning_rate": 1e-4}),
    3: ("1-D convolution, 8 active layers", "table5",
        {"active_layers": 8, "batch_size": 16, "dropout": 0.3}),
    4: ("2-D convolution", "others", {"arch": "paper-conv2d"}),
    5: ("Transformer, binary cross-entropy", "others",
        {"arch": "paper-transformer", "loss": "bce"}),
    6: ("Transformer, cross-entropy of two classes", "others",
        {"arch": "paper-transformer", "loss": "ce"}),
}  # fmt: skip
"""Of each of the paper's figures: title, table, and what picks the run (the paper's best)."""
BEST = """\
Our row uses two thresholds chosen on the validation fifth: {thresholds[accuracy]:.3f} for accuracy
and {thresholds[f1]:.3f} for F1 of Speech; the network was then trained again with all of the
training part. It and its teachers also learned from {n_unlabelled:,} eval clips without their
labels; see [its card](../models/audioset-speech.md). Published models trained on the 2-million-clip
set reach about AP 0.73 for Speech."""


def table(header, rows, bold=None):
    """A Markdown table as text; row number `bold` stands out, None cells are empty."""

    def line(cells, mark=""):
        return "| " + " | ".join(f"{mark}{c}{mark}" if c else "" for c in cells) + " |"

    lines = [line(header), "|" + "---|" * len(header)]
    for i, row in enumerate(rows):
        cells = ("" if cell is None else str(cell) for cell in row)
        lines.append(line(cells, "**" if i == bold else ""))
    return "\n".join(lines)


def spread(values, digits=3):
    """Mean and, of several, the standard deviation."""
    values = np.asarray(values, dtype=float)
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"


def fixed(figures, names, digits=3):
    """Cells of some figures, empty where there is none."""
    return [f"{figures[n]:.{digits}f}" if n in figures else None for n in names]


class Runs:
    """The finished runs of every sweep: ``runs[name]`` is a list of (settings, figures)."""

    def __init__(self, store, fast=False):
        self.store, self._found = store, {}
        for name in grids.SWEEPS:
            try:
                runs = grids.experiment(name, store, fast)
            except grids.ConfigError:
                runs = []  # builds on grids that are not finished
            found = ((settings, store.load(settings)) for settings in runs)
            self._found[name] = [(s, f) for s, f in found if f]

    def __getitem__(self, name):
        return self._found[name]

    def by_arch(self, *names):
        """Architecture -> figures of its runs."""
        groups = {}
        for name in names:
            for settings, figures in self[name]:
                groups.setdefault(settings.arch, []).append(figures)
        return groups


def paper_table(name, runs):
    """One of the paper's tables, its figures and ours side by side."""
    rows, n_missing = grids.paper_rows(name), 0
    with_f1, part = any("f1" in paper for _, paper in rows), "validation"
    if name in grids.SCORED:
        part = "eval"
    first, shown = name == "others", ("optimiser", "loss", "batch_size", "learning_rate")
    varied = [k for k in shown if len({getattr(s, k) for s, _ in rows}) > 1]
    if not first:
        varied += [k for k in shown[2:] if k not in varied]
    options = [] if first else list(dict.fromkeys(k for s, _ in rows for k in s.options))
    header = ["model"] * first + [k.replace("_", " ") for k in varied + options]
    losses = any("val_loss" in paper for _, paper in rows)
    header += ["paper's val loss", "ours", "difference"] if losses else ["val loss"]
    header += ["paper's F1", f"ours ({part} accuracy)", "difference"] if with_f1 else []
    lines = []
    for settings, paper in rows:
        figures = runs.store.load(settings) or {}
        n_missing += not figures
        cells = [f"{TITLES[settings.arch]}: {settings.options_text}"] * first
        values = [getattr(settings, k) for k in varied] + [settings.options[k] for k in options]
        # 0.00001, not 1e-05.
        cells += [f"{v:.5f}".rstrip("0") if isinstance(v, float) else v for v in values]
        pairs = [("val_loss", "val_loss", 4)] + [("f1", f"{part}_accuracy", 3)] * with_f1
        for theirs, ours, digits in pairs:
            their, our = paper.get(theirs), figures.get(ours)
            own = f"{our:.{digits}f}" if figures else "to be run"
            if theirs == "val_loss" and not losses:
                cells.append(own)
                continue
            both = their is not None and our is not None
            their_text = None if their is None else f"{their:.4f}"
            cells += [their_text, own, f"{our - their:+.{digits}f}" if both else None]
        lines.append(cells)
    note = f"\n\n{n_missing} of {len(rows)} rows are still to be run." if n_missing else ""
    return table(header, lines) + note


def own_table(name, runs):
    """One of our own grids, the best run in bold."""
    header = ("options", "loss", "optimiser", "best val loss", "val accuracy (micro-F1)", "val F1",
              "val AP", "val ROC-AUC")  # fmt: skip
    found = runs[name]
    best = min(range(len(found)), key=lambda i: found[i][1]["val_loss"], default=None)
    return table(
        header,
        [
            (s.options_text, s.loss, s.optimiser, f"{f['val_loss']:.4f}", *fixed(f, _VALIDATION, 4))
            for s, f in found
        ],
        best,
    )


def results_table(runs, derived, best):
    """The main table: architectures, related work, the best model."""
    rows = [("always no", None, None, f"{derived['never']:.3f}", "0", None, "0.5"),
            ("the paper's best", None, None, "0.81", None, None, None)]  # fmt: skip
    for arch, found in runs.by_arch("finals", "related").items():
        rows.append(_eval_row(TITLES[arch], found))
    if "ensemble" in derived:
        title = f"{TITLES[grids.ENSEMBLED]}: ensemble of {derived['ensemble']['n']} seeds"
        rows.append((title, None, None, *fixed(derived["ensemble"], METRICS)))
    if best:
        check = f"{best['check']['head']['accuracy']:.3f}"
        rows.append(("ours: one small network", None, check, *fixed(best["eval"], METRICS, 4)))
    header = ("model", "val loss", "val accuracy", "eval accuracy (= micro-F1)", "F1 of Speech",
              "AP", "ROC-AUC")  # fmt: skip
    return table(header, rows, len(rows) - 1 if best else None)


def _eval_row(title, found):
    return (
        title,
        spread([f["val_loss"] for f in found], 4),
        spread([f["validation_accuracy"] for f in found]),
        *(spread([f[name] for f in found], 3 + (len(found) == 1)) for name in _EVAL),
    )


def seconds_table(runs, derived, best):
    """Per-second ROC-AUC of everything that has an output a second."""
    names = ("eval_seconds_roc_auc", "eval_seconds_roc_auc_strict")
    rows = [("Logistic regression on mean rows", *(f"{v:.3f}" for v in derived["baseline"]))]
    for arch, found in runs.by_arch("related").items():
        if names[0] in found[0]:
            rows.append((TITLES[arch], *(spread([f[n] for f in found]) for n in names)))
    if best:
        figures = ("per_second_roc_auc", "per_second_roc_auc_strict")
        rows.append(("ours", *fixed(best["eval"], figures, 4)))
    header = ("model", "ROC-AUC, half speech against none",
              "ROC-AUC, half speech against all others")  # fmt: skip
    return table(header, rows, len(rows) - 1 if best else None)


def variant_tables(runs):
    """Tables of what builds on the winners of our own grids."""
    plain = {s.arch: (s, f) for s, f in runs["finals"] if s.seed == 0}
    augmented = [
        (TITLES[arch], s.augment, f"{f['val_loss']:.4f}", *fixed(f, _VALIDATION[:3], 4))
        for arch, first in plain.items()
        for s, f in [first, *(run for run in runs["augment"] if run[0].arch == arch)]
    ]
    validation = ("model", "val loss", "val accuracy", "val F1", "val AP", "val ROC-AUC")
    return {
        "augmentation": table(
            ("model", "augmentation", "val loss", "val accuracy", "val F1", "val AP"), augmented
        ),
        "file_order": table(
            ("model", "val loss", "val accuracy", "eval accuracy", "F1", "AP", "ROC-AUC"),
            [_eval_row(TITLES[s.arch], [f]) for s, f in runs["file-order"]],
        ),
        "sanity": table(
            validation,
            [
                (TITLES[s.arch], f"{f['val_loss']:.4f}", *fixed(f, _VALIDATION, 4))
                for s, f in runs["sanity"]
            ],
        ),
        "targets": table(
            ("target", "model", "eval accuracy", "F1", "AP", "ROC-AUC"),
            [(s.target, TITLES[s.arch], *fixed(f, _EVAL, 4)) for s, f in runs["targets"]],
        ),
    }


def raw_table(raw):
    """Learnable frontends on sound."""
    header = ("frontend", "parameters", "dev accuracy", "test accuracy", "F1", "AP", "ROC-AUC")
    rows = [
        (name, f"{row['n_parameters']:,}", spread([r["accuracy"] for r in row["dev"]]),
         *(spread([r[m] for r in row["test"]]) for m in METRICS))
        for name, row in raw["rows"].items()
    ]  # fmt: skip
    return table(header, rows)


def draw_figures(runs, folder):
    """The paper's figures, from the runs that are finished; Markdown of them."""
    from training.audioset.plots import plot_loss_curves

    lines = []
    for number, (title, name, wanted) in FIGURES.items():
        for settings, paper in grids.paper_rows(name):
            cells = settings.to_dict() | settings.options
            if any(cells[k] != v for k, v in wanted.items()):
                continue
            history = runs.store.history(settings)
            if history:
                path = folder / f"figure{number}.png"
                plot_loss_curves(path, history, f"{number}: {title}", paper.get("val_loss"))
                lines.append(f"![Figure {number}: {title}](audioset/{path.name})")
            break
    return "\n".join(lines) or "Not run yet."


def time_parts(runs, best, raw):
    """What everything took: a table, and minutes of one core."""
    n, seconds = runs.store.total()
    rows = [(f"{n} runs of the tables", seconds)]
    rows += [("the best model, with its teachers", best["seconds"])] if best else []
    rows += [("frontends on raw sound", raw["seconds"])] if raw else []
    total = sum(seconds for _, seconds in rows)
    lines = [(name, f"{seconds:.0f}") for name, seconds in [*rows, ("all", total)]]
    return {
        "time": table(("part", "processor seconds"), lines, len(rows)),
        "minutes": f"{total / 60:.0f}",
    }


def derive(args, path):
    """Figures that need the data but no run of their own; kept beside the tables.

    Returns
    -------
    derived : dict
        ``never``: accuracy of always saying no on eval; ``baseline``: both measures a second of a
        logistic regression on mean rows; ``ensemble``: figures of the mean of several runs, where
        their scores are at hand.
    """
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    from sklearn.linear_model import LogisticRegression

    from training.audioset.data import ClassList, load_part, load_strong_speech, select_target
    from training.audioset.metrics import evaluate, per_second_roc_auc

    cache = Path(args.runs) / "cache"
    train, clips = (load_part(args.data, part, cache) for part in ("bal_train", "eval"))
    classes = ClassList.load(args.data)
    (targets, _), (truth, _) = (select_target(c, classes, "Speech") for c in (train, clips))
    rows = train.embeddings / np.float32(255) * train.mask[..., None]
    model = LogisticRegression(max_iter=1000)
    model.fit(rows.sum(1) / train.mask.sum(1, keepdims=True), targets)
    scores = model.decision_function(clips.embeddings.reshape(-1, 128) / np.float32(255))
    labelled = (clips.video_ids, scores.reshape(len(clips), -1), clips.lengths)
    labelled += load_strong_speech(args.data)
    derived = {
        "never": float(1 - truth.mean()),
        "baseline": [per_second_roc_auc(*labelled, strict=s)[0] for s in (False, True)],
    }
    members = [np.load(p) for p in sorted(cache.glob(f"eval-{grids.ENSEMBLED}-*.npy"))]
    if members:
        derived["ensemble"] = evaluate(truth, np.mean(members, axis=0)) | {"n": len(members)}
    path.write_text(json.dumps(derived, indent=1), encoding="utf-8")
    return derived


def make_report(args):
    """Run everything that is missing, then write report and figures.

    With ``--no-run`` the report is made of what is finished.
    """
    from training.audioset.best import best_folder, read_best, train_best
    from training.audioset.export import export_best
    from training.audioset.raw_frontends import run_frontends

    started = time.perf_counter()
    store = open_store(args) if args.no_run else run_sweeps(grids.SWEEPS, args)
    folder = store.runs.parent
    folder.mkdir(parents=True, exist_ok=True)
    best = read_best(args) or (None if args.no_run else train_best(args))
    raw_path = folder / "raw.json"
    raw = None
    if raw_path.exists() or not args.no_run:
        raw = run_frontends(args, raw_path)
    derived, runs = derive(args, folder / "derived.json"), Runs(store, args.fast)
    parts = {name: paper_table(name, runs) for name in grids.PAPER}
    parts |= {name.replace("-", "_"): own_table(name, runs) for name in grids.OWN}
    parts |= variant_tables(runs)
    parts["best"] = BEST.format(**best) if best else "Not trained yet."
    parts["results"] = results_table(runs, derived, best)
    parts["seconds"] = seconds_table(runs, derived, best)
    parts["raw"] = raw_table(raw) if raw else "Not run yet."
    parts["figures"] = draw_figures(runs, folder)
    parts |= time_parts(runs, best, raw) | {"scorings": SCORINGS}
    # Tables of runs whose records are no longer at hand.
    parts |= derived.get("carried", {})
    text = (Path(__file__).parent / "report.md").read_text(encoding="utf-8").format(**parts)
    report = folder.parent / "audioset.md"
    report.write_text(text, encoding="utf-8")
    if best and (best_folder(args) / "final-head0.pt").exists():
        export_best(args, overwrite=True)
    print(f"{report} written in {(time.perf_counter() - started) / 60:.1f} minutes")
