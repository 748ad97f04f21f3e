"""Everything that watches while a file is gated: report, trace, picture, hints."""

from realtime.batch.report import Summary, counts
from realtime.batch.threshold import AutoThreshold, Hint
from realtime.batch.trace import TraceWriter
from realtime.opposite_phase import OppositePhase


class Observers:
    """Hands the sound and the decisions to whoever wants them.

    Parameters
    ----------
    stack : contextlib.ExitStack
        Closes what is unfinished.
    job : realtime.batch.gate_file.BatchJob
    config : realtime.config.Config
    gate : GateProcessor
    info : realtime.files.AudioInfo
    detailed : bool
        Collect what the report needs beyond the counts.
    """

    def __init__(self, stack, job, config, gate, info, detailed):
        self._job, self._config, self._gate = job, config, gate
        self._plot = self._trace = self._summary = self._hint = self._auto = self._phase = None
        listeners = []
        if detailed:
            self._summary = Summary(info, gate.settings)
            listeners.append(self._summary.hops)
            gate.on_gains = self._summary.gains
        if job.trace:
            self._trace = stack.enter_context(TraceWriter(job.trace_path, len(gate.lanes)))
            listeners.append(self._trace)
        if job.plot:
            from realtime.batch.plot import PlotData

            self._plot = PlotData(info)
            listeners.append(self._plot.hops)
        if Hint.wanted(config):
            self._hint = Hint(gate)
            listeners.append(self._hint.hops)
        if config.engine.auto_threshold and job.piped_in:
            self._auto = AutoThreshold(gate)
            listeners.append(self._auto.hops)
        if info.channels > 1 and config.gate.stereo_link == "linked":
            self._phase = OppositePhase(range(1, info.channels + 1))
        if listeners:
            gate.on_hops = lambda lane, table: [f(lane, table) for f in listeners]

    def audio(self, samples):
        """Take the next samples of the file."""
        if self._summary is not None:
            self._summary.audio(samples)
        if self._phase is not None:
            self._phase.add(samples)
        if self._plot is not None:
            self._plot.dry(samples)

    def gated(self, samples):
        """Take the next gated samples; what was decided so far is looked at."""
        if self._plot is not None and len(samples):
            self._plot.gated(samples)
        for observer in (self._hint, self._auto):
            if observer is not None:
                observer.look()

    def report(self, info, labels):
        """The file's part of the report.

        Parameters
        ----------
        info : realtime.files.AudioInfo
            With the length that there was.
        labels : ndarray or None
            Wanted segments.
        """
        report = counts(self._gate, info)
        if self._summary is not None:
            report |= self._summary.finish(self._gate, info, labels)
        return report

    def notes(self):
        """Lines for people."""
        found = [
            self._auto and self._auto.note,
            self._hint and self._hint.note(),
            self._phase and self._phase.note(),
        ]
        return [note for note in found if note]

    def save_plot(self):
        """Draw the picture."""
        if self._plot is not None:
            job = self._job
            self._plot.save(job.plot_path, self._gate.settings, self._gate, job.source.name)

    def commit_trace(self):
        """The trace is whole."""
        if self._trace is not None:
            self._trace.commit()
