"""`gate-train audioset --report`: runs what is missing and writes ``benchmarks/audioset.md``.

The prose is in ``report.md`` beside this file; here are the tables that fill it.
"""

import itertools
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from gate.errors import ConfigError
from realtime.outputs import write_text
from training.audioset import grids
from training.audioset.export import export_best, template
from training.audioset.runner import kept, open_store, run_sweeps
from training.audioset.settings import METRICS, SECONDS, TITLES

_VALIDATION = ("val_loss", *(f"validation_{m}" for m in METRICS))
_EVAL = tuple(f"eval_{m}" for m in METRICS)
HEADERS = {
    "val_loss": "val loss", "validation_accuracy": "val accuracy", "validation_f1_class": "val F1",
    "validation_ap": "val AP", "validation_roc_auc": "val ROC-AUC",
    "eval_accuracy": "eval accuracy (= micro-F1)", "eval_f1_class": "F1 of the class",
    "eval_ap": "AP", "eval_roc_auc": "ROC-AUC",
    "eval_seconds_roc_auc": "ROC-AUC, half speech against none",
    "eval_seconds_roc_auc_strict": "ROC-AUC, half speech against all others",
    "f1_class": "F1", "ap": "AP", "roc_auc": "ROC-AUC", "options_text": "options",
}  # fmt: skip
"""What stands above a column, where it is not the column's name."""


def table(columns, rows, bold=None):
    """A Markdown table as text without empty columns; row number `bold` stands out."""

    def line(cells, mark=""):
        return "| " + " | ".join(f"{mark}{c}{mark}" if c else "" for c in cells) + " |"

    kept = [i for i in range(len(columns)) if not rows or any(row[i] is not None for row in rows)]
    titles = [HEADERS.get(column, column.replace("_", " ")) for column in columns]
    lines = [line(titles[i] for i in kept), "|---" * len(kept) + "|"]
    for number, row in enumerate(rows):
        cells = ("" if row[i] is None else str(row[i]) for i in kept)
        lines.append(line(cells, "**" if number == bold else ""))
    return "\n".join(lines)


def spread(values, digits=3):
    """Mean and, of several, the standard deviation."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"


def fixed(figures, names, digits=4):
    """Cells of some figures, empty where there is none."""
    return [f"{figures[n]:.{digits}f}" if n in figures else None for n in names]


def run_rows(columns, runs):
    """Rows of finished runs, of "model", settings or figures; a row takes all seeds of a run."""
    rows = []
    for _, group in itertools.groupby(runs, lambda run: replace(run[0], seed=0)):
        found, cells = list(group), []
        first = found[0][0]
        for name in columns:
            if name == "model":
                cells.append(TITLES[first.arch])
            elif hasattr(first, name):
                cells.append(getattr(first, name))
            else:
                digits = 4 if len(found) == 1 or name == "val_loss" else 3
                values = [f[name] for _, f in found if name in f]
                cells.append(spread(values, digits) if values else None)
        rows.append(cells)
    return rows


def finished(name, store):
    """The finished runs of a sweep with their figures, a list of (settings, figures)."""
    try:
        runs = grids.experiment(name, store)
    except ConfigError:
        return []  # builds on grids that are not finished
    return [(settings, store.load(settings)) for settings in runs if store.load(settings)]


def paper_table(name, store):
    """One of the paper's tables, its figures and ours side by side."""
    part = "eval" if name in grids.SCORED else "validation"
    columns = ["options_text", "loss", "optimiser", "batch_size", "learning_rate"]
    lines, n_missing, shown = [], 0, list(columns)
    for title, ours in (("val loss", "our val loss"), ("F1", f"ours ({part} accuracy)")):
        columns += [f"paper's {title}", ours, "difference"]
    for settings, paper in grids.paper_rows(name):
        figures = store.load(settings) or {}
        n_missing += not figures
        cells = [getattr(settings, column) for column in shown]
        if name == "others":
            cells[0] = f"{TITLES[settings.arch]}: {cells[0]}"
        if cells[-1]:
            cells[-1] = f"{cells[-1]:.5f}".rstrip("0")  # 0.00001, not 1e-05
        for key, ours, digits in (("val_loss", "val_loss", 4), ("f1", f"{part}_accuracy", 3)):
            their, our = paper.get(key), figures.get(ours)
            cells += [
                their and f"{their:.4f}",
                f"{our:.{digits}f}" if our else "to be run",
                our and their and f"{our - their:+.{digits}f}",
            ]
        lines.append(cells)
    note = f"\n\n{n_missing} of {len(lines)} rows are still to be run." if n_missing else ""
    return table(columns, lines) + note


def own_tables(store):
    """Our grids, and what builds on their winners."""
    parts = {}
    for name in grids.OWN:
        columns, found = ("options_text", "loss", "optimiser", *_VALIDATION), finished(name, store)
        losses = [figures["val_loss"] for _, figures in found]
        best = losses.index(min(losses)) if losses else None
        parts[name] = table(columns, run_rows(columns, found), best)
    plain = [run for run in finished("finals", store) if run[0].seed == 0]
    augmented = [*plain, *finished("augment", store)]
    augmented.sort(key=lambda run: list(TITLES).index(run[0].arch))
    for name, columns, runs in (
        ("augment", ("model", "augment", *_VALIDATION[:4]), augmented),
        ("file-order", ("model", *_VALIDATION[:2], *_EVAL), finished("file-order", store)),
        ("sanity", ("model", *_VALIDATION), finished("sanity", store)),
        ("targets", ("target", "model", *_EVAL), finished("targets", store)),
    ):
        parts[name] = table(columns, run_rows(columns, runs))
    return {name.replace("-", "_"): text for name, text in parts.items()}


def result_tables(store, derived, best):
    """The main tables, of clips and of seconds: architectures, related work, the best model."""
    columns = ("model", *_VALIDATION[:2], *_EVAL)
    rows = [("always no", None, None, f"{derived['never']:.3f}", "0", None, "0.5"),
            ("the paper's best", None, None, "0.81", None, None, None)]  # fmt: skip
    rows += run_rows(columns, finished("finals", store) + finished("related", store))
    if "ensemble" in derived:
        title = f"{TITLES[grids.ENSEMBLED]}: ensemble of {derived['ensemble']['n']} seeds"
        rows.append((title, None, None, *fixed(derived["ensemble"], METRICS, 3)))
    with_seconds = ("model", *(f"eval_{name}" for name in SECONDS))
    of_seconds = [("Logistic regression on mean rows", *fixed(derived["baseline"], SECONDS, 3))]
    found = run_rows(with_seconds, finished("related", store))
    of_seconds += [row for row in found if row[1]]
    if best:
        check = f"{best['check']['head']['accuracy']:.3f}"
        rows.append(("ours: one small network", None, check, *fixed(best["eval"], METRICS)))
        of_seconds.append(("ours", *fixed(best["eval"], SECONDS)))
    return {
        "results": table(columns, rows, len(rows) - 1 if best else None),
        "seconds": table(with_seconds, of_seconds, len(of_seconds) - 1 if best else None),
    }


def raw_table(raw):
    """Learnable frontends on sound."""
    rows = [
        (name, f"{row['n_parameters']:,}", spread([r["accuracy"] for r in row["dev"]]),
         *(spread([r[m] for r in row["test"]]) for m in METRICS))
        for name, row in raw["rows"].items()
    ]  # fmt: skip
    return table(("frontend", "parameters", "dev accuracy", "test accuracy", *METRICS[1:]), rows)


def draw_figures(store, folder):
    """The paper's figures, from the runs that are finished; Markdown of them."""
    from training.audioset.plots import plot_loss_curves

    lines = []
    for number, (title, name, wanted) in enumerate(grids.FIGURES, 1):
        for settings, paper in grids.paper_rows(name):
            history = store.history(settings)
            if history and wanted.items() <= (vars(settings) | settings.options).items():
                path = folder / f"figure{number}.png"
                plot_loss_curves(path, history, f"{number}: {title}", paper.get("val_loss"))
                lines.append(f"![Figure {number}: {title}](audioset/{path.name})")
                break
    return "\n".join(lines) or "Not run yet."


def derive(args):
    """Figures that need the data but no run of their own.

    ``never``: accuracy of always saying no on eval; ``baseline``: both measures a second of a
    logistic regression on mean rows; ``ensemble``: figures of the mean of several runs, where their
    scores are at hand.
    """
    from sklearn.linear_model import LogisticRegression

    from training.audioset.data import ClassList, load_part, load_strong_speech, select_target
    from training.audioset.metrics import evaluate, seconds_figures

    cache = Path(args.runs) / "cache"
    train, clips = (load_part(args.data, part, cache) for part in ("bal_train", "eval"))
    classes = ClassList.load(args.data)
    (targets, _), (truth, _) = (select_target(c, classes, "Speech") for c in (train, clips))
    rows = train.embeddings / np.float32(255) * train.mask[..., None]
    model = LogisticRegression(max_iter=1000)
    model.fit(rows.sum(1) / train.mask.sum(1, keepdims=True), targets)
    scores = model.decision_function(clips.embeddings.reshape(-1, 128) / np.float32(255))
    scores = scores.reshape(len(clips), -1)
    baseline = seconds_figures(clips, scores, *load_strong_speech(args.data))
    derived = {"never": float(1 - truth.mean()), "baseline": baseline}
    members = [np.load(p) for p in sorted(cache.glob(f"eval-{grids.ENSEMBLED}-*.npy"))]
    if members:
        derived["ensemble"] = evaluate(truth, np.mean(members, axis=0)) | {"n": len(members)}
    return derived


def make_report(args):
    """Run everything that is missing, then write report and figures.

    With ``--no-run`` the report is made of what is finished.
    """
    from training.audioset.best import read_best, train_best
    from training.audioset.raw_frontends import run_frontends

    started = time.perf_counter()
    store = open_store(args) if args.no_run else run_sweeps(args)
    folder = store.runs.parent
    best = read_best(args) or (None if args.no_run else train_best(args))
    raw = None
    if (raw_path := folder / "raw.json").exists() or not args.no_run:
        raw = kept(raw_path, lambda: run_frontends(args.voice_data))
    derived = kept(folder / "derived.json", lambda: derive(args))
    parts = {name: paper_table(name, store) for name in grids.PAPER}
    parts |= own_tables(store) | result_tables(store, derived, best)
    n_runs, seconds = store.total()
    parts |= {"n_runs": n_runs, "minutes": seconds / 60}
    parts["best_minutes"] = best["seconds"] / 60 if best else 0
    parts["best"] = template("best", **best).strip() if best else "Not trained yet."
    parts["raw"] = raw_table(raw) if raw else "Not run yet."
    parts["figures"] = draw_figures(store, folder)
    parts["scorings"] = template("scorings").strip()
    # Tables of runs whose records are no longer at hand.
    parts |= derived.get("carried", {})
    report = folder.parent / "audioset.md"
    write_text(report, template("report", **parts))
    if best and (Path(args.runs) / "best" / "final-head0.pt").exists():
        args.overwrite = True  # the report's own files
        export_best(args)
    print(f"{report} written in {(time.perf_counter() - started) / 60:.1f} minutes")
