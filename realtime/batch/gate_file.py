"""Gates one file: read, gate, write, and what was asked for beside it."""

import ctypes
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gate.errors import AudioFileError
from realtime.batch.observers import Observers
from realtime.batch.threshold import threshold_of_file
from realtime.engine import open_file_gate
from realtime.files import AudioInfo, AudioReader, AudioWriter
from realtime.files.formats import converted
from realtime.files.pipes import PipeReader, PipeWriter
from realtime.interrupt import check_interrupt
from realtime.labels import LabelFile
from realtime.outputs import OutputRules

_CHUNK_SECONDS = 5.0
_KEPT_BYTES = 1 << 25  # the most that glibc takes
_MALLOPT_TRIM, _MALLOPT_MMAP = -1, -3


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
    key_input : Path or None
        External key input: a file of the same sample rate.
    allow_truncated, overwrite : bool
        Take cut-off inputs; replace outputs that exist.
    quality : float or None
        Of lossy outputs, 0 to 10; None is about the input's bitrate.
    piped_in, piped_out : bool
        Standard input and output instead of files.
    raw : AudioInfo or None
        Of pipes without a header.
    """

    source: Path
    output: Path
    trace: bool = False
    plot: bool = False
    labels: Path | None = None
    key_input: Path | None = None
    allow_truncated: bool = False
    overwrite: bool = False
    quality: float | None = None
    piped_in: bool = False
    piped_out: bool = False
    raw: AudioInfo | None = None

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
        asked = [
            (not self.piped_out, self.output), (self.trace, self.trace_path),
            (self.plot, self.plot_path),
        ]  # fmt: skip
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
    _keep_memory()
    with ExitStack() as stack:
        reader = stack.enter_context(_open_reader(job))
        info = reader.info
        labels = _labels(job, info, reader.notes)
        gate, remark = _open_gate(job, config, info)
        if remark:
            reader.notes.append(remark)
        key = stack.enter_context(_Key(job, info)) if job.key_input is not None else None
        writer, finish = _open_writer(job, reader)
        stack.enter_context(writer)
        watch = Observers(stack, job, config, gate, info, detailed)
        _stream(gate, reader, writer, key, watch, progress)
        report = watch.report(reader.info_read, labels)
        report["notes"] = reader.notes + watch.notes()
        watch.save_plot()
        writer.commit(finish)
        watch.commit_trace()
    return report


def _keep_memory():
    """Let the C library keep freed stretches: given back, each would be mapped and cleared anew."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return  # not glibc
    for parameter in (_MALLOPT_TRIM, _MALLOPT_MMAP):
        mallopt(parameter, _KEPT_BYTES)


def _open_gate(job, config, info):
    """A gate for this file, and a line about the threshold that was taken from it, or None."""

    def opened(settings):
        sound = {"sample_rate": info.sample_rate, "channels": info.channels}
        return open_file_gate(settings, **sound, **config.engine.of_gate)

    if not config.engine.auto_threshold or job.piped_in:
        return opened(config.gate), None
    with ExitStack() as stack:
        reader = stack.enter_context(_open_reader(job))
        key = stack.enter_context(_Key(job, info)) if job.key_input is not None else None
        chunks = reader.chunks(_chunk_samples(info))
        threshold_db, remark = threshold_of_file(opened(_hearing(config.gate)), chunks, key)
    settings = config.gate
    if threshold_db is not None:
        settings = settings.with_changes({"threshold_db": threshold_db})
    return opened(settings), remark


def _hearing(settings):
    """Settings to listen with: nothing of the output is wanted."""
    return settings.with_changes({"lookahead_ms": 0.0, "key_listen": False})


def _chunk_samples(info):
    return max(4096, int(_CHUNK_SECONDS * info.sample_rate))


def _open_reader(job):
    if job.piped_in:
        return PipeReader(job.raw, job.allow_truncated)
    return AudioReader(job.source, job.allow_truncated)


def _open_writer(job, reader):
    """The writer, and what puts into the finished file what lies beside the sound."""
    if job.piped_out:
        if job.raw is None:
            return PipeWriter(reader.info), None
        for name in ("sample_rate", "channels"):
            asked, there = getattr(job.raw, name), getattr(reader.info, name)
            if asked != there:
                raise AudioFileError(f"{job.source}: {name}={there} must be that of --raw, {asked}")
        return PipeWriter(job.raw, raw=True), None
    written = converted(job.output, reader.info)
    beside = reader.metadata
    if beside is None:
        return AudioWriter(job.output, written, None, job.quality), None
    strings = beside.strings(written, reader.tags)
    lost = beside.lost(written, strings)
    if lost:
        reader.notes.append(f"not kept in {job.output.name}: {', '.join(lost)}")
    writer = AudioWriter(job.output, written, strings, job.quality)
    return writer, lambda file: beside.finish(file, written)


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
    inputs = [None if job.piped_in else job.source, job.key_input, job.labels]
    inputs = [path for path in inputs if path is not None]
    rules = OutputRules(inputs, job.overwrite)
    for path in job.outputs:
        rules.check(path)


def _stream(gate, reader, writer, key, watch, progress):
    """Push the file through the gate."""
    info = reader.info

    def put(gated):
        writer.write(gated)
        watch.gated(gated)

    for audio in reader.chunks(_chunk_samples(info)):
        check_interrupt()
        watch.audio(audio)
        put(gate.feed(audio, None if key is None else key.take(len(audio))))
        if progress is not None:
            progress(reader.frames_read / info.sample_rate)
    put(gate.finish())


class _Key(AbstractContextManager):
    """The external key: a file of the same sample rate, silent after its end.

    Parameters
    ----------
    job : BatchJob
    info : AudioInfo
        Of the sound that it opens the gate for.

    Raises
    ------
    AudioFileError
    """

    def __init__(self, job, info):
        self._file = AudioReader(job.key_input, job.allow_truncated)
        found = self._file.info
        if found.sample_rate != info.sample_rate:
            self._file.close()
            raise AudioFileError(
                f"{job.key_input}: sample_rate={found.sample_rate} must be that of "
                f"{job.source.name}, {info.sample_rate}"
            )
        self._chunks = self._file.chunks(_chunk_samples(info))
        self._held = np.zeros((0, found.channels), np.float32)

    def take(self, n):
        """The next n samples."""
        while len(self._held) < n:
            chunk = next(self._chunks, None)
            if chunk is None:
                missing = n - len(self._held)
                self._held = np.pad(self._held, ((0, missing), (0, 0)))
                break
            self._held = np.concatenate([self._held, chunk])
        taken, self._held = self._held[:n], self._held[n:]
        return taken

    def __exit__(self, *exc):
        self._file.close()
