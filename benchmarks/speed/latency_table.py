"""`gate-bench latency`: the tables and charts of `benchmarks.speed.latency`."""

import itertools
from dataclasses import replace

from benchmarks import charts, tables
from benchmarks.machine import describe
from benchmarks.part import Part
from benchmarks.speed import latency as latency_runs
from realtime.native_core import library_path


def latency(args, config, command, say):
    """Block times, stages, deadlines, and how late the gate opens."""
    seconds = 2.0 if args.quick else args.seconds
    runs, engines = [], _engines(config)
    for engine, rate in itertools.product(engines, latency_runs.RATES):
        say(f"latency: {rate} Hz back to back, {engine.engine.kind}")
        runs.append(latency_runs.run_blocks(engine, rate, 100, seconds))
    paced_rates = (48000,) if args.quick else (48000, 192000)
    for rate, engine in itertools.product(paced_rates, engines):
        conditions = [(True, 0, False), (False, 0, False), (True, args.load, False),
                      (True, 0, True)]  # fmt: skip
        for gc_on, load, fifo in conditions:
            how = f"gc {gc_on}, load {load}, fifo {fifo}, {engine.engine.kind}"
            say(f"latency: {rate} Hz at the real pace, {how}")
            run = latency_runs.run_blocks(engine, rate, 100, seconds, True, gc_on, load, fifo)
            if run.fifo == fifo:
                runs.append(run)
    sizes = latency_runs.BLOCK_SIZES[::4] if args.quick else latency_runs.BLOCK_SIZES
    by_size = []
    for size in sizes:
        say(f"latency: blocks of {size}")
        by_size.append(latency_runs.run_blocks(config, 48000, size, seconds / 2))
    say("latency: stages")
    python = engines[0]
    stages = {
        rate: latency_runs.stage_times(python, rate, seconds / 2) for rate in latency_runs.RATES
    }
    body = "\n\n".join(
        [
            "### Blocks of 100 samples",
            _latency_table(runs),
            "A block misses its deadline when it is not done before the next is due; at the real "
            "pace that counts waking up late, and misses by computing are those that waking sooner "
            "would not have helped. *Over the floor*: a loop that waits likewise and makes three "
            "small numpy calls takes turns with the gate, second by second; the gate's figures "
            "over its. *Busy*: other processes compute all the time. *FIFO*: scheduled in real "
            "time. *Native*: the engine in machine code (`make native`); the others are Python.",
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
            _delay_table(args, config, say),
        ]
    )  # fmt: skip
    data = {
        "meta": describe(command, args.seed),
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
        "misses": run.misses, "misses_by_computing": run.misses_by_computing,
        "over_floor": run.over_floor, "fifo": run.fifo, "share": run.share,
    }  # fmt: skip


def _engines(config):
    """The configuration with each engine that is there, Python first."""
    kinds = ["python"] + ["native"] * library_path().is_file()
    return [replace(config, engine=replace(config.engine, kind=kind)) for kind in kinds]


def _latency_table(runs):
    rows = []
    for run in runs:
        p50, p99, p999, worst = run.percentiles()
        how = "real pace" if run.paced else "back to back"
        how += "" if run.gc_on else ", gc off"
        how += ", busy" if run.loaded else ""
        how += ", FIFO" if run.fifo else ""
        how += ", native" if run.engine == "native" else ""
        over = run.over_floor
        rows.append(
            [f"{run.sample_rate} Hz, {how}", run.block_size, f"{len(run.block_us):,}",
             f"{run.deadline_us:,.0f}", tables.number(p50), tables.number(p99),
             tables.number(p999), tables.number(worst, 0),
             "" if over is None else " / ".join(tables.number(ratio) for ratio in over[:3]),
             f"{run.misses:,} ({run.misses_by_computing:,})",
             tables.number(100 * run.share, 2)]
        )  # fmt: skip
    header = ["run", "block", "blocks", "deadline µs", "p50 µs", "p99", "p99.9", "max",
              "p50 / p99 / p99.9 over the floor", "misses (by computing)",
              "% of real time"]  # fmt: skip
    return tables.table(header, rows)


def _delay_table(args, config, say):
    n_mixtures = 4 if args.quick else 20
    recordings, what = latency_runs.words(args.data, args.split, args.seed, n_mixtures)
    rows = []
    for rate in latency_runs.RATES:
        say(f"latency: delay at {rate} Hz")
        measured, declared = latency_runs.algorithmic_latency(config, rate)
        summary = latency_runs.onset_latency(config, rate, recordings).summary()
        rows.append(
            [f"{rate} Hz", measured, declared, tables.number(summary["onset_p50_ms"], 1),
             tables.number(summary["onset_p90_ms"], 1), tables.number(100 * summary["fec"], 2)]
        )  # fmt: skip
    header = ["rate", "impulse delay, samples", "declared", "onset to open p50, ms", "p90",
              "FEC %"]  # fmt: skip
    return tables.table(header, rows) + (f"\n\nOnsets are those of {what}.")
