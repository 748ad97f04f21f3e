"""The work of each subcommand of `gate-bench`: measure, then say it as Markdown and charts.

Each function takes the options, the configuration and a ``say`` callable for progress, and
returns a `Part`.
"""

from dataclasses import asdict, dataclass, field

import numpy as np

from benchmarks import channels as channel_runs
from benchmarks import charts, instructions, tables
from benchmarks import latency as latency_runs
from benchmarks import throughput as file_runs
from benchmarks.cost import measure_costs
from benchmarks.machine import describe
from benchmarks.peers import PEERS, load_peers
from benchmarks.peers.base import Hearing
from benchmarks.peers.ours import our_systems
from benchmarks.quality_command import choose_peers, markdown, run_quality
from gate.errors import ConfigError


@dataclass
class Part:
    """One section of results.

    Attributes
    ----------
    name : str
        Section of `RESULTS.md`.
    title : str
    body : str
        Markdown.
    data : dict
        For JSON; ``meta`` among it.
    make_charts : callable
        Returns a list of HTML images; called only for the HTML report.
    failed : bool
        A check did not hold.
    """

    name: str
    title: str
    body: str
    data: dict
    make_charts: object = field(default=list)
    failed: bool = False

    def section(self):
        """The section's text for `RESULTS.md`."""
        return tables.section(self.name, self.title, self.body, self.data["meta"])


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


def cost(args, config, command, say):
    """Cost, delay and size against peers."""
    names = list(PEERS) if args.peers == "all" else choose_peers(args.peers)
    ours = our_systems(config.gate, config.engine.model, config.engine.profile)[:1]
    systems, missing = load_peers(names)
    systems = [s for s in [*ours, *systems] if s.name != "always open"]
    costs = []
    for system in systems:
        say(f"cost: {system.name}")
        costs += measure_costs([system], 10.0 if args.quick else 30.0)
    body = tables.table(
        ["gate", "timed", "µs a second of sound", "× real time", "a decision every, ms",
         "model or library, kB"],
        [
            [c.name, c.what, f"{c.us_per_second:,.0f}", f"{c.speed:,.0f}",
             tables.number(c.decision_ms, 0),
             f"{c.size_bytes / 1000:,.0f}" if c.size_bytes else "–"]
            for c in costs
        ],
    )  # fmt: skip
    body += "\n\nProcessor time, one thread, best of three; resampling for a peer is not counted.\n"
    body += "".join(f"\nNot run: {name} ({why})." for name, why in missing.items())
    data = {"meta": describe(command), "costs": [asdict(c) for c in costs], "missing": missing}
    return Part("cost", "Cost beside others", body, data)


def latency(args, config, command, say):
    """Block times, stages, deadlines, and how late the gate opens."""
    seconds = 2.0 if args.quick else args.seconds
    runs = []
    for rate in latency_runs.RATES:
        say(f"latency: {rate} Hz back to back")
        runs.append(latency_runs.run_blocks(config, rate, 100, seconds))
    paced_rates = (48000,) if args.quick else (48000, 192000)
    for rate in paced_rates:
        conditions = [(True, 0), (False, 0), (True, args.load)]
        for gc_on, load in conditions:
            say(f"latency: {rate} Hz at the real pace, gc {gc_on}, load {load}")
            runs.append(latency_runs.run_blocks(config, rate, 100, seconds, True, gc_on, load))
    sizes = latency_runs.BLOCK_SIZES[::4] if args.quick else latency_runs.BLOCK_SIZES
    by_size = []
    for size in sizes:
        say(f"latency: blocks of {size}")
        by_size.append(latency_runs.run_blocks(config, 48000, size, seconds / 2))
    say("latency: stages")
    stages = {
        rate: latency_runs.stage_times(config, rate, seconds / 2) for rate in latency_runs.RATES
    }
    body = "\n\n".join(
        [
            "### Blocks of 100 samples",
            _latency_table(runs),
            "A block misses its deadline when it is not done before the next is due; at the real "
            "pace that counts waking up late. *Busy* means that other processes compute all the "
            "time.",
            "### Block sizes at 48 kHz, back to back",
            _latency_table(by_size),
            "### By stage, median µs a hop of 10 ms",
            tables.table(
                ["rate, Hz", *latency_runs.STAGES, "other", "total", "% of a core"],
                [
                    [rate, *(tables.number(v) for v in row.values()),
                     tables.number(row["total"] / 100.0, 2)]
                    for rate, row in stages.items()
                ],
            ),
            "### Delay",
            _delay_table(config, say),
        ]
    )  # fmt: skip
    data = {
        "meta": describe(command),
        "runs": [_run_data(run) for run in [*runs, *by_size]],
        "stages_us_per_hop": stages,
    }

    def make_charts():
        result = []
        for run in (runs[-1], runs[3]):
            pace = "at the real pace, busy" if run.loaded else "back to back"
            title = f"{run.sample_rate} Hz, blocks of {run.block_size}, {pace}"
            result += [
                charts.as_html(charts.histogram_chart(run.block_us, run.deadline_us, title)),
                charts.as_html(
                    charts.timeline_chart(
                        run.block_us, run.deadline_us, run.block_size / run.sample_rate, title
                    )
                ),
            ]
        return result

    return Part("latency", "Latency", body, data, make_charts)


def _run_data(run):
    p50, p99, p999, worst = run.percentiles()
    return {
        "sample_rate": run.sample_rate, "block_size": run.block_size, "paced": run.paced,
        "gc": run.gc_on, "load": run.loaded, "blocks": len(run.block_us), "p50_us": p50,
        "p99_us": p99, "p999_us": p999, "max_us": worst, "deadline_us": run.deadline_us,
        "misses": run.misses, "share": run.share,
    }  # fmt: skip


def _latency_table(runs):
    rows = []
    for run in runs:
        p50, p99, p999, worst = run.percentiles()
        how = "real pace" if run.paced else "back to back"
        how += "" if run.gc_on else ", gc off"
        how += ", busy" if run.loaded else ""
        rows.append(
            [f"{run.sample_rate} Hz, {how}", run.block_size, f"{len(run.block_us):,}",
             f"{run.deadline_us:,.0f}", tables.number(p50), tables.number(p99),
             tables.number(p999), tables.number(worst, 0), run.misses,
             tables.number(100 * run.share, 2)]
        )  # fmt: skip
    header = ["run", "block", "blocks", "deadline µs", "p50 µs", "p99", "p99.9", "max", "misses",
              "% of real time"]  # fmt: skip
    return tables.table(header, rows)


def _delay_table(config, say):
    rows = []
    for rate in latency_runs.RATES:
        say(f"latency: delay at {rate} Hz")
        measured, declared = latency_runs.algorithmic_latency(config, rate)
        summary = latency_runs.onset_latency(config, rate).summary()
        rows.append(
            [f"{rate} Hz", measured, declared, tables.number(summary["onset_p50_ms"], 1),
             tables.number(summary["onset_p90_ms"], 1), tables.number(100 * summary["fec"], 2)]
        )  # fmt: skip
    header = ["rate", "impulse delay, samples", "declared", "onset to open p50, ms", "p90",
              "FEC %"]  # fmt: skip
    return tables.table(header, rows) + (
        "\n\nOnsets are those of the words in the sample talk (`models/sample/talk.flac`)."
    )


def throughput(args, config, command, say):
    """Whole files through `gate-batch`."""
    options = ["--model", config.engine.model] if config.engine.model else []
    lengths = file_runs.QUICK_LENGTHS_S if args.quick else file_runs.LENGTHS_S
    lengths = [s for s in lengths if s <= args.max_length]

    def run(label, *values, **kinds):
        say(f"throughput: {label}")
        return file_runs.run_files(*values, options=options, folder=args.scratch, **kinds)

    by_length = [run(f"{s} s", s) for s in lengths]
    base = 30 if args.quick else 120
    by_rate = [run(f"{r} Hz", base, r) for r in (16000, 44100, 96000, 192000)]
    by_channels = [run(f"{c} channels", base, 48000, c) for c in (2, 8)]
    by_jobs = [run(f"{j} jobs", base, files=4, jobs=j) for j in (1, 2)]
    rows = [
        [f"{r.seconds:g} s × {r.files}", r.sample_rate, r.channels, r.jobs,
         tables.number(r.wall_s, 2), tables.number(r.cpu_s, 2), tables.number(r.speed, 0),
         tables.number(r.peak_mb, 0)]
        for r in [*by_length, *by_rate, *by_channels, *by_jobs]
    ]  # fmt: skip
    body = tables.table(
        ["files", "rate, Hz", "channels", "jobs", "wall s", "processor s", "× real time",
         "peak MB"], rows,
    )  # fmt: skip
    exponent = file_runs.growth_exponent(by_length)
    body += (
        "\n\n`gate-batch` from start to exit, 16-bit WAV in and out. Cost grows with length to "
        f"the power {tables.number(exponent, 2)} (processor time without start-up; 1 is linear), "
        f"peak memory "
        f"from {by_length[0].peak_mb:.0f} to {by_length[-1].peak_mb:.0f} MB."
    )
    data = {
        "meta": describe(command),
        "runs": [asdict(r) for r in [*by_length, *by_rate, *by_channels, *by_jobs]],
        "exponent": exponent,
    }

    def make_charts():
        x = [r.seconds for r in by_length]
        lines = {"wall s": [r.wall_s for r in by_length], "MB": [r.peak_mb for r in by_length]}
        chart = charts.growth_chart(x, lines, "length, s", "wall s, peak MB", "Growth with length")
        return [charts.as_html(chart)]

    return Part("throughput", "Throughput of whole files", body, data, make_charts)


def channels(args, config, command, say):
    """Many microphones on one machine."""
    counts = [c for c in channel_runs.COUNTS if not args.quick or c in (1, 4, 16)]
    seconds = 2.0 if args.quick else 10.0
    runs = []
    for count in counts:
        say(f"channels: {count}")
        with_processes = count <= (4 if args.quick else 32)
        runs.append(channel_runs.run_channels(config, count, seconds, with_processes))
    rows = [
        [r.channels, tables.number(100 * r.separate, 1), tables.number(100 * r.processes, 1),
         tables.number(100 * r.bank, 1), tables.number(r.separate / r.bank, 2),
         tables.number(r.detector_us, 1), tables.number(r.batched_us, 1), f"{r.difference:.1g}"]
        for r in runs
    ]  # fmt: skip
    body = tables.table(
        ["microphones", "a gate each, % of a core", "a process each, %", "one bank, %",
         "gain", "detector µs a hop, single", "batched", "largest difference"], rows,
    )  # fmt: skip
    body += (
        "\n\n48 kHz, blocks of 10 ms. A bank (`realtime.bank.GateBank`) decides for all its "
        "microphones with one detector call; its outputs differ from separate gates' by float32 "
        "rounding where at all."
    )
    data = {"meta": describe(command), "runs": [asdict(r) for r in runs]}

    def make_charts():
        lines = {
            "a gate each": [r.separate for r in runs],
            "one bank": [r.bank for r in runs],
        }
        x = [r.channels for r in runs]
        return [charts.as_html(
            charts.growth_chart(x, lines, "microphones", "cores", "Growth with microphones")
        )]  # fmt: skip

    return Part("channels", "Many microphones", body, data, make_charts)


def count_instructions(args, config, command, say):
    """Instruction counts, against the committed baseline."""
    available = instructions.tools()
    tool = args.tool or (available[0] if available else None)
    if tool is None:
        raise ConfigError("tool=none: install valgrind, or perf with hardware counters")
    if tool not in available:
        raise ConfigError(f"tool={tool} does not work here (available: {', '.join(available)})")
    model = config.engine.model or "none"
    now = instructions.measure_all(tool, model, lambda name: say(f"instructions: {name}"))
    failed, note = [], ""
    if args.update_baseline:
        import json

        text = json.dumps(now, indent=1) + "\n"
        instructions.baseline_path().write_text(text, encoding="utf-8")
        baseline = now
    else:
        baseline = instructions.read_baseline(args.baseline)
        failed = instructions.worse(now, baseline)
        if now["machine"] != baseline["machine"]:
            note = (
                f"\n\nThe baseline is from another processor ({baseline['machine']}): libraries "
                "may choose other kernels."
            )
    rows = []
    for name, value in now["counts"].items():
        before = baseline["counts"].get(name)
        change = f"{100 * (value / before - 1):+.1f}" if before else "–"
        verdict = "more" if name in failed else "ok"
        rows.append([name, f"{value / 1e6:,.1f}",
                     f"{before / 1e6:,.1f}" if before else "–", change, verdict])  # fmt: skip
    body = tables.table(
        ["case", "million instructions a second of sound", "baseline", "change %", ""], rows
    )
    body += (
        f"\n\n{now['tool']} on {now['seconds']} s of seeded noise, start-up taken off; more than "
        f"{100 * instructions.TOLERANCE:g} % over the baseline fails." + note
    )
    data = {"meta": describe(command), "now": now, "baseline": baseline}
    return Part("instructions", "Instructions", body, data, failed=bool(failed))


def finite(value):
    """JSON without nan: numbers that are not finite become null."""
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value
