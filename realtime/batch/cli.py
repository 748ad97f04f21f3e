"""`gate-batch`: gate audio files."""

import realtime.one_thread  # noqa: F401  # isort: skip  # before numpy

import json
import os
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from gate import checks
from gate.errors import AudioFileError, ConfigError
from gate.settings import FILE
from realtime.files.formats import TARGET_NAMES
from realtime.files.pipes import PIPE, SAMPLE_FORMATS
from realtime.options import EXIT_FAILURE, Parser, add_gate_options, config_from_args, run
from realtime.outputs import Replacement, printable

PROG = "gate-batch"

_LITTLE_BYTES = 10_000_000  # two minutes of WAV: gated before another process has started


def build_parser():
    """The command line of `gate-batch`."""
    parser = Parser(
        prog=PROG,
        description="Gate audio files: same length, rate and channels out, and the same format "
        "unless another is asked for.",
        epilog="example: gate-batch talk.wav -o gated.wav --threshold-db -50 --plot",
    )
    parser.add_argument(
        "inputs", nargs="*", metavar="IN",
        help="audio files, globs or folders; - is WAV on standard input",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUT",
        help="folder (names are kept) or, for one input, a file, whose name may ask for another "
        "format; - is WAV on standard output",
    )  # fmt: skip
    parser.add_argument("--format", choices=TARGET_NAMES, help="convert to this format")
    parser.add_argument("--quality", type=float, metavar="Q",
                        help="of lossy outputs, 0 (small) to 10 (best); about the input's bitrate "
                        "unless given")  # fmt: skip
    parser.add_argument(
        "--sample", action="store_true", help="gate the sample recording that comes with the gate"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    parser.add_argument("--trace", action="store_true", help="write OUT.trace.csv, a row a hop")
    parser.add_argument("--plot", action="store_true", help="write OUT.png (extra [plot])")
    parser.add_argument("--raw", metavar="RATE,CHANNELS,FORMAT",
                        help="pipes carry samples without a header: 48000,2,s16le, say; "
                        "formats " + ", ".join(SAMPLE_FORMATS))  # fmt: skip
    parser.add_argument("--report", metavar="FILE", help="write a JSON summary of all files")
    parser.add_argument("--labels", metavar="FILE",
                        help="wanted segments for the report: CSV file,start_s,end_s or an "
                        "Audacity label track")  # fmt: skip
    parser.add_argument("--key-input", metavar="FILE", help="external key of the same sample rate")
    parser.add_argument("--jobs", type=int, metavar="N",
                        help="files at once, 1 to 64 (default: as many as there are processors, "
                        "or one where there is little to do)")  # fmt: skip
    parser.add_argument("--backend", choices=("loky", "dask"), default="loky",
                        help="who runs them: processes of this machine (default) or a Dask "
                        "cluster (extra [cluster])")  # fmt: skip
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of the cluster: tcp://HOST:PORT")
    parser.add_argument("--resume", action="store_true",
                        help="skip what an earlier run with --resume finished from the same "
                        "inputs with the same settings")  # fmt: skip
    parser.add_argument(
        "--allow-truncated", action="store_true", help="gate what is left of a cut-off file"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, errors only")
    add_gate_options(parser)
    return parser


def main(argv=None):
    """Entry point; returns the exit code."""
    args = build_parser().parse_args(argv)
    return run(PROG, lambda: _main(args))


def _main(args):
    from realtime.batch.plan import make_plan
    from realtime.batch.threshold import check_auto
    from realtime.engine import open_file_gate

    if args.jobs is not None:
        checks.whole("jobs", args.jobs, 1, 64)
    if args.backend == "dask" or args.scheduler:
        from realtime.batch.cluster import check_backend

        check_backend(args.backend, args.scheduler)
    config = _of_files(config_from_args(args), args)
    check_auto(config)
    # What is wrong with the detector is wrong with every file: find out first.
    open_file_gate(config.gate, sample_rate=48000, **config.engine.of_gate)
    for name in ("labels", "key_input"):
        path = getattr(args, name)
        if path is not None and (not Path(path).exists() or Path(path).is_dir()):
            raise AudioFileError(f"{path}: no such file (--{name.replace('_', '-')})")
    if args.labels and not args.report:
        raise ConfigError(f"labels={args.labels} needs --report: its measures go there")
    if args.quality is not None:
        checks.number("quality", args.quality, 0, 10)
    plan = make_plan(args, config)
    jobs = plan.jobs
    for note in plan.notes:
        _warn(note, args)
    for failure in plan.failures:
        print(f"{PROG}: error: {printable(failure['error'])}", file=sys.stderr)
    journal, planned = None, len(jobs)
    if args.resume and jobs:
        journal, jobs = _take_up(jobs, config, args)
        if len(jobs) < planned and not args.quiet:
            print(f"{planned - len(jobs)} of {planned} files were finished before")
    started = time.perf_counter()
    with ExitStack() as stack:
        # What is wrong with the report's name is told before the work, not after.
        report = stack.enter_context(Replacement(args.report)) if args.report else None
        reports, failures = _run_all(jobs, config, args, journal, plan.mark)
        failures = plan.failures + failures
        if report is not None:
            _write_report(report, config, reports, failures)
    if not args.quiet and len(jobs) > 1:
        seconds = sum(report["seconds"] for report in reports)
        elapsed = time.perf_counter() - started
        print(
            f"{len(reports)} of {len(jobs)} files, {seconds / 60:.1f} min of audio in "
            f"{elapsed:.1f} s ({seconds / elapsed:.0f} x real time)",
            file=_lines(args),
        )
    return EXIT_FAILURE if failures else 0


def _of_files(config, args):
    """The configuration with the lookahead of files, unless one is given or the sound is piped."""
    if not config.engine.auto_lookahead or PIPE in args.inputs:
        return config
    return replace(config, gate=replace(config.gate, lookahead_ms=FILE))


def _lines(args):
    """Where lines for people go: not into the sound."""
    return sys.stderr if args.output == PIPE else sys.stdout


def _warn(text, args):
    if not args.quiet:
        print(f"{PROG}: {printable(text)}", file=sys.stderr)


def _take_up(jobs, config, args):
    """The journal of the output folder, and the jobs that are left to do."""
    from realtime.batch.leftovers import remove_leftovers
    from realtime.batch.resume import Journal, journal_folder, settings_hash

    journal = Journal(journal_folder(args.output, jobs), settings_hash(config, jobs[0]))
    left = journal.left_to_do(jobs)
    remove_leftovers(left, [Path(args.report)] if args.report else [])
    return journal, left


def _run_all(jobs, config, args, journal, mark):
    """Gate all files; a bad one is told and does not stop the rest."""
    if not jobs:
        return [], []
    from realtime.batch.gate_file import check_outputs
    from realtime.batch.progress import make_progress

    reports, failures, begun = [], [], set()
    with make_progress(args.quiet, _lines(args)) as progress:

        def admit(job):
            check_outputs(job)
            if journal is not None and job.source.exists():
                journal.begin(job)
                begun.add(job)
            return replace(job, overwrite=True)

        def settle(job, outcome):
            failed = isinstance(outcome, str)
            if failed:
                failures.append({"file": str(job.source), "error": outcome})
                progress.say(f"{PROG}: error: {outcome}", error=True)
            else:
                if mark is not None and not reports:
                    with suppress(OSError):
                        mark.touch()
                reports.append(outcome)
                for note in outcome["notes"]:
                    progress.say(f"{PROG}: {job.source}: {note}", warning=True)
                progress.say(_line(job, outcome))
            if job in begun:
                journal.end(job, not failed)

        for job, outcome in _outcomes(jobs, config, args, admit, progress):
            settle(job, outcome)
    order = {str(job.source): index for index, job in enumerate(jobs)}
    reports.sort(key=lambda report: order[report["file"]])
    return reports, failures


def _outcomes(jobs, config, args, admit, progress):
    """(job, report or error line) as files finish, by the engine that was asked for."""
    from realtime.batch.pool import gate_one, run_pool

    detailed, n_jobs = bool(args.report), min(args.jobs or _worth_starting(jobs), len(jobs))
    if args.backend == "loky" and n_jobs == 1:
        for job in jobs:
            try:
                admitted = admit(job)
            except AudioFileError as error:
                yield job, str(error)
                continue
            with progress.file(job) as advance:
                outcome = gate_one(admitted, config, detailed, advance)
            yield job, outcome
        return
    if args.backend == "dask":
        from realtime.batch.cluster import run_dask

        outcomes = run_dask(jobs, config, detailed, args.scheduler, admit)
    else:
        outcomes = run_pool(jobs, config, detailed, n_jobs, admit)
    progress.files(len(jobs))
    for job, outcome in outcomes:
        yield job, outcome
        progress.file_done()


def _worth_starting(jobs):
    """How many processes at once these files are worth."""
    size = sum(job.source.stat().st_size for job in jobs if job.source.is_file())
    return min(os.cpu_count() or 1, 64) if size > _LITTLE_BYTES else 1


def _line(job, report):
    notes = ""
    if report["nonfinite_samples"]:
        notes += f", {report['nonfinite_samples']} non-finite samples became silence"
    if report["failed_hops"]:
        notes += f", {report['failed_hops']} hops passed open because the detector failed"
    return (
        f"{job.source.name} -> {job.output}: open {report['open_percent']:.0f} % of "
        f"{report['seconds']:.1f} s, {report['opens_a_minute']:.1f} opens a minute, "
        f"{report['times_real_time']:.0f} x real time{notes}"
    )


def _write_report(report, config, reports, failures):
    from gate import __version__

    tree = {
        "exemplar_gate": __version__,
        "model": config.engine.model,
        "profile": config.engine.profile,
        "files": reports,
        "failed": failures,
    }
    report.write((json.dumps(tree, indent=2) + "\n").encode())
    report.commit()


if __name__ == "__main__":
    sys.exit(main())
