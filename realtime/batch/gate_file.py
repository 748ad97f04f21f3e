"""Gates one file: read, gate, write, and what was asked for beside it."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gate.errors import AudioFileError
from realtime.batch.report import Summary, counts
from realtime.batch.trace import TraceWriter
from realtime.engine import open_gate
from realtime.files import AudioReader, AudioWriter
from realtime.files.formats import converted
from realtime.interrupt import check_interrupt
from realtime.labels import LabelFile
from realtime.outputs import OutputRules

_CHUNK_SECONDS = 5.0


@dataclass(frozen=True)
class BatchJob:
    """One file to gate.

    Attributes
    ----------
    source, output : Path
    trace, plot : bool
        Write ``OUTPUT.trace.csv``, ``OUTPUT.png``.
    labels : Path or None
        Label file for the measures of the report.
    key : Path or None
        External key input: a file of the same sample rate.
    allow_truncated, overwrite : bool
        Take cut-off inputs; replace outputs that exist.
    quality : float or None
        Of lossy outputs, 0 to 10; None is about the input's bitrate.
    """

    source: Path
    output: Path
    trace: bool = False
    plot: bool = False
    labels: Path | None = None
    key: Path | None = None
    allow_truncated: bool = False
    overwrite: bool = False
    quality: float | None = None

    @property
    def trace_path(self):
        """Where the trace goes."""
        return self.output.with_name(self.output.name + ".trace.csv")

    @property
    def plot_path(self):
        """Where the picture goes."""
        return self.output.with_name(self.output.name + ".png")

    @property
    def outputs(self):
        """All files that it writes."""
        asked = [(True, self.output), (self.trace, self.trace_path), (self.plot, self.plot_path)]
        return [path for wanted, path in asked if wanted]


def gate_file(job, config, progress=None, detailed=False):
    """Gate a file into another of the same length, rate, channels and sample format.

    Parameters
    ----------
    job : BatchJob
    config : realtime.config.Config
    progress : callable, optional
        Called with the seconds of audio done so far.
    detailed : bool
        Collect what the report needs beyond the counts.

    Returns
    -------
    dict
        The file's part of the report.

    Raises
    ------
    GateError
        One line; no partial output is left.
    """
    check_outputs(job)
    with ExitStack() as stack:
        reader = stack.enter_context(AudioReader(job.source, job.allow_truncated))
        info = reader.info
        labels = _labels(job, info, reader.notes)
        written = converted(job.output, info)
        processor = open_gate(
            config.gate,
            sample_rate=info.sample_rate,
            channels=info.channels,
            model=config.engine.model,
            profile=config.engine.profile,
            ears=config.engine.ears,
        )
        key_chunks = _key_chunks(stack, job, info)
        summary = Summary(info, config.gate) if detailed else None
        listeners = [summary.hop] if detailed else []
        trace = plot = None
        strings = reader.metadata.strings(written, reader.tags)
        writer = stack.enter_context(AudioWriter(job.output, written, strings, job.quality))
        lost = reader.metadata.lost(written, strings)
        if lost:
            reader.notes.append(f"not kept in {job.output.name}: {', '.join(lost)}")
        if job.trace:
            trace = stack.enter_context(TraceWriter(job.trace_path, len(processor.lanes)))
            listeners.append(trace)
        if job.plot:
            from realtime.batch.plot import PlotData

            plot = PlotData(info)
            listeners.append(plot.hop)
        if summary is not None:
            processor.on_gains = summary.gains
        if listeners:
            processor.on_hop = lambda lane, meters: [f(lane, meters) for f in listeners]
        _stream(processor, reader, writer, key_chunks, summary, plot, progress)
        info = reader.info_read
        report = counts(processor, info)
        if summary is not None:
            report |= summary.finish(processor, info, labels)
        report["notes"] = reader.notes
        if plot is not None:
            plot.save(job.plot_path, config.gate, processor, job.source.name)
        writer.commit(lambda file: reader.metadata.finish(file, written))
        if trace is not None:
            trace.commit()
    return report


def _labels(job, info, notes):
    """The wanted segments, None without a label file or where it does not name this file."""
    if job.labels is None:
        return None
    seconds = float("inf") if info.frames is None else info.seconds
    segments, remark = LabelFile(job.labels).of_recording(job.source, seconds)
    if remark:
        notes.append(remark)
    return segments if len(segments) else None


def check_outputs(job):
    """Refuse to write over the input, and over anything else without being told.

    Raises
    ------
    AudioFileError
    """
    inputs = [path for path in (job.source, job.key, job.labels) if path is not None]
    rules = OutputRules(inputs, job.overwrite)
    for path in job.outputs:
        rules.check(path)


def _stream(processor, reader, writer, key_chunks, summary, plot, progress):
    """Push the file through the gate; the lookahead is taken back so that nothing moves."""
    info = reader.info
    chunk = max(4096, int(_CHUNK_SECONDS * info.sample_rate))
    skip = processor.latency_samples
    done = 0

    def put(gated):
        nonlocal skip
        drop = min(skip, len(gated))
        skip -= drop
        writer.write(gated[drop:])
        if plot is not None:
            plot.gated(gated[drop:])

    for audio in reader.chunks(chunk):
        check_interrupt()
        key = next(key_chunks) if key_chunks is not None else None
        key = None if key is None else key[: len(audio)]
        if summary is not None:
            summary.audio(audio)
        if plot is not None:
            plot.dry(audio)
        put(processor.process_many(audio, key))
        done += len(audio)
        if progress is not None:
            progress(done / info.sample_rate)
    if processor.latency_samples and done:
        tail = np.zeros((processor.latency_samples, info.channels), np.float32)
        processor.on_hop = None
        put(processor.process_many(tail))


def _key_chunks(stack, job, info):
    """Chunks of the key file, padded with silence, or None."""
    if job.key is None:
        return None
    key = stack.enter_context(AudioReader(job.key, job.allow_truncated))
    if key.info.sample_rate != info.sample_rate:
        raise AudioFileError(
            f"{job.key}: sample_rate={key.info.sample_rate} must be that of {job.source.name}, "
            f"{info.sample_rate}"
        )
    chunk = max(4096, int(_CHUNK_SECONDS * info.sample_rate))

    def padded():
        for audio in key.chunks(chunk):
            missing = chunk - len(audio)
            yield np.pad(audio, ((0, missing), (0, 0))) if missing else audio
        while True:
            yield np.zeros((chunk, key.info.channels), np.float32)

    return padded()
