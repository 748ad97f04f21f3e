"""What a command line asks for: the files, and where each of them goes; nothing is written yet."""

import glob
import itertools
import os
from dataclasses import dataclass, field
from pathlib import Path

from gate.errors import ConfigError
from gate.settings import FILE
from realtime.batch.gate_file import BatchJob
from realtime.batch.resume import JOURNAL_NAME, journal_folder
from realtime.engine import NO_MODEL
from realtime.files.formats import AUDIO_SUFFIXES, FOREIGN_SUFFIXES, TARGET_NAMES
from realtime.files.inputs import expand_inputs
from realtime.files.pipes import PIPE, parse_raw
from realtime.labels import LabelFile
from realtime.models import find_model, sample_path
from realtime.outputs import OutputRules, name_too_long


@dataclass
class Plan:
    """The work.

    Attributes
    ----------
    jobs : list of BatchJob
    failures : list of dict
        Folders that could not be read: what a report says of them.
    notes : list of str
    mark : Path or None
        Where to mark a folder of outputs that lies in one of inputs, so that it is none later.
    """

    jobs: list
    failures: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    mark: Path | None = None


def make_plan(args, config):
    """Decide on all outputs and refuse clashes.

    Parameters
    ----------
    args : argparse.Namespace
        Of `gate-batch`.
    config : realtime.config.Config

    Returns
    -------
    Plan

    Raises
    ------
    ConfigError, AudioFileError
    """
    if args.sample:
        args.inputs.append(str(sample_path()))
    if not args.inputs:
        raise ConfigError("no input: name files, globs or folders, or take --sample")
    if not args.output:
        raise ConfigError("output='' must be a folder or a file")
    if PIPE in (args.output, *args.inputs):
        return _piped(args, config)
    if args.raw:
        raise ConfigError(f"raw={args.raw} is for pipes: name - as input or output")
    output = Path(args.output)
    found = expand_inputs(args.inputs, output, JOURNAL_NAME)
    single = _is_single(args, found.files, output)
    jobs, sources = [], {}
    for source, name in found.files.items():
        target = output if single else output / name
        if args.format:
            target = target.with_suffix("." + args.format)
        if target in sources:
            raise ConfigError(f"{source} and {sources[target]} would both become {target}")
        sources[target] = source
        jobs.append(_job(args, source, target))
    if len(jobs) > 1:  # one name that cannot be does not stop the others
        found.failures += [(str(job.source), line) for job in jobs if (line := _too_long(job))]
        jobs = [job for job in jobs if not _too_long(job)]
    _check_outputs(jobs, args, config)
    if args.labels:
        LabelFile(args.labels).check_inputs([job.source for job in jobs])
    failures = [{"file": name, "error": line} for name, line in found.failures]
    inside = not single and any(
        Path(place(folder)) in Path(place(output)).parents
        for folder in _folders(args.inputs)
        for place in (os.path.realpath, os.path.abspath)  # by way of a link, too
    )
    return Plan(jobs, failures, found.notes, output / JOURNAL_NAME if inside else None)


def _folders(inputs):
    """The folders in which inputs are looked for."""
    for name in inputs:
        if os.path.isdir(name):
            yield name
        elif glob.has_magic(name):
            parts = Path(name).parts
            yield Path(*itertools.takewhile(lambda part: not glob.has_magic(part), parts))


def _too_long(job):
    """The line for an output whose name no file system takes, or an empty one."""
    lines = (name_too_long(path) for path in job.outputs)
    return next((f"{job.source}: {line}" for line in lines if line), "")


_ASKED = ("trace", "plot", "allow_truncated", "overwrite", "quality")


def _job(args, source, target, **more):
    return BatchJob(
        source,
        target,
        labels=Path(args.labels) if args.labels else None,
        key_input=Path(args.key_input) if args.key_input else None,
        **{name: getattr(args, name) for name in _ASKED},
        **more,
    )


def _piped(args, config):
    """The plan for standard input, standard output, or both."""
    piped_in, piped_out = PIPE in args.inputs, args.output == PIPE
    if len(args.inputs) > 1:
        raise ConfigError(f"{PIPE} takes one input, not {len(args.inputs)}")
    for name in ("resume", "plot", *(("trace",) if piped_out else ())):
        if getattr(args, name):
            raise ConfigError(f"--{name} needs a file, not {PIPE}")
    if args.backend == "dask":
        raise ConfigError(f"backend=dask needs files, not {PIPE}")
    if piped_in and config.gate.lookahead_ms == FILE:
        raise ConfigError(f"lookahead_ms={FILE} needs a file, not {PIPE}")
    if args.format and piped_out:
        raise ConfigError(f"format={args.format}: standard output is WAV, or --raw")
    raw = parse_raw(args.raw) if args.raw else None
    target = Path("standard output" if piped_out else args.output)
    if not piped_out and (target.is_dir() or target.suffix.lower() not in AUDIO_SUFFIXES):
        raise ConfigError(
            f"output={args.output} must be a file for standard input, ending in one of "
            f"{', '.join(TARGET_NAMES)}"
        )
    if not piped_in and Path(args.inputs[0]).is_dir():
        raise ConfigError(f"{args.inputs[0]} is a folder; {PIPE} takes one file")
    source = Path("standard input" if piped_in else args.inputs[0])
    job = _job(args, source, target, piped_in=piped_in, piped_out=piped_out, raw=raw)
    _check_outputs([job], args, config)
    if args.labels:
        LabelFile(args.labels).check_inputs([job.source])
    return Plan([job])


def _is_single(args, found, output):
    """Whether the output is a file; refuses what is neither a file nor a folder."""
    one = len(found) == 1 and not Path(args.inputs[0]).is_dir()
    folder = output.is_dir() or args.output.endswith(("/", "\\"))
    suffix = output.suffix.lower()
    if not folder:
        if output.exists() and not (one and suffix in AUDIO_SUFFIXES):
            raise ConfigError(f"output={args.output} must be a folder for {len(found)} inputs"
                              if not one else f"output={args.output} must be a folder, or end in "
                              f"{', '.join(TARGET_NAMES)}")  # fmt: skip
        if suffix in FOREIGN_SUFFIXES:
            raise ConfigError(
                f"output={args.output}: {suffix} cannot be written; "
                f"take one of {', '.join(TARGET_NAMES)}"
            )
        if suffix in AUDIO_SUFFIXES and not one:
            raise ConfigError(
                f"output={args.output} is a file's name, but there are {len(found)} inputs; "
                "name a folder (and --format to convert)"
            )
    return one and not folder and suffix in AUDIO_SUFFIXES


def _check_outputs(jobs, args, config):
    """One look at everything that is going to be written."""
    inputs = [job.source for job in jobs if not job.piped_in]
    inputs += [p for p in (args.labels, args.key_input, args.config, config.engine.profile) if p]
    if config.engine.model != NO_MODEL:
        inputs.append(find_model(config.engine.model))
    rules = OutputRules(inputs, args.overwrite)
    for job in jobs:
        for path in job.outputs:
            rules.claim(path)
    if args.resume and jobs:
        rules.claim(journal_folder(args.output, jobs) / JOURNAL_NAME, "journal")
    if args.report:
        rules.claim(args.report, "report")
        if not (args.resume and _is_report(args.report)):
            rules.check_there(args.report)


def _is_report(path):
    """Whether a file is what an earlier run reported."""
    try:
        with open(path, "rb") as file:
            return file.read(32).startswith(b'{\n  "exemplar_gate"')
    except OSError:
        return False
