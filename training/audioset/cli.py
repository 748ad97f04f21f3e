"""`gate-train audioset`: one run, a sweep, the best model, the export and the report."""

import dataclasses
import json
import sys
from pathlib import Path

from gate.errors import ConfigError
from realtime.outputs import check_output
from training.audioset import grids, settings

DATA = {"data": "audioset", "voice_data": "voice"}
SWEEPS = (*grids.SWEEPS, "all")
ARCHITECTURES = tuple(settings.TITLES)
EPILOG = """\
examples:
  gate-train audioset                          one run: linear, Speech or not
  gate-train audioset --arch lstm --set hidden=64 --set layers=2 --loss ce
  gate-train audioset --target "Drum kit" --arch multi-level
  gate-train audioset --sweep table1           the paper's first table, resumable
  gate-train audioset --sweep own-lstm         a grid of ours
  gate-train audioset --report                 everything: sweeps, best model, export, report
  gate-train audioset --report --fast          the same on a tenth of the data: a check, no result
"""


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
    what.add_argument(
        "--report", action="store_true", help="run what is missing and write the report"
    )
    run = parser.add_argument_group("one run")
    run.add_argument("--arch", choices=ARCHITECTURES, default=None, metavar="ARCH",
                     help=f"{', '.join(ARCHITECTURES)} (default linear)")  # fmt: skip
    run.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="options",
                     help="an option of the architecture, such as hidden=256")  # fmt: skip
    run.add_argument("--target", help="class name, mid or index (default Speech)")
    run.add_argument("--exclude", action="append", default=None, metavar="CLASS",
                     help="no negative clip may carry this class or one below it")  # fmt: skip
    run.add_argument("--loss", choices=("bce", "ce"))
    run.add_argument("--optimiser", choices=("adam", "rmsprop", "adagrad"))
    run.add_argument("--learning-rate", type=float)
    run.add_argument("--weight-decay", type=float)
    run.add_argument("--augment", choices=("none", "constant", "halves"))
    run.add_argument("--split", choices=("shuffled", "file-order", "eval"),
                     help="eval trains on the eval part: the sanity check only")  # fmt: skip
    run.add_argument("--fraction", type=float, help="share of the clips used, 0..1")
    run.add_argument("--epochs", type=int)
    run.add_argument("--patience", type=int, help="epochs without gain before stopping")
    run.add_argument("--batch-size", type=int)
    run.add_argument("--seed", type=int)
    run.add_argument("--score-eval", action="store_true", help="also print the figures on eval")
    run.add_argument("--plot", metavar="FILE.png", help="loss curves of the run")
    where = parser.add_argument_group("where and how")
    where.add_argument("--data", metavar="DIR", help="data folder (data: audioset: of --config)")
    where.add_argument("--voice-data", metavar="DIR",
                       help="recordings for the raw-sound rows (data: voice:)")  # fmt: skip
    where.add_argument("--runs", default="runs/audioset",
                       help="networks and cache; a rerun resumes (runs/audioset)")  # fmt: skip
    where.add_argument(
        "--out",
        default="benchmarks",
        help="the report and the finished runs (benchmarks)",
    )
    where.add_argument("--models", default="models", help="folder of the export (models)")
    where.add_argument("--overwrite", action="store_true",
                       help="--export and --plot may replace what is there")  # fmt: skip
    where.add_argument("--jobs", type=int, default=2, help="runs side by side, a core each (2)")
    where.add_argument("--no-run", action="store_true",
                       help="with --report: write it from the runs that are finished")  # fmt: skip
    where.add_argument("--fast", action="store_true", help="a tenth of the data, two epochs")
    return parser


def parse_options(pairs):
    """``["hidden=64", "start_end_rows=false"]`` to a dict of ints, floats and booleans."""
    options = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name:
            raise ConfigError(f"set={pair!r} must be NAME=VALUE")
        try:
            options[name.replace("-", "_")] = json.loads(text.lower())
        except json.JSONDecodeError:
            raise ConfigError(f"set={pair!r} must have a number, true or false as value") from None
    return options


def _run_settings(args):
    given = {
        field.name: getattr(args, field.name)
        for field in dataclasses.fields(settings.RunSettings)
        if field.name != "options" and getattr(args, field.name, None) is not None
    }
    if "exclude" in given:
        given["exclude"] = tuple(given["exclude"])
    run_settings = settings.RunSettings(options=parse_options(args.options), **given)
    if args.fast:
        run_settings = dataclasses.replace(run_settings, fraction=0.1, epochs=2)
    return run_settings


def _one_run(args):
    import torch

    from training.audioset.plots import plot_loss_curves
    from training.audioset.train import fit, prepare, score_eval

    torch.set_num_threads(1)
    one, cache = _run_settings(args), Path(args.runs) / "cache"
    train, validation = prepare(one, args.data, cache)
    print(f"{len(train[2])} training and {len(validation[2])} validation clips", file=sys.stderr)

    def progress(epoch):
        print(
            f"epoch {epoch['epoch'] + 1:2d}  train loss {epoch['train_loss']:.4f}  "
            f"val loss {epoch['val_loss']:.4f}  val accuracy {epoch['val_accuracy']:.4f}",
            file=sys.stderr,
        )

    model, record = fit(one, train, validation, progress)
    if args.plot:
        plot_loss_curves(args.plot, record["history"], settings.TITLES[one.arch])
    report = {"arch": one.arch, "best_val_loss": record["val_loss"]}
    report |= {name: record[name] for name in ("n_parameters", "validation")}
    report["seconds"] = round(record["seconds"], 1)
    if args.score_eval:
        report["eval"], _ = score_eval(model, one, args.data, cache)
    print(json.dumps(report, indent=2))


def run(args):
    """Do what the options say; returns the exit code."""
    if args.jobs < 1:
        raise ConfigError(f"jobs={args.jobs} must be >= 1")
    if args.plot:
        if not args.plot.lower().endswith(".png"):
            raise ConfigError(f"plot={args.plot} must end with .png")
        check_output(args.plot, "plot", overwrite=args.overwrite)
    if args.sweep:
        from training.audioset.runner import run_sweeps

        run_sweeps(grids.SWEEPS if args.sweep == "all" else [args.sweep], args)
    elif args.best:
        from training.audioset.best import train_best

        train_best(args)
    elif args.export:
        from training.audioset.export import export_best

        export_best(args, args.overwrite)
    elif args.report:
        from training.audioset.report import make_report

        make_report(args)
    else:
        _one_run(args)
    return 0
