"""`gate-train audioset --report`: runs what is missing and writes ``benchmarks/audioset.md``."""

import json
import time
from pathlib import Path

import numpy as np

from gate.errors import ConfigError
from training.audioset import report_sections as sections
from training.audioset import sweeps
from training.audioset.metrics import evaluate


def finished_runs(names, args):
    """As `run_sweeps`, but only the runs that are there already."""
    store, named = sweeps.RunStore(Path(args.runs) / "store"), []
    for name in names:
        try:
            runs, score = sweeps.experiment(name, store, args.fast)
        except ConfigError:
            continue  # builds on tables that are not finished
        records = ((s, store.load(s)) for s in runs)
        named += [(name, s) for s, record in records if record and (record["eval"] or not score)]
    return named, store


def make_report(args):
    """Run everything that is missing, then write report, figures and CSV."""
    from training.audioset.best import train_best
    from training.audioset.data import ClassList, load_part, load_strong_speech, select_target
    from training.audioset.export import export_best
    from training.audioset.raw_frontends import run_frontends

    started = time.perf_counter()
    names = list(sweeps.SWEEPS)
    best = raw = None
    if args.no_run:
        named, store = finished_runs(names, args)
        if (Path(args.runs) / "best" / "best.json").exists():
            best = train_best(args)
        if (Path(args.runs) / "raw.json").exists():
            raw = run_frontends(args)
    else:
        named, store = sweeps.run_sweeps(names, args)
        best, raw = train_best(args), run_frontends(args)
    experiments = {name: [] for name in names}
    for name, settings in named:
        experiments[name].append(settings)
    clips = load_part(args.data, "eval", Path(args.runs) / "cache")
    classes = ClassList.load(args.data)
    truth, _ = select_target(clips, classes, "Speech")
    members = [s for s in experiments["related"] if s.arch == sweeps.ENSEMBLED]
    ensemble = {"never": float(1 - truth.mean())}
    if members:
        mean = np.mean([store.scores(s)["eval"] for s in members], axis=0)
        ensemble |= {"figures": evaluate(truth, mean), "n": len(members)}

    out = Path(args.out)
    folder = out / "audioset"
    folder.mkdir(parents=True, exist_ok=True)
    sweeps.write_csv(folder / "runs.csv", named, store)
    lines = [
        sections.INTRO.format(
            never=ensemble["never"],
            paper=sections.PAPER_BEST,
            seeds=", ".join(map(str, sweeps.SEEDS)),
        )
    ]
    lines += sections.results_section(experiments, store, best, ensemble)
    train = load_part(args.data, "bal_train", Path(args.runs) / "cache")
    baseline = sections.mean_row_baseline(train, select_target(train, classes, "Speech")[0], clips)
    strong = load_strong_speech(args.data)
    lines += sections.seconds_section(experiments, store, best, clips, strong, baseline)
    lines += ["## The paper's tables", ""]
    for name in sweeps.TABLES:
        if experiments[name]:
            lines += sections.grid_section(name, experiments[name], store)
    for name, section in sections.VARIANTS.items():
        if experiments[name]:
            lines += section(experiments, store)
    if raw:
        lines += sections.raw_section(raw)
    lines += sections.figures_section(experiments, store, folder)
    lines += sections.time_section(named, store, best, raw)
    (out / "audioset.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    if best:
        export_best(args)
        print(json.dumps(best["eval"], indent=2))
    print(f"{out / 'audioset.md'} written in {(time.perf_counter() - started) / 60:.1f} minutes")
