"""`gate-bench throughput`, `channels` and `cluster`: how the cost grows, and with what."""

from dataclasses import asdict

from benchmarks import charts, tables
from benchmarks.machine import describe
from benchmarks.part import Part
from benchmarks.speed import channels as channel_runs
from benchmarks.speed import cluster as cluster_runs
from benchmarks.speed import throughput as file_runs
from realtime.native_core import library_path


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
    # Long enough for the start of the processes not to be most of it.
    by_jobs = [run(f"{j} jobs", 5 * base, files=4, jobs=j) for j in (1, 2)]
    ways = [how for how in file_runs.WAYS if how and ("native" not in how or _built())]
    by_way = [run(how, 5 * base, how=how) for how in ways]
    rows = [
        [f"{r.seconds:g} s × {r.files}", r.how, r.sample_rate, r.channels, r.jobs,
         tables.number(r.wall_s, 2), tables.number(r.cpu_s, 2), tables.number(r.speed, 0),
         tables.number(r.peak_mb, 0)]
        for r in [*by_length, *by_rate, *by_channels, *by_jobs, *by_way]
    ]  # fmt: skip
    body = tables.table(
        ["files", "gated", "rate, Hz", "channels", "jobs", "wall s", "processor s", "× real time",
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
        "runs": [asdict(r) for r in [*by_length, *by_rate, *by_channels, *by_jobs, *by_way]],
        "exponent": exponent,
    }

    def make_charts():
        x = [r.seconds for r in by_length]
        lines = {"wall s": [r.wall_s for r in by_length], "MB": [r.peak_mb for r in by_length]}
        chart = charts.growth_chart(x, lines, "length, s", "wall s, peak MB", "Growth with length")
        return [charts.as_html(chart)]

    return Part("throughput", "Throughput of whole files", body, data, make_charts)


def _built():
    return library_path().is_file()


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
         tables.number(100 * r.bank, 1), tables.number(100 * r.native, 1),
         tables.number(r.separate / r.bank, 2),
         tables.number(r.detector_us, 1), tables.number(r.batched_us, 1), f"{r.difference:.1g}"]
        for r in runs
    ]  # fmt: skip
    body = tables.table(
        ["microphones", "a gate each, % of a core", "a process each, %", "one bank, %",
         "native, a gate each, %", "gain of the bank", "detector µs a hop, single",
         "batched", "largest difference"], rows,
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


def cluster(args, config, command, say):
    """Files on a Dask cluster of one worker and of two."""
    n_files, seconds = (8, 60.0) if args.quick else (16, 600.0)
    say(f"cluster: {n_files} files")
    runs = cluster_runs.run_cluster(config, n_files, seconds, args.scratch)
    alone = runs[0]
    rows = [
        [r.workers, f"{r.done} of {r.files}", tables.number(r.wall_s, 2),
         tables.number(r.speed, 0), tables.number(alone.wall_s / r.wall_s, 2)]
        for r in runs
    ]  # fmt: skip
    same = all(r.digest == alone.digest for r in runs)
    body = tables.table(["workers", "files done", "s", "× real time", "speed against one"], rows)
    body += (
        f"\n\nFiles of {seconds:g} s, 48 kHz mono, 16-bit WAV, by `gate-batch --backend dask`; "
        "workers with one thread each, started and warmed up before the clock. Scheduler, client "
        "and workers share the machine. The outputs of all runs are "
        f"{'the same, bit for bit' if same else 'NOT the same'}."
    )
    failures = [f"{r.files - r.done} of {r.files} files not done by {r.workers} workers"
                for r in runs if r.done < r.files]  # fmt: skip
    failures += [] if same else ["outputs differ with the number of workers"]
    data = {"meta": describe(command), "runs": [asdict(r) for r in runs], "same_outputs": same}
    return Part("cluster", "A cluster of one and of two workers", body, data, failures=failures)
