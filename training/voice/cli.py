"""`gate-train voice`: train, calibrate, export and evaluate the live voice detector."""

import json
import os
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from gate.errors import ConfigError

DATA = {"data": "voice", "teacher": "yamnet"}
DEFAULT_RUN = "runs/voice"
DEFAULT_MODEL = "models/voice.onnx"
ACTIONS = ("train", "average", "calibrate", "export", "build", "evaluate", "world")

EPILOG = """\
examples:
  gate-train voice train --minutes 60          decode, mix and train; run again to resume
  gate-train voice calibrate                   calibrate, fit ballistics, choose thresholds (dev)
  gate-train voice export -o models/voice.onnx check and write the detector
  gate-train voice build --minutes 150         train, calibrate and export, one after the other
  gate-train voice evaluate --split dev        figures of an exported detector
  gate-train voice world                       everyday sounds that taught gates stay shut on
  gate-train voice --smoke                     all of it in a minute, on synthetic sound
"""


@dataclass(frozen=True)
class MixerFactory:
    """Makes the mixer in the mixing process.

    Attributes
    ----------
    cache : str
        Folder of the decode cache.
    n_hops, seed : int
    n_rooms, synthetic_rounds, n_noises : int
    held_out : str
        See `training.voice.library.Library`.
    snr_db : tuple of float
        See `training.voice.mixer.MixSettings`.
    """

    cache: str
    n_hops: int = 800
    seed: int = 0
    n_rooms: int = 300
    synthetic_rounds: int = 25
    n_noises: int = 80
    held_out: str = "without"
    snr_db: tuple = (-5.0, 30.0)
    n_ears: int = 1

    def ears(self):
        """What hears mixtures beside the bands, one callable an ear."""
        from training.voice.second_ear import SileroEar

        return [SileroEar() for _ in range(self.n_ears)]

    def library(self, split="train", held_out=None):
        """The sounds of a split."""
        from training.corpus.cache import Corpus
        from training.voice.library import Library
        from training.voice.teachers import load_opinions

        cache = Path(self.cache)
        opinions = load_opinions(cache / "teachers.npz")
        return Library(
            Corpus(cache), split, self.seed, opinions, self.n_rooms, self.synthetic_rounds,
            self.n_noises, held_out or self.held_out,
        )  # fmt: skip

    def __call__(self):
        """A mixer of the train split."""
        from training.voice.mixer import MixSettings, VoiceMixer
        settings = MixSettings(n_hops=self.n_hops, snr_db=self.snr_db)
        return VoiceMixer(self.library(), settings, [self.seed, 1], self.ears())


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
    parser.add_argument("--batch-size", type=int, default=96, help="items of 8 s (96)")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="at its peak (0.002)")
    parser.add_argument("--start", metavar="FILE", help="checkpoint whose weights to start from")
    parser.add_argument("--of", nargs="+", metavar="FILE",
                        help="checkpoints whose mean `average` puts into RUN")  # fmt: skip
    parser.add_argument("--everything", action="store_true",
                        help="train on the sounds held out for choosing, too")  # fmt: skip
    parser.add_argument("--max-snr-db", type=float, help="of the mixtures, from -5 up (30)")
    parser.add_argument("--pool", type=int, default=12000, metavar="N",
                        help="items kept on disk, 270 kB each (12000)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of torch (1)")
    parser.add_argument("-o", "--output", default=DEFAULT_MODEL, metavar="FILE",
                        help=f"where export writes ({DEFAULT_MODEL})")  # fmt: skip
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="FILE",
                        help=f"what evaluate measures ({DEFAULT_MODEL})")  # fmt: skip
    parser.add_argument("--split", choices=("dev", "test"), default="dev", help="to evaluate on")
    parser.add_argument("--rule", nargs=3, type=float, metavar=("PRESENCE", "OPEN", "SHUT"),
                        help="neutral presence and costs, nats, instead of a search")  # fmt: skip
    parser.add_argument("--target", choices=("speech", "voice"), default="speech",
                        help="what evaluate opens for (speech)")  # fmt: skip
    parser.add_argument("--mixtures", type=int, default=40, help="a ratio, to evaluate on (40)")
    return parser


def _check(args):
    if not args.smoke and args.action is None:
        raise ConfigError(f"action=None must be one of {', '.join(ACTIONS)} (or --smoke)")
    if args.rule:
        from gate.decision import EvidenceRule

        args.rule = EvidenceRule(*args.rule)
    for name in ("minutes", "batch_size", "learning_rate", "pool", "threads", "mixtures"):
        if not getattr(args, name) > 0:
            raise ConfigError(f"{name}={getattr(args, name)} must be > 0")


def _progress():
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


def train(args, factory, settings, network=None, opinions=True):
    """Decode, ask the teachers, mix and train.

    Returns
    -------
    training.voice.train.Trainer
    """
    from training.corpus.cache import build_cache
    from training.voice.dev import build_dev_set, look
    from training.voice.network import VoiceSettings
    from training.voice.pool import ItemPool, PoolFiller
    from training.voice.teachers import teach
    from training.voice.train import Trainer

    run, cache = Path(args.run), Path(factory.cache)
    corpus = build_cache(args.data, cache, workers=max(1, min(2, os.cpu_count() or 1)))
    if opinions and args.teacher != "none" and not (cache / "teachers.npz").is_file():
        teach(corpus, cache / "teachers.npz", args.teacher)
    pool = ItemPool(run / "pool", factory.n_hops, args.pool, factory.n_ears)
    pool.clear()
    small = replace(factory, n_rooms=0, synthetic_rounds=3, n_noises=4, seed=factory.seed + 99)
    with PoolFiller(factory, pool) as filler:
        n_mixtures = 24 if opinions else 3
        dev = build_dev_set(
            small.library("dev"), small.library("train", "only"), n_mixtures=n_mixtures
        )
        filler.wait(settings.batch_size)
        names = json.loads((pool.folder / "names.json").read_text(encoding="utf-8"))
        counts = {"n_speakers": len(names["speakers"]), "n_events": len(names["events"])}
        network = replace(network or VoiceSettings(), n_ears=factory.n_ears, **counts)
        trainer = Trainer(pool, run, network, settings, lambda net: look(net, dev))
        if not trainer.resume() and args.start:
            trainer.start_from(args.start)
        with _progress() as bar:
            task = bar.add_task("training", total=1.0)

            def on_step(step, done, values):
                text = f"step {step}  loss {values['total']:.3f}"
                bar.update(task, completed=done, description=text)

            trainer.run(on_step, wait_items=min(1000, args.pool // 2))
    return trainer


def hear_dev(args, factory):
    """The dev recordings: the benchmark's and the sounds held out of training."""
    from training.voice.evaluate import hear, hear_sound

    ears = factory.ears()
    recordings = [hear(clip, ears) for clip in _evaluation_set(args.data, "dev", args.mixtures)]
    held = replace(factory, n_rooms=0, synthetic_rounds=6, n_noises=1, seed=98)
    library = held.library("train", "only")
    for group, sounds in (
        ("held_noise", [s for s in library.beds + library.events if s.index >= 0]),
        ("held_music", library.music),
        ("held_cry", [s for s in library.human if s.index >= 0]),
        ("held_synth", [s for s in library.human if s.index < 0]),
    ):
        for k, sound in enumerate(sounds):
            if group == "held_noise" and sound.kind != "noise":
                continue
            samples = library.read(sound)[: 16000 * 15]
            recordings.append(hear_sound(samples, f"{group}{k}", group, ears))
    return recordings


def _evaluation_set(data, split, n_mixtures):
    # The evaluation set is the benchmark's own, so that both measure the same thing.
    from training.corpus.mixtures import evaluation_set

    return evaluation_set(data, split, n_mixtures=n_mixtures)


def calibrate(args, factory):
    """Calibrate the newest checkpoint.

    Writes ``calibrated.pt``, ``calibration.json`` and ``reliability.png``.
    """
    import torch

    from training.voice.calibrate import calibrate_network
    from training.voice.checkpoints import load_average
    from training.voice.plots import plot_reliability
    from training.voice.pool import ItemPool

    run = Path(args.run)
    torch.set_num_threads(args.threads)
    if not (run / "checkpoint.pt").is_file():
        raise ConfigError(f"run={run} must hold a checkpoint (gate-train voice train)")
    net = load_average(run / "checkpoint.pt")
    pool = ItemPool(run / "pool", factory.n_hops, args.pool, factory.n_ears)
    report = calibrate_network(net, hear_dev(args, factory), pool, print, rule=args.rule)
    torch.save({"network": net.settings.to_dict(), "average": net.state_dict()},
               run / "calibrated.pt")  # fmt: skip
    (run / "calibration.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    plot_reliability(
        run / "reliability.png", report["presence"]["before"], report["presence"]["after"]
    )


def export(args):
    """Check the calibrated network and write the detector."""
    from training.voice.checkpoints import load_average
    from training.voice.export import DetectorCard, export_voice
    from training.voice.second_ear import DESCRIPTION

    run = Path(args.run)
    if not (run / "calibrated.pt").is_file():
        raise ConfigError(f"run={run} must hold calibrated.pt (gate-train voice calibrate)")
    report = json.loads((run / "calibration.json").read_text(encoding="utf-8"))
    net = load_average(run / "calibrated.pt")
    card = DetectorCard(
        name="voice",
        targets={"speech": ["speech"], "voice": ["speech", "sung"]},
        presence_threshold=report["presence_threshold"],
        presence_hysteresis=report["presence_hysteresis"],
        decision=report["decision"],
        ears=[DESCRIPTION] * net.settings.n_ears,
        licence="MIT",
        training_data="public recordings, by source in the model card (voice.md)",
    )
    checks = export_voice(net, args.output, card)
    for what, (name, difference) in checks.items():
        print(f"{what}: largest difference {difference:.1e} ({name})")
    print(f"wrote {args.output}")


def evaluate(args):
    """Print the figures of an exported detector."""
    from training.voice.calibrate import describe
    from training.voice.evaluate import (
        GateChoice,
        OnnxNet,
        ask,
        hear,
        heard_by,
        judge,
        key_error_db,
        level_changes,
        print_table,
        sung_recordings,
    )

    net = OnnxNet(args.model)
    info = net.detector.info
    ears = heard_by(info)
    clips = _evaluation_set(args.data, args.split, args.mixtures)
    recordings = [hear(clip, ears) for clip in clips]
    if args.target == "voice":
        recordings += sung_recordings(args.data, ears)
    recordings = ask(net, recordings, together=1)
    columns = tuple(info.classes.index(name) for name in info.targets[args.target])
    choice = GateChoice(info.rule(args.target), columns=columns)
    print(f"{args.model}, split {args.split}, target {args.target}: {describe(choice.rule)}")
    print_table(judge(recordings, choice))
    if ears:
        print("without the second ear:")
        ask(net, recordings, together=1, listen=False)
        print_table(judge(recordings, choice))
        ask(net, recordings, together=1)
    errors = key_error_db(recordings)
    print("median error of the key level, dB: "
          + ", ".join(f"{group} {error:.2f}" for group, error in errors.items()))  # fmt: skip
    changed = level_changes(net, clips[: 5 * 8], choice.rule, ears)
    print(f"presence decisions that change from -10 to -50 dBFS: {100 * changed:.3f} % of hops")


def smoke(args):
    """Manifest to export on synthetic sound, in about a minute."""
    from training.voice.network import VoiceSettings
    from training.voice.smoke import write_corpus
    from training.voice.train import TrainSettings

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_corpus(folder / "data", args.seed)
        args.data, args.run = str(folder / "data"), str(folder / "run")
        args.pool, args.output = 24, str(folder / "voice.onnx")
        factory = MixerFactory(str(folder / "cache"), 200, args.seed, 0, 1, 3)
        settings = TrainSettings(minutes=0.08, batch_size=4, evaluate_minutes=1.0, seed=args.seed)
        network = VoiceSettings(gru_sizes=(16,), embedding_size=128)
        trainer = train(args, factory, settings, network, opinions=False)
        from training.voice.calibrate import calibrate_smoke

        report = calibrate_smoke(trainer)
        (folder / "run" / "calibration.json").write_text(json.dumps(report), encoding="utf-8")
        export(args)
    print(f"smoke: {trainer.step} steps, {trainer.pool.made} items mixed; every stage ran")


def run(args):
    """Do what the options say; returns the exit code."""
    _check(args)
    if args.smoke:
        smoke(args)
        return 0
    if args.action == "world":
        from training.voice.world import write_world

        write_world(args)
        return 0
    factory = MixerFactory(args.cache or str(Path(args.run) / "cache"), seed=args.seed)
    if args.everything:
        factory = replace(factory, held_out="with")
    if args.max_snr_db is not None:
        factory = replace(factory, snr_db=(-5.0, args.max_snr_db))
    if args.action in ("train", "build"):
        from training.voice.train import TrainSettings

        settings = TrainSettings(
            minutes=args.minutes, batch_size=args.batch_size, learning_rate=args.learning_rate,
            seed=args.seed, threads=args.threads,
        )  # fmt: skip
        trainer = train(args, factory, settings)
        print(f"trained {trainer.step} steps", file=sys.stderr)
    if args.action == "average":
        from training.voice.checkpoints import average_checkpoints

        if not args.of or not all(Path(path).is_file() for path in args.of):
            raise ConfigError(f"of={args.of} must name checkpoints (--of A.pt B.pt)")
        average_checkpoints(args.of, Path(args.run) / "checkpoint.pt")
    if args.action in ("calibrate", "build"):
        calibrate(args, factory)
    if args.action in ("export", "build"):
        export(args)
    if args.action == "evaluate":
        evaluate(args)
    return 0
