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
    "pulse": ("benchmarks.live.pulse", "pulse",
              "minutes of gate-live on PulseAudio or PipeWire at the default latency: glitches?"),
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


_QUALITY = ("quality", "all")
_MIXED = (*_QUALITY, "ballistics")
_CORPUS = (*_MIXED, "latency", "learn")
_LIVE = ("jitter", "soak", "page", "page-memory")
_MEASURES = (*_COMMANDS, "all")


def _number(default, low, high, text, unit="N"):
    told = f"{text}, {low:.10g} to {high:.10g} (default {default:g})"
    return {"default": default, "range": (low, high), "metavar": unit, "help": told}


def _switch(text):
    return {"action": "store_true", "help": text}


def _text(unit, text, **more):
    return {"metavar": unit, "help": text, **more}


_OPTIONS = (
    ("--quick", _MEASURES, _switch("small runs, wide intervals")),
    ("--data", _CORPUS, _text("DIR", "voice corpus (default: data: voice: of the settings)")),
    ("--split", _CORPUS, {"choices": ("dev", "test"), "default": "dev",
                          "help": "of the corpus; choose on dev, judge once on test"}),
    ("--seed", _CORPUS, _number(0, 0, 2**31 - 1, "of mixtures, tasks and bootstrap")),
    ("--seed", ("fuzz", "kills"), _number(0, 0, 2**31 - 1, "of the damage or the moments")),
    ("--mixtures", _MIXED, _number(40, 1, 1000, "mixtures a ratio")),
    ("--labelled", _QUALITY,
     _text("DIR", "your own recordings instead: labels.csv (file,start_s,end_s) or Audacity "
           "label tracks beside them")),
    ("--labels", _QUALITY, _text("FILE", "the label file, if elsewhere")),
    ("--cache", _QUALITY, _text("DIR", "keep the peers' decisions here")),
    ("--jobs", _QUALITY, _number(1, 1, 64, "processes")),
    ("--variant", _QUALITY,
     _text("NAME:SETTING=VALUE,...", "also run this gate with other settings, say "
           "'fixed:attack_ms=2,hold_ms=150,release_ms=40'", action="append")),
    ("--no-ours", _QUALITY, _switch("peers only")),
    ("--peers", (*_QUALITY, "cost"),
     _text("LIST", "all, fast (without the two slowest), none, or names with commas "
           "(default: all that are installed)", default="all")),
    ("--draws", ("ballistics",), _number(2, 1, 100, "users' settings a mixture")),
    ("--build", ("plugin",), _text("DIR", "where make plugin built (default build/plugin)",
                                   default="build/plugin")),
    ("--cases", ("fuzz",), _number(100_000, 1, 10**8, "damaged inputs")),
    ("--runs", ("kills",), _number(100, 1, 10_000, "of gate-batch, killed and resumed")),
    ("--sample-rate", _LIVE, _number(48000, 8000, 192000, "of the sound server", "HZ")),
    ("--period", _LIVE, _number(100, 16, 8192, "samples a block")),
    ("--realtime", _LIVE, _switch("with real-time scheduling, as a studio machine has it")),
    ("--seconds", ("jitter",), _number(60.0, 1, 600, "at the real pace", "S")),
    ("--rounds", ("page",), _number(6, 2, 100, "of four turns of 6 s each")),
    ("--minutes", ("pulse",), _number(10.0, 0.1, 600, "at the real pace", "MIN")),
    ("--server", ("pulse",), {"choices": ("pulseaudio", "pipewire"), "default": "pulseaudio",
                              "help": "of its own, with null sinks (default pulseaudio)"}),
    ("--minutes", ("page-memory",), _number(60.0, 0.1, 600, "at the real pace", "MIN")),
    ("--minutes", ("soak",), _number(30.0, 0.1, 600, "of sound, faster than real time", "MIN")),
    ("--only", ("learn", "all"), _text("TEXT", "taught tasks whose name or group has this")),
    ("--parts", ("learn", "all"), _switch("teach without the world and without exclusion, too")),
    ("--seconds", ("latency", "all"), _number(10.0, 1, 600, "sound in each run", "S")),
    ("--load", ("latency", "all"), _number(2, 0, 64, "busy processes in loaded runs")),
    ("--max-length", ("throughput", "all"), _number(7200.0, 10, 86400, "longest file, s", "S")),
    ("--scratch", ("throughput", "cluster", "all"), _text("DIR", "where to put the files")),
    ("--tool", ("instructions", "all"),
     {"choices": ("perf", "valgrind"), "help": "default: what works"}),
    ("--baseline", ("instructions", "all"), _text("FILE", "compare with another baseline")),
    ("--update-baseline", ("instructions", "all"), _switch("replace the committed baseline")),
    ("--json", _MEASURES, _text("FILE", "write everything, with machine and versions")),
    ("--html", _MEASURES, _text("FILE", "write one page with charts (extra [plot])")),
    ("--write", _MEASURES,
     _text("FILE", "put the tables into a results file (default benchmarks/RESULTS.md)",
           nargs="?", const="benchmarks/RESULTS.md")),
    ("--overwrite", _MEASURES, _switch("replace outputs that exist")),
    ("--quiet", _MEASURES, _switch("no progress on standard error")),
)  # fmt: skip
"""Option, the commands that take it, what argparse is told; a ``range`` is for `_check`."""


def build_parser():
    """The command line of `gate-bench`."""
    parser = Parser(prog=PROG, description=__doc__.split(":", 1)[1].strip().capitalize())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    helps = {name: text for name, (_, _, text) in _COMMANDS.items()} | _OTHERS
    for name, text in helps.items():
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name not in _MEASURES:
            count = 2 if name == "compare" else "+"
            sub.add_argument("inputs", nargs=count, metavar="JSON", help="files made with --json")
        if name == "report":
            sub.add_argument("-o", "--output", required=True, metavar="HTML")
        for option, takers, told in _OPTIONS:
            if name in takers:
                told = dict(told)
                if told.pop("range", None):
                    told["type"] = type(told["default"])
                short = ("-q",) if option == "--quiet" else ()
                sub.add_argument(*short, option, **told)
        if name in _MEASURES:
            add_gate_options(sub)
    return parser


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
    for option, takers, told in _OPTIONS:
        if args.command in takers and "range" in told:
            name = option.removeprefix("--").replace("-", "_")
            checks.number(name, getattr(args, name), *told["range"])
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
            {"section": p.name, "markdown": p.section(), "charts": images, **finite(p.data)}
            for p, images in zip(parts, made, strict=True)
        ]
        write_text(args.json, json.dumps(report, indent=1) + "\n")
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
