"""`gate-train audioset`: one run, a sweep, the best model, the export and the report."""

import dataclasses
import importlib
import json
import sys
from pathlib import Path

from gate.errors import ConfigError
from realtime.outputs import check_output
from training.audioset import grids
from training.audioset.settings import CHOICES, FIELDS, TITLES, RunSettings

DATA = {"data": "audioset", "voice_data": "voice"}
SWEEPS = (*grids.SWEEPS, "all")
EPILOG = """\
examples:
  gate-train audioset --arch lstm --set hidden=64 --set layers=2 --loss ce
  gate-train audioset --sweep table1           the paper's first table, resumable
  gate-train audioset --report                 everything: sweeps, best model, export, report
"""
HELP = {
    "arch": f"{', '.join(TITLES)} (default linear)",
    "target": "class name, mid or index (default Speech)",
    "split": "eval trains on the eval part: the sanity check only",
    "patience": "epochs without gain before stopping",
}


def add_parser(subparsers):
    """Add the subcommand."""
    import argparse

    parser = subparsers.add_parser(
        "audioset",
        help="train, sweep, report and export on AudioSet's released embeddings",
        description=__doc__.splitlines()[0],
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what to do (default: one run)").add_mutually_exclusive_group()
    what.add_argument("--sweep", choices=SWEEPS, metavar="NAME", help=", ".join(SWEEPS))
    what.add_argument("--best", action="store_true", help="train the best model and its teachers")
    what.add_argument("--export", action="store_true", help="write models/audioset-speech.*")
    what.add_argument("--report", action="store_true", help="run what is missing, then write it")
    run = parser.add_argument_group("one run")
    run.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="options",
                     help="an option of the architecture, such as hidden=256")  # fmt: skip
    run.add_argument("--exclude", action="append", metavar="CLASS",
                     help="no negative clip may carry this class or one below it")  # fmt: skip
    for field in dataclasses.fields(RunSettings):
        if field.name not in ("options", "exclude"):
            kind = {"choices": CHOICES[field.name]} if field.name in CHOICES else {}
            kind |= {"metavar": "ARCH"} if field.name == "arch" else {}
            kind |= {"type": float if field.default is None else type(field.default)}
            name = field.name.replace("_", "-")
            run.add_argument(f"--{name}", help=HELP.get(field.name), **kind)
    run.add_argument("--score-eval", action="store_true", help="also print the figures on eval")
    run.add_argument("--plot", metavar="FILE.png", help="loss curves of the run")
    where = parser.add_argument_group("where and how")
    for name, default, text in (
        ("data", None, "data folder (data: audioset: of --config)"),
        ("voice-data", None, "recordings for the raw-sound rows (data: voice: of --config)"),
        ("runs", "runs/audioset", "networks and cache, which a rerun resumes"),
        ("out", "benchmarks", "the report and the finished runs"),
        ("models", "models", "of the export"),
    ):
        text += f" ({default})" if default else ""
        where.add_argument(f"--{name}", default=default, metavar="DIR", help=text)
    where.add_argument("--jobs", type=int, default=2, help="runs side by side, a core each (2)")
    where.add_argument("--overwrite", action="store_true",
                       help="--export and --plot may replace what is there")  # fmt: skip
    where.add_argument("--no-run", action="store_true",
                       help="with --report: write it from the runs that are finished")  # fmt: skip
    return parser


def parse_options(pairs):
    """``["hidden=64", "start_end_rows=false"]`` to a dict of ints, floats and booleans."""
    options = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        try:
            options[name.replace("-", "_")] = value = json.loads(text.lower())
        except json.JSONDecodeError:
            value = None
        if not isinstance(value, (int, float)):
            raise ConfigError(f"set={pair!r} must be NAME=VALUE, a number, true or false")
    return options


def _one_run(args):
    from training.audioset.plots import plot_loss_curves
    from training.audioset.runner import execute

    if args.plot:
        if not args.plot.lower().endswith(".png"):
            raise ConfigError(f"plot={args.plot} must end with .png")
        check_output(args.plot, "plot", overwrite=args.overwrite)
    given = {k: v for k, v in vars(args).items() if k in FIELDS and v is not None}
    given |= {"options": parse_options(args.options), "exclude": tuple(args.exclude or ())}
    one, cache = RunSettings(**given), Path(args.runs) / "cache"

    def show(epoch):
        print(", ".join(f"{k} {v:.4g}" for k, v in epoch.items()), file=sys.stderr)

    _, record, _ = execute(one, args.data, cache, args.score_eval, show)
    if args.plot:
        plot_loss_curves(args.plot, record["history"], TITLES[one.arch])
    report = {"arch": one.arch, "best_val_loss": record["val_loss"]}
    shown = ("n_clips", "n_parameters", "validation", "seconds", "eval")
    report |= {name: record[name] for name in shown if name in record}
    print(json.dumps(report, indent=2))


def run(args):
    """Do what the options say; returns the exit code."""
    if args.jobs < 1:
        raise ConfigError(f"jobs={args.jobs} must be >= 1")
    for asked, module, function in (
        (args.sweep, "runner", "run_sweeps"), (args.best, "best", "train_best"),
        (args.export, "export", "export_best"), (args.report, "report", "make_report"),
    ):  # fmt: skip
        if asked:
            getattr(importlib.import_module(f"training.audioset.{module}"), function)(args)
            return 0
    _one_run(args)
    return 0
