"""`gate-bench`: latency, throughput and gating quality, against peers in one run."""

import importlib
import importlib.util
import json
import shlex
import sys
from pathlib import Path

from gate import checks
from gate.errors import ConfigError, GateError
from realtime.options import EXIT_FAILURE, Parser, add_gate_options, config_from_args, run
from realtime.outputs import OutputRules, write_text
from training.corpus.manifest import has_manifest

PROG = "gate-bench"
_COMMANDS = {
    "quality": ("benchmarks.quality.table", "quality",
                "the gate and its peers on labelled recordings or mixtures"),
    "cost": ("benchmarks.speed.cost_table", "cost",
             "time, delay and size of the gate and its peers on the same sound"),
    "latency": ("benchmarks.speed.latency_table", "latency",
                "block times and deadlines, stage by stage, and onset-to-open delay"),
    "throughput": ("benchmarks.speed.throughput_table", "throughput",
                   "whole files through gate-batch: time and memory against length"),
    "channels": ("benchmarks.speed.throughput_table", "channels",
                 "1 to 32 microphones: a gate each, a process each, one detector call for all"),
    "cluster": ("benchmarks.speed.throughput_table", "cluster",
                "the same files on a Dask cluster on loopback, with one and with two workers"),
    "instructions": ("benchmarks.speed.instructions_table", "count_instructions",
                     "instructions executed, against the committed baseline"),
    "learn": ("benchmarks.learn.table", "learn", "gates taught by example, on other recordings"),
    "ballistics": ("benchmarks.quality.ballistics", "ballistics",
                   "learned attack, hold, release and key against the best fixed ones"),
    "plugin": ("benchmarks.speed.plugin", "plugin",
               "what a block costs in the plugin, the engine and others"),
    "cold-start": ("benchmarks.speed.cold_start", "cold_start",
                   "from a cold process to the first decisions"),
    "fuzz": ("benchmarks.files.fuzz", "fuzz",
             "damaged sounds, configurations, profiles, labels and OSC packets"),
    "kills": ("benchmarks.files.kills", "kills",
              "gate-batch killed at random moments and resumed: is every file whole?"),
    "jitter": ("benchmarks.live.jitter", "jitter",
               "gate-live's callbacks on a JACK server of its own"),
    "page": ("benchmarks.live.page", "page",
             "what the page costs: in a browser, with ten that are idle, with ten that stall"),
    "page-memory": ("benchmarks.live.page_memory", "page_memory",
                    "an hour of the page in a browser: does anything grow?"),
    "soak": ("benchmarks.live.soak", "soak",
             "half an hour of gate-live, every sample compared with the engine"),
}  # fmt: skip
"""Command -> (module, function, help). Each returns a `benchmarks.part.Part`."""

_OTHERS = {
    "all": "quality to learn, one after the other (--quick: in five minutes)",
    "compare": "two JSON files of earlier runs: do they agree within their intervals?",
    "report": "one HTML file from JSON files of earlier runs",
}
_ALL = ("quality", "cost", "latency", "throughput", "channels", "cluster", "instructions", "learn")


def build_parser():
    """The command line of `gate-bench`."""
    parser = Parser(prog=PROG, description=__doc__.split(":", 1)[1].strip().capitalize())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    helps = {name: text for name, (_, _, text) in _COMMANDS.items()} | _OTHERS
    for name, text in helps.items():
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name == "report":
            sub.add_argument("inputs", nargs="+", metavar="JSON", help="files made with --json")
            sub.add_argument("-o", "--output", required=True, metavar="HTML")
            continue
        if name == "compare":
            sub.add_argument("inputs", nargs=2, metavar="JSON", help="files made with --json")
            continue
        _add_common(sub)
        if name in ("quality", "latency", "learn", "ballistics", "all"):
            _add_corpus(sub)
        if name in ("quality", "ballistics", "all"):
            sub.add_argument("--mixtures", type=int, default=40, metavar="N",
                             help="mixtures a ratio, 1 to 1000 (default 40)")  # fmt: skip
        if name in ("quality", "all"):
            _add_quality(sub)
        if name == "ballistics":
            sub.add_argument("--draws", type=int, default=2, metavar="N",
                             help="users' settings a mixture, 1 to 100 (default 2)")  # fmt: skip
        if name == "plugin":
            sub.add_argument("--build", default="build/plugin", metavar="DIR",
                             help="where make plugin built (default build/plugin)")  # fmt: skip
        if name == "fuzz":
            sub.add_argument("--cases", type=int, default=100_000, metavar="N",
                             help="1 to 100000000 (default 100000)")  # fmt: skip
            sub.add_argument("--seed", type=int, default=0, help="of the damage")
        if name == "kills":
            sub.add_argument("--runs", type=int, default=100, metavar="N",
                             help="1 to 10000 (default 100)")  # fmt: skip
            sub.add_argument("--seed", type=int, default=0, help="of the moments")
        if name in ("jitter", "page", "page-memory", "soak"):
            _add_server(sub, name)
        if name in ("learn", "all"):
            sub.add_argument(
                "--only", metavar="TEXT", help="taught tasks whose name or group has this"
            )
            sub.add_argument("--parts", action="store_true",
                             help="teach without the world and without exclusion, too")  # fmt: skip
        if name in ("quality", "cost", "all"):
            sub.add_argument(
                "--peers", default="all", metavar="LIST",
                help="all, fast (without the two slowest), none, or names with commas "
                "(default: all that are installed)",
            )  # fmt: skip
        if name in ("latency", "all"):
            sub.add_argument("--seconds", type=float, default=10.0, metavar="S",
                             help="sound in each run, 1 to 600 (default 10)")  # fmt: skip
            sub.add_argument("--load", type=int, default=2, metavar="N",
                             help="busy processes in loaded runs, 0 to 64 (default 2)")  # fmt: skip
        if name in ("throughput", "all"):
            sub.add_argument("--max-length", type=float, default=7200.0, metavar="S",
                             help="longest file in seconds (default 7200)")  # fmt: skip
        if name in ("throughput", "cluster", "all"):
            sub.add_argument("--scratch", metavar="DIR", help="where to put the files")
        if name in ("instructions", "all"):
            sub.add_argument("--tool", choices=("perf", "valgrind"), help="default: what works")
            sub.add_argument("--baseline", metavar="FILE", help="compare with another baseline")
            sub.add_argument("--update-baseline", action="store_true",
                             help="replace the committed baseline")  # fmt: skip
        add_gate_options(sub)
    return parser


def _add_common(sub):
    sub.add_argument("--quick", action="store_true", help="small runs, wide intervals")
    sub.add_argument("--json", metavar="FILE", help="write everything, with machine and versions")
    sub.add_argument("--html", metavar="FILE", help="write one page with charts (extra [plot])")
    sub.add_argument(
        "--write", nargs="?", const="benchmarks/RESULTS.md", metavar="FILE",
        help="put the tables into a results file (default benchmarks/RESULTS.md)",
    )  # fmt: skip
    sub.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    sub.add_argument("-q", "--quiet", action="store_true", help="no progress on standard error")


def _add_corpus(sub):
    group = sub.add_argument_group("corpus")
    group.add_argument("--data", metavar="DIR",
                       help="voice corpus (default: data: voice: of the settings)")  # fmt: skip
    group.add_argument("--split", choices=("dev", "test"), default="dev",
                       help="of the corpus; choose on dev, judge once on test")  # fmt: skip
    group.add_argument("--seed", type=int, default=0, help="of mixtures, tasks and bootstrap")


def _add_server(sub, name):
    group = sub.add_argument_group("sound server")
    group.add_argument("--sample-rate", type=int, default=48000, metavar="HZ", help="(48000)")
    group.add_argument("--period", type=int, default=100, metavar="N",
                       help="samples a block, 16 to 8192 (default 100)")  # fmt: skip
    group.add_argument("--realtime", action="store_true",
                       help="with real-time scheduling, as a studio machine has it")  # fmt: skip
    if name == "jitter":
        group.add_argument("--seconds", type=float, default=60.0, metavar="S",
                           help="at the real pace, 1 to 600 (default 60)")  # fmt: skip
    if name == "page":
        group.add_argument("--rounds", type=int, default=6, metavar="N",
                           help="of four turns of 6 s each, 2 to 100 (default 6)")  # fmt: skip
    if name == "page-memory":
        group.add_argument("--minutes", type=float, default=60.0, metavar="MIN",
                           help="at the real pace, 1 to 600 (default 60)")  # fmt: skip
    if name == "soak":
        group.add_argument("--minutes", type=float, default=30.0, metavar="MIN",
                           help="of sound, faster than real time, 0.1 to 600 (30)")  # fmt: skip


def _add_quality(sub):
    group = sub.add_argument_group("quality")
    group.add_argument("--labelled", metavar="DIR",
                       help="your own recordings instead: labels.csv (file,start_s,end_s) or "
                       "Audacity label tracks beside them")  # fmt: skip
    group.add_argument("--labels", metavar="FILE", help="the label file, if elsewhere")
    group.add_argument("--cache", metavar="DIR", help="keep the peers' decisions here")
    group.add_argument("--jobs", type=int, default=1, metavar="N",
                       help="processes, 1 to 64 (default 1)")  # fmt: skip
    group.add_argument("--variant", action="append", metavar="NAME:SETTING=VALUE,...",
                       help="also run this gate with other settings, say "
                       "'fixed:attack_ms=2,hold_ms=150,release_ms=40'")  # fmt: skip
    group.add_argument("--no-ours", action="store_true", help="peers only")


def main(argv=None):
    """Entry point; returns the exit code: 2 usage or bad setting, 1 failure."""
    argv = list(sys.argv[1:] if argv is None else argv)
    args = build_parser().parse_args(argv)
    return run(PROG, lambda: _main(args, argv))


def _main(args, argv):
    if args.command == "report":
        return _report(args)
    if args.command == "compare":
        return _compare(args)
    _check(args)
    from benchmarks.tables import write_section

    config = config_from_args(args)
    if config.engine.auto_threshold:
        raise ConfigError("threshold_db=auto is for gate-live and gate-batch")
    args.data = getattr(args, "data", None) or config.data.voice
    command = _repeatable(argv)
    progress = _Progress(args.quiet)
    parts, failures = [], []
    for name in _ALL if args.command == "all" else (args.command,):
        if args.command == "all" and (reason := _not_now(name, args)):
            print(f"{PROG}: {name} left out: {reason}", file=sys.stderr)
            continue
        try:
            part = _command(name)(args, config, command, progress)
        except GateError as error:
            if args.command != "all":
                raise
            failures.append(f"{name}: {error}")  # the other parts are worth having
            continue
        progress.clear()
        print(part.section(), flush=True)
        if args.write:
            write_section(args.write, part.name, part.section())
        failures += [f"{part.name}: {line}" for line in part.failures]
        parts.append(part)
    _keep(parts, args)
    for line in failures:
        print(f"{PROG}: {line}", file=sys.stderr)
    return EXIT_FAILURE if failures else 0


def _command(name):
    """The function of a subcommand; only its module is imported."""
    module, function, _ = _COMMANDS[name]
    return getattr(importlib.import_module(module), function)


_WHERE_TO = ("--json", "--html", "--cache", "--scratch")


def _repeatable(argv):
    """The command without what only says where this machine keeps its files."""
    kept, skip = [], False
    for word in argv:
        name, equals, _ = word.partition("=")
        if skip and not word.startswith("-"):
            skip = False
            continue
        skip = name in (*_WHERE_TO, "--write") and not equals
        if name == "--write":
            kept.append(name)
        elif name not in (*_WHERE_TO, "-q", "--quiet"):
            kept.append(word)
    return shlex.join([PROG, *kept])


def _not_now(name, args):
    """Why ``all`` leaves a part out, or an empty string."""
    if name == "quality" and not args.labelled and not has_manifest(args.data):
        return f"no corpus at {args.data}; name one with --data, or recordings with --labelled"
    if name == "learn" and not has_manifest(args.data):
        return f"no corpus at {args.data}; name one with --data"
    if name == "cluster" and importlib.util.find_spec("distributed") is None:
        return "Dask is not installed (extra [cluster])"
    if name == "instructions":
        from benchmarks.speed.instructions import tools

        if args.quick:
            return "it takes minutes; run gate-bench instructions"
        if not tools():
            return "neither perf's counters nor valgrind here"
    return ""


def _check(args):
    limits = {
        "seconds": (1, 600), "load": (0, 64), "mixtures": (1, 1000), "max_length": (10, 86400),
        "seed": (0, 2**31 - 1), "jobs": (1, 64), "draws": (1, 100), "runs": (1, 10000),
        "minutes": (0.1, 600), "period": (16, 8192), "sample_rate": (8000, 192000),
        "cases": (1, 10**8), "rounds": (2, 100),
    }  # fmt: skip
    for name, (low, high) in limits.items():
        value = getattr(args, name, None)
        if value is not None:
            checks.number(name, value, low, high)
    if getattr(args, "labels", None) and not args.labelled:
        raise ConfigError("labels needs labelled, the folder of the recordings")
    if args.html and not _can_draw():
        raise ConfigError('html needs the extra [plot]: pip install "exemplar-gate[plot]"')
    rules = OutputRules([args.config] if getattr(args, "config", None) else [], args.overwrite)
    for name in ("json", "html", "write"):
        path = getattr(args, name)
        if path and not Path(path).resolve().parent.is_dir():
            raise ConfigError(f"{name}={path} must be in a folder that exists")
        if path:
            rules.claim(path, name)
        if path and name != "write":  # which keeps what else the file holds
            rules.check_there(path)


def _can_draw():
    return importlib.util.find_spec("matplotlib") is not None


def _keep(parts, args):
    from benchmarks.part import finite
    from benchmarks.report import write_report

    if not (args.json or args.html):
        return
    made = [part.make_charts() if _can_draw() else [] for part in parts]
    if args.json:
        report = [
            {
                "section": p.name,
                "markdown": p.section(),
                "charts": images,
                **finite(p.data),
            }
            for p, images in zip(parts, made, strict=True)
        ]
        text = json.dumps(report, indent=1) + "\n"
        write_text(args.json, text)
    if args.html:
        pages = [(p.section(), images) for p, images in zip(parts, made, strict=True)]
        write_report(args.html, "gate-bench", pages)


def _report(args):
    """One HTML page from JSON files."""
    from benchmarks.report import write_report

    parts = [part for path in args.inputs for part in _read_run(path)]
    pages = [(part["markdown"], part["charts"]) for part in parts]
    write_report(args.output, "gate-bench", pages)
    return 0


def _compare(args):
    """Two runs, figure by figure."""
    from benchmarks.compare import compare_runs, report

    rows, left_out = compare_runs(*map(_read_run, args.inputs))
    if not rows:
        raise ConfigError(f"{' and '.join(args.inputs)} have no figure with an interval in common")
    lines, agree = report(rows, left_out, args.inputs)
    print("\n".join(lines))
    return 0 if agree else EXIT_FAILURE


def _read_run(path):
    """The parts of a run, as `_keep` wrote them."""
    try:
        parts = json.loads(Path(path).read_text(encoding="utf-8"))
        for part in parts:
            part["section"], part["markdown"], part["charts"]
        return parts
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{path} must be a file made by {PROG} --json") from None


class _Progress:
    """One line on standard error that replaces itself."""

    def __init__(self, quiet):
        self._quiet = quiet or not sys.stderr.isatty()

    def __call__(self, text):
        if not self._quiet:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    def clear(self):
        """Remove the line."""
        self("")


if __name__ == "__main__":
    sys.exit(main())
