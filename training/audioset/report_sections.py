"""The parts of ``benchmarks/audioset.md``, each a list of Markdown lines."""

import numpy as np

from training.audioset import sweeps
from training.audioset.card import SCORINGS
from training.audioset.metrics import METRICS, per_second_roc_auc
from training.audioset.plots import plot_loss_curves

PAPER_BEST = 0.81
"""Highest micro-F1 in the paper, the one figure of it that is known here."""

TITLES = {
    "linear": "Linear",
    "conv1d": "1-D convolution",
    "conv2d": "2-D convolution",
    "lstm": "LSTM",
    "transformer": "Transformer",
    "vgg": "VGG-like CNN over the plane",
    "gated-conv": "Gated convolutions, attention",
    "bilstm": "Bidirectional LSTM, a row a second",
    "multi-level": "Multi-level attention",
}

INTRO = """\
# AudioSet: Speech or not, from the released embeddings

Everything here is written by `gate-train audioset --report`, which first runs whatever has not
been run. Data: AudioSet's released VGGish embeddings, 22,160 balanced-train clips for training and
validation, 20,371 eval clips scored only by the final models (our best model also hears most of
them in training, without their labels; see below what that is worth). Every run as a line, with its
processor time: [runs.csv](audioset/runs.csv).

**What the paper's F1 was.** Its "F1" came from a micro-averaged call, and for two classes that
counts every right answer as a true positive of one class and every wrong one as one false
positive and one false negative, so it *is* the accuracy. 73.9 % of the eval clips hold no Speech,
so a model that always says no scores {never:.3f} by it.

The paper's tables are known here only by their description (which architecture, which of its
variables were varied) and by its best figure, micro-F1 {paper:.2f}: the grids below vary what the
description names, with our own values, and no figure is put beside a paper's that we do not have.
Models are chosen by validation loss on a fifth of the balanced-train part; the shuffled split
unless a table says otherwise. "±" is the standard deviation over seeds {seeds}. The threshold is
0.5 except where a row says otherwise. So that everything runs in well under two hours on two
cores, the grids are small, a run stops after three epochs without a lower validation loss (two in
the final models and the related work) and after 15 in any case (10 for the related work).
"""


def _options(record):
    settings = record["settings"]
    text = ", ".join(f"{k} {v}" for k, v in settings["options"].items())
    return text or "defaults"


def _spread(values, digits=3):
    values = np.asarray(values, dtype=float)
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"


def _row(*cells):
    return "| " + " | ".join(str(c) for c in cells) + " |"


def _header(*cells):
    return [_row(*cells), "|" + "---|" * len(cells)]


def grid_section(name, runs, store):
    """One of the five tables: every run, the best one in bold."""
    arch = sweeps.TABLES[name]
    lines = [f"### {name.capitalize()[:5]} {name[5:]}: {TITLES[arch]}", ""]
    n_grid = len(sweeps.table_grid(name))
    if len(runs) < n_grid:
        lines += [f"{len(runs)} of {n_grid} runs are finished.", ""]
    lines += _header(
        "options", "loss", "optimiser", "best val loss", "val accuracy (micro-F1)", "val F1",
        "val AP", "val ROC-AUC",
    )  # fmt: skip
    best = store.best(runs)
    for settings in runs:
        record = store.load(settings)
        figures = record["validation"]
        mark = "**" if settings == best else ""
        lines.append(
            _row(
                f"{mark}{_options(record)}{mark}",
                settings.loss,
                settings.optimiser,
                f"{mark}{record['best_val_loss']:.4f}{mark}",
                *(f"{mark}{figures[m]:.3f}{mark}" for m in METRICS),
            )
        )
    return [*lines, ""]


def _by_arch(runs, store):
    groups = {}
    for settings in runs:
        groups.setdefault(settings.arch, []).append(store.load(settings))
    return groups


def _eval_row(title, records):
    return _row(
        title,
        _spread([r["best_val_loss"] for r in records], 4),
        _spread([r["validation"]["accuracy"] for r in records]),
        *(_spread([r["eval"][m] for r in records]) for m in METRICS),
    )


def results_section(experiments, store, best, ensemble):
    """The main table: paper's rows, related work, the best model."""
    lines = ["## Results on eval", ""]
    lines += _header(
        "model", "val loss", "val accuracy", "eval accuracy (= micro-F1)", "F1 of Speech", "AP",
        "ROC-AUC",
    )  # fmt: skip
    lines.append(_row("always no", "", "", f"{ensemble['never']:.3f}", "0", "", "0.5"))
    lines.append(_row("the paper's best", "", "", f"{PAPER_BEST:.2f}", "", "", ""))
    for name in ("finals", "related"):
        for arch, records in _by_arch(experiments[name], store).items():
            lines.append(_eval_row(TITLES[arch], records))
    if "figures" in ensemble:
        cells = (f"{ensemble['figures'][m]:.3f}" for m in METRICS)
        title = f"{TITLES[sweeps.ENSEMBLED]}: ensemble of {ensemble['n']} seeds"
        lines.append(_row(title, "", "", *cells))
    if not best:
        return [*lines, ""]
    check = best["validation"]["ensemble"]
    cells = (f"**{best['eval'][m]:.4f}**" for m in METRICS)
    title = f"**ours: mean of {best['gives_seconds'].count(False)} networks**"
    lines.append(_row(title, "", f"{check['accuracy']:.3f}", *cells))
    thresholds, heard = best["thresholds"], best["heard"]
    lines += [
        "",
        f"Our row uses two thresholds chosen on the validation fifth: "
        f"{thresholds['accuracy']:.3f} for accuracy and {thresholds['f1']:.3f} for F1 of Speech; "
        "its networks were then trained again with all of the training part. They also learned "
        f"from {best['n_unlabelled']:,} eval clips without their labels: two single students that "
        "heard one half of them each have AP "
        f"{heard['heard']['ap']:.4f} and ROC-AUC {heard['heard']['roc_auc']:.4f} on the half that "
        f"they heard, {heard['unheard']['ap']:.4f} and {heard['unheard']['roc_auc']:.4f} on the "
        "other. "
        f"Always no scores {ensemble['never']:.3f} accuracy; published models trained on the "
        f"2-million-clip set reach about AP 0.73 for Speech. {SCORINGS} "
        "See training/EXPERIMENTS.md.",
        "",
    ]
    return lines


def mean_row_baseline(train, targets, clips):
    """Score a row, (n, 10), of a logistic regression trained on the clips' mean rows."""
    from sklearn.linear_model import LogisticRegression

    rows = train.embeddings / np.float32(255) * train.mask[..., None]
    model = LogisticRegression(max_iter=1000)
    model.fit(rows.sum(1) / train.mask.sum(1, keepdims=True), targets)
    return model.decision_function(clips.embeddings.reshape(-1, 128) / np.float32(255)).reshape(
        len(clips), -1
    )


def seconds_section(experiments, store, best, clips, strong, baseline):
    """Per-second ROC-AUC of everything that has an output a second."""
    lines = ["## Seconds", ""]
    lines += [
        f"Against human onsets and offsets of {len(strong[0])} eval clips: seconds at "
        "least half speech against seconds without any, which is the measure that fits the "
        "goal's baseline (.894), and, *strict*, against all other seconds. Nothing here was "
        "trained on such labels; every output a second was learned from the clips' labels.",
        "",
    ]
    lines += _header(
        "model", "ROC-AUC, half speech against none", "ROC-AUC, half speech against all others"
    )

    def both(rows):
        labelled = (clips.video_ids, rows, clips.lengths, *strong)
        return [per_second_roc_auc(*labelled, strict=s)[0] for s in (False, True)]

    title = "Logistic regression on mean rows"
    lines.append(_row(title, *(f"{figure:.3f}" for figure in both(baseline))))
    for arch, group in _group_settings(experiments["related"]).items():
        values = []
        for settings in group:
            scores = store.scores(settings)
            if "eval_rows" in scores:
                values.append(both(scores["eval_rows"].astype(np.float32)))
        if values:
            lines.append(_row(TITLES[arch], *map(_spread, zip(*values, strict=True))))
    if best:
        figures = [best["eval"][f"per_second_roc_auc{end}"] for end in ("", "_strict")]
        lines.append(_row("**ours**", *(f"**{figure:.4f}**" for figure in figures)))
    return [*lines, ""]


def _group_settings(runs):
    groups = {}
    for settings in runs:
        groups.setdefault(settings.arch, []).append(settings)
    return groups


def augmentation_section(experiments, store):
    """Each winner without and with both augmentations."""
    plain = {s.arch: s for s in experiments["finals"] if s.seed == 0}
    lines = ["## Augmentation", ""]
    lines += [
        "One augmented copy of every positive training clip is added, as in the paper: a constant "
        "added to or subtracted from all its bytes, with clipping, or half of it plus half of "
        "another positive. Validation figures, seed 0.",
        "",
    ]
    lines += _header("model", "augmentation", "val loss", "val accuracy", "val F1", "val AP")
    for arch, settings in plain.items():
        for run in [settings, *(s for s in experiments["augment"] if s.arch == arch)]:
            record = store.load(run)
            cells = (f"{record['validation'][m]:.3f}" for m in METRICS[:3])
            loss = f"{record['best_val_loss']:.4f}"
            lines.append(_row(TITLES[arch], run.augment, loss, *cells))
    return [*lines, ""]


def split_section(experiments, store):
    """The paper's own split."""
    lines = ["## The paper's split", ""]
    lines += [
        "First 4/5 of balanced-train in file order for training, last 1/5 for validation. Files "
        "are sorted by video id, which is as good as random, so it differs from the shuffled "
        "split by chance only.",
        "",
    ]
    lines += _header("model", "val loss", "val accuracy", "eval accuracy", "F1", "AP", "ROC-AUC")
    for settings in experiments["file-order"]:
        lines.append(_eval_row(TITLES[settings.arch], [store.load(settings)]))
    return [*lines, ""]


def sanity_section(experiments, store):
    """Trained on eval, as a check."""
    lines = ["## Sanity check: trained on eval", ""]
    lines += [
        "**Not a result.** As the paper did, the same models trained on four fifths of the eval "
        "part and validated on its last fifth: if eval were of another kind, or its labels worse, "
        "it would show here.",
        "",
    ]
    lines += _header("model", "val loss", "val accuracy", "val F1", "val AP", "val ROC-AUC")
    for settings in experiments["sanity"]:
        record = store.load(settings)
        cells = (f"{record['validation'][m]:.3f}" for m in METRICS)
        lines.append(_row(TITLES[settings.arch], f"{record['best_val_loss']:.4f}", *cells))
    return [*lines, ""]


def targets_section(experiments, store):
    """Classes other than Speech."""
    lines = ["## Other targets", ""]
    lines += [
        "Any of the 527 classes by `--target`; rare ones show why accuracy alone says little.",
        "",
    ]
    lines += _header("target", "model", "eval accuracy", "F1", "AP", "ROC-AUC")
    for settings in experiments["targets"]:
        figures = store.load(settings)["eval"]
        cells = (f"{figures[m]:.3f}" for m in METRICS)
        lines.append(_row(settings.target, TITLES[settings.arch], *cells))
    return [*lines, ""]


VARIANTS = {
    "augment": augmentation_section,
    "file-order": split_section,
    "sanity": sanity_section,
    "targets": targets_section,
}
"""Sweep -> the section about it; left out as long as none of its runs is finished."""


def raw_section(raw):
    """Learnable frontends on sound."""
    lines = ["## From raw sound", ""]
    lines += [
        f"AudioSet's sound is not released, so this is another task: one second of the live "
        f"detector's recordings, speech or not ({raw['n_train']} training, {raw['n_dev']} dev, "
        f"{raw['n_test']} test seconds; the test part has speakers, languages and noises that are "
        f"in no other). The same small CNN follows each frontend; seeds {raw['seeds']}, epoch "
        "chosen on dev.",
        "",
    ]
    lines += _header(
        "frontend", "parameters", "dev accuracy", "test accuracy", "F1", "AP", "ROC-AUC"
    )
    for name, row in raw["rows"].items():
        lines.append(
            _row(
                name, f"{row['n_parameters']:,}", _spread([r["accuracy"] for r in row["dev"]]),
                *(_spread([r[m] for r in row["test"]]) for m in METRICS),
            )
        )  # fmt: skip
    return [*lines, ""]


def figures_section(experiments, store, folder):
    """The six loss-curve figures: one an architecture, one of the sanity check."""
    lines = ["## Loss curves", ""]
    for name in sweeps.TABLES:
        runs = sorted(experiments[name], key=lambda s: store.load(s)["best_val_loss"])
        if not runs:
            continue
        records = [store.load(s) for s in runs[:3]]
        arch = runs[0].arch
        labels = [f"{_options(r)} {r['settings']['loss']} {r['settings']['optimiser']}"
                  for r in records]  # fmt: skip
        histories = {label: r["history"] for label, r in zip(labels, records, strict=True)}
        plot_loss_curves(folder / f"{name}.png", histories, f"{TITLES[arch]}: best three")
        lines.append(f"![Loss curves, {TITLES[arch]}](audioset/{name}.png)")
    histories = {TITLES[s.arch]: store.load(s)["history"] for s in experiments["sanity"]}
    if not histories:
        return [*lines, ""]
    plot_loss_curves(folder / "sanity.png", histories, "Sanity check: trained on eval")
    return [*lines, "![Loss curves, trained on eval](audioset/sanity.png)", ""]


def time_section(named, store, best, raw):
    """What everything took."""
    runs = {sweeps.run_key(settings): store.load(settings)["seconds"] for _, settings in named}
    parts = {
        f"{len(runs)} runs of the tables": sum(runs.values()),
        "the best model, checked and trained": best["seconds"] if best else 0.0,
        "frontends on raw sound": raw["seconds"] if raw else 0.0,
    }
    total = sum(parts.values())
    lines = ["## Time", "", *_header("part", "processor seconds")]
    lines += [_row(name, f"{seconds:.0f}") for name, seconds in parts.items()]
    lines += [_row("**all**", f"**{total:.0f}**"), ""]
    lines += [
        f"That is {total / 60:.0f} minutes of one core. With `--jobs 2` the runs of the tables and "
        "the networks of the best model go side by side, the frontends one after the other, about "
        f"{(total + parts['frontends on raw sound']) / 120:.0f} minutes: training only, on an x86 "
        "machine with other work on it. Reading the shards, scoring and drawing add a few.",
        "",
    ]
    return lines
