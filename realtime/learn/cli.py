"""`gate-learn`: teach a gate by example."""

import realtime.one_thread  # noqa: F401  # isort: skip  # before numpy

import sys
import time
from pathlib import Path

from gate.errors import ConfigError
from realtime.options import Parser, run
from realtime.outputs import OutputRules

PROG = "gate-learn"
COMMANDS = ("teach", "update", "merge", "inspect", "export-settings", "install")


def build_parser():
    """The command line of `gate-learn`."""
    parser = Parser(
        prog=PROG,
        description="Teach a gate by example; the profile goes to gate-live and gate-batch.",
        epilog="example: gate-learn --open voice.wav --shut drums.wav -o mine.gate.yaml",
    )
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=Parser
    )
    teach = commands.add_parser(
        "teach", help="make a profile from recordings; may be left out",
        description="Make a profile from recordings, 10 seconds to 10 minutes each.",
    )  # fmt: skip
    _add_examples(teach)
    teach.add_argument("-o", "--output", required=True, metavar="NAME.gate.yaml")
    teach.add_argument("--name", help="what the gate opens on; default: the output's name")
    _add_teaching(teach)
    update = commands.add_parser(
        "update", help="teach a profile more, or for another detector",
        description="Teach a profile more. Without new recordings: fit it to --model again.",
    )  # fmt: skip
    update.add_argument("profile", metavar="NAME.gate.yaml")
    _add_examples(update)
    update.add_argument("-o", "--output", metavar="FILE", help="default: the profile itself")
    _add_teaching(update)
    merge = commands.add_parser(
        "merge", help="one profile that opens on what any of several opens on",
        description="Make one profile of several: it opens on what any of them opens on. What is "
        "an example to open for one is dropped from the others' examples to stay shut.",
    )  # fmt: skip
    merge.add_argument("profiles", nargs="+", metavar="NAME.gate.yaml")
    merge.add_argument("-o", "--output", required=True, metavar="NAME.gate.yaml")
    merge.add_argument("--name", help="what the gate opens on; default: the names joined")
    _add_teaching(merge)
    inspect = commands.add_parser("inspect", help="say what a profile is and does")
    inspect.add_argument("profile", metavar="NAME.gate.yaml")
    export = commands.add_parser(
        "export-settings", help="attack, hold, release, key, threshold for any classic gate"
    )
    export.add_argument("profile", metavar="NAME.gate.yaml")
    export.add_argument("--json", action="store_true", help="plain numbers instead of a table")
    install = commands.add_parser(
        "install", help="put a profile where the plugin and gate-live find it by name",
        description="Copy a profile into the user's folder of profiles: the plugin lists it from "
        "its next start on, in any host.",
    )  # fmt: skip
    install.add_argument("profile", metavar="NAME.gate.yaml")
    install.add_argument("--name", help="what it is called there; default: as its file")
    install.add_argument("--overwrite", action="store_true",
                         help="replace the profile of that name")  # fmt: skip
    return parser


def _add_examples(parser):
    group = parser.add_argument_group("examples", "every option takes several files")
    group.add_argument("--open", nargs="+", default=[], action="extend", metavar="FILE",
                       help="recordings of what should open the gate")  # fmt: skip
    group.add_argument("--shut", nargs="+", default=[], action="extend", metavar="FILE",
                       help="recordings of what should not")  # fmt: skip
    group.add_argument("--recording", nargs="+", default=[], action="extend", metavar="FILE",
                       help="recordings that hold both; --labels says where")  # fmt: skip
    group.add_argument("--labels", nargs="+", default=[], action="extend", metavar="FILE",
                       help="where each --recording should open: an Audacity label track or CSV "
                       "file,start_s,end_s; one for each, or one CSV for all")  # fmt: skip
    group.add_argument("--target-stem", nargs="+", default=[], action="extend", metavar="FILE",
                       help="the wanted sound alone, of a multitrack recording")  # fmt: skip
    group.add_argument("--mix", nargs="+", default=[], action="extend", metavar="FILE",
                       help="what the gate will listen to; one for each --target-stem")  # fmt: skip


def _add_teaching(parser):
    parser.add_argument("--model", default="voice", metavar="NAME|FILE",
                        help="detector: shipped name or ONNX file")  # fmt: skip
    parser.add_argument("--plot", metavar="FILE", help="picture; default: NAME.gate.png where "
                        "matplotlib is installed")  # fmt: skip
    parser.add_argument("--no-plot", action="store_true", help="draw nothing")
    parser.add_argument("--no-memory", action="store_true",
                        help="don't keep the examples (8-bit spectra) beside it")  # fmt: skip
    parser.add_argument("--no-world", action="store_true",
                        help="learn from these examples alone; else the gate also stays shut on "
                        "everyday sounds that nobody showed it")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true",
                        help="replace the output where it exists")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of shuffling; 0 unless given")


def main(argv=None):
    """Entry point; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv and argv[0] not in (*COMMANDS, "-h", "--help"):
        argv.insert(0, "teach")
    args = build_parser().parse_args(argv)
    work = {
        "teach": _teach, "update": _update, "merge": _merge,
        "inspect": _inspect, "export-settings": _export, "install": _install,
    }[args.command]  # fmt: skip
    return run(PROG, lambda: work(args))


def _output(path):
    path = Path(path)
    if not path.name.endswith(".gate.yaml"):
        raise ConfigError(f"output={path} must end with .gate.yaml")
    return path


def _targets(args, output, in_place=False):
    """The files that are going to be written; none of them is replaced unasked.

    With `in_place` the user asked for a profile to be taught more: it and what belongs to it are.

    Raises
    ------
    ConfigError, AudioFileError
    """
    from realtime.learn.profile import memory_path

    if args.plot and not args.plot.lower().endswith(".png"):
        raise ConfigError(f"plot={args.plot} must end in .png")
    picture = None if args.no_plot else Path(args.plot or output.with_suffix(".png"))
    inputs = _inputs(args)
    if not in_place and (profile := getattr(args, "profile", None)):
        inputs += [profile, memory_path(profile)]
    rules = OutputRules([*inputs, args.model], args.overwrite)
    for path, what in ((output, "profile"), (memory_path(output), "memory"), (picture, "picture")):
        if path is not None:
            rules.claim(path, what)
            if not in_place:
                rules.check_there(path)
    return picture


def _inputs(args):
    """Every file that is read."""
    names = ("open", "shut", "recording", "labels", "target_stem", "mix", "profiles")
    return [path for name in names for path in getattr(args, name, None) or []]


def _read_examples(args, notes, info):
    """All recordings that the options name, in order, as a detector hears them."""
    from realtime.learn.examples import (
        listeners,
        read_labelled,
        read_multitrack,
        read_recording,
    )
    from realtime.learn.recording import OPEN, SHUT

    if len(args.mix) != len(args.target_stem):
        raise ConfigError(
            f"{len(args.target_stem)} --target-stem and {len(args.mix)} --mix must be as many"
        )
    labels = list(args.labels)
    if len(labels) == 1:
        labels *= len(args.recording)
    if len(labels) != len(args.recording) or (args.labels and not args.recording):
        raise ConfigError(
            f"{len(args.recording)} --recording need as many --labels, or one CSV for all"
        )
    both = {Path(p).resolve() for p in args.open} & {Path(p).resolve() for p in args.shut}
    if both:
        raise ConfigError(f"{sorted(both)[0].name}: is given with --open and with --shut")
    ears = listeners(info, notes)
    recordings = [read_recording(path, OPEN, notes, ears) for path in args.open]
    recordings += [read_recording(path, SHUT, notes, ears) for path in args.shut]
    recordings += [
        read_labelled(path, track, notes, ears)
        for path, track in zip(args.recording, labels, strict=True)
    ]
    recordings += [
        read_multitrack(stem, mix, notes, ears)
        for stem, mix in zip(args.target_stem, args.mix, strict=True)
    ]
    return recordings


def _finish(recordings, detector, args, output, name, notes):
    """Teach, save, draw, tell."""
    from realtime.learn.profile import save_profile
    from realtime.learn.report import describe, plot_lesson
    from realtime.learn.teach import teach
    from realtime.learn.world import SHIPPED

    if args.seed < 0:
        raise ConfigError(f"seed={args.seed} must be >= 0")
    started = time.perf_counter()
    world = None if args.no_world else SHIPPED
    lesson = teach(recordings, detector, notes, name, args.seed, world=world)
    elapsed = time.perf_counter() - started
    save_profile(lesson.profile, output, with_memory=not args.no_memory)
    for line in notes.remarks:
        print(f"{PROG}: {line}", file=sys.stderr)
    for line in notes.warnings:
        print(f"{PROG}: warning: {line}", file=sys.stderr)
    print("\n".join(describe(lesson.profile, lesson.confusable, lesson.strangers)))
    print(f"taught in {elapsed:.1f} s: {output}")
    if not args.no_plot:
        _plot(lesson, args.plot, output, plot_lesson)


def _plot(lesson, wanted, output, plot_lesson):
    import importlib.util

    if wanted is None and importlib.util.find_spec("matplotlib") is None:
        return
    path = wanted or output.with_suffix(".png")
    plot_lesson(lesson, path)
    print(f"picture: {path}")


def _detector(model):
    from realtime.engine import open_detector

    return open_detector(model)


def _teach(args):
    from realtime.learn.remarks import TeachingNotes

    output = _output(args.output)
    if not (args.open or args.recording or args.target_stem):
        raise ConfigError("no examples: name files with --open and --shut, --recording and "
                          "--labels, or --target-stem and --mix")  # fmt: skip
    if args.no_world and args.open and not (args.shut or args.recording or args.target_stem):
        raise ConfigError("--shut is missing: without the world a gate learns from both sides")
    _targets(args, output)
    notes = TeachingNotes()
    detector = _detector(args.model)
    recordings = _read_examples(args, notes, detector.info)
    name = args.name or output.name.removesuffix(".gate.yaml")
    _finish(recordings, detector, args, output, name, notes)


def _update(args):
    from realtime.learn.profile import load_profile
    from realtime.learn.remarks import TeachingNotes

    profile = load_profile(args.profile)
    if not profile.memory:
        raise ConfigError(f"{args.profile}: keeps no examples (no {Path(args.profile).stem}.npz "
                          "beside it); teach it again with all recordings")  # fmt: skip
    notes = TeachingNotes()
    output = _output(args.output or args.profile)
    same = output.absolute() == Path(args.profile).absolute()
    _targets(args, output, in_place=same and (args.overwrite or not args.output))
    detector = _detector(args.model)
    recordings = [*profile.memory, *_read_examples(args, notes, detector.info)]
    _finish(recordings, detector, args, output, profile.name, notes)


def _merge(args):
    from realtime.learn.merge import merge_examples
    from realtime.learn.profile import load_profile
    from realtime.learn.remarks import TeachingNotes

    if len(args.profiles) < 2:
        raise ConfigError("merge needs at least two profiles")
    output = _output(args.output)
    _targets(args, output)
    profiles = [load_profile(path) for path in args.profiles]
    for path, profile in zip(args.profiles, profiles, strict=True):
        if not profile.memory:
            raise ConfigError(f"{path}: keeps no examples, so it cannot be merged")
    notes = TeachingNotes()
    name = args.name or " or ".join(dict.fromkeys(p.name for p in profiles))
    _finish(merge_examples(profiles), _detector(args.model), args, output, name, notes)


def _inspect(args):
    from realtime.learn.profile import load_profile
    from realtime.learn.report import describe

    profile = load_profile(args.profile)
    print("\n".join(describe(profile)))
    for example in profile.taught_with:
        print(f"  {example['name']}: {example['open_s']:g} s open, {example['shut_s']:g} s shut")


def _export(args):
    import json

    from realtime.learn.profile import load_profile
    from realtime.learn.report import settings_table

    profile = load_profile(args.profile)
    if args.json:
        print(json.dumps(profile.classic, indent=2))
    else:
        print("\n".join(settings_table(profile)))


def _install(args):
    from realtime.learn.install import install

    target, remark = install(args.profile, args.name, args.overwrite)
    if remark:
        print(f"{PROG}: warning: {remark}", file=sys.stderr)
    print(f"installed: {target}")


if __name__ == "__main__":
    sys.exit(main())
