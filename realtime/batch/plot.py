"""The picture of what the gate did: `gate-batch --plot`. Needs the extra ``[plot]``."""

import io
import math
from array import array

import numpy as np

from gate.errors import GateError
from gate.features import hz_to_mel, mel_centres_hz
from gate.frontend import Frontend
from realtime.outputs import printable, write_bytes

_COLUMNS = 2400
_COLOURS = {"dry": "#b8bec8", "gated": "#1f6f8b", "gain": "#d1495b", "level": "#3d5a80"}


class _Extremes:
    """Smallest and largest sample of each picture column, of a signal that comes in chunks."""

    def __init__(self, frames):
        self._step = max(1, math.ceil(frames / _COLUMNS))
        n_columns = max(1, math.ceil(frames / self._step))
        self.low, self.high = np.zeros(n_columns), np.zeros(n_columns)
        self._at = 0

    def add(self, samples):
        lowest, highest = samples.min(axis=1), samples.max(axis=1)
        columns = (self._at + np.arange(len(samples))) // self._step
        columns = np.minimum(columns, len(self.low) - 1)
        starts = np.flatnonzero(np.r_[True, np.diff(columns) > 0])
        where = columns[starts]
        self.low[where] = np.minimum(self.low[where], np.minimum.reduceat(lowest, starts))
        self.high[where] = np.maximum(self.high[where], np.maximum.reduceat(highest, starts))
        self._at += len(samples)


class PlotData:
    """Collects a file's sound and decisions and draws them.

    Parameters
    ----------
    info : realtime.files.AudioInfo

    Raises
    ------
    GateError
        If matplotlib is not installed.
    """

    def __init__(self, info):
        try:
            import matplotlib  # noqa: F401
        except ImportError:
            raise GateError('--plot needs matplotlib: pip install "exemplar-gate[plot]"') from None
        if info.frames is None:
            raise GateError("--plot needs sound whose length is known")
        self._info = info
        self._dry, self._gated = _Extremes(info.frames), _Extremes(info.frames)
        self._frontend = Frontend(info.sample_rate)
        hops = math.ceil(info.seconds * 100) + 1
        self._pool = max(1, math.ceil(hops / _COLUMNS))
        self._spectrum = np.full((math.ceil(hops / self._pool), 64), np.nan, np.float32)
        self._hops_seen = 0
        names = ("time_s", "gain_db", "presence", "key_level_dbfs", "key_low_hz", "key_high_hz",
                 "evidence", "evidence_low", "evidence_high")  # fmt: skip
        self._hops = {name: array("f") for name in names}

    def dry(self, samples):
        """Take input samples (n, channels)."""
        samples = np.where(np.isfinite(samples), samples, np.float32(0.0))
        self._dry.add(samples)
        log_mel = self._frontend.process(samples).log_mel
        columns = (self._hops_seen + np.arange(len(log_mel))) // self._pool
        columns = np.minimum(columns, len(self._spectrum) - 1)
        np.fmax.at(self._spectrum, columns, log_mel)
        self._hops_seen += len(log_mel)

    def gated(self, samples):
        """Take output samples (n, channels)."""
        self._gated.add(samples)

    def hops(self, lane, table):
        """Take decisions of the first lane."""
        if lane == 0:
            for name, values in self._hops.items():
                values.extend(table[name].tolist())

    def save(self, path, settings, processor, title):
        """Draw and write the PNG.

        Parameters
        ----------
        path : Path
        settings : GateSettings
        processor : GateProcessor
        title : str
        """
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        hops = {name: np.frombuffer(values, "f4") for name, values in self._hops.items()}
        figure = Figure(figsize=(13, 9), layout="constrained")
        FigureCanvasAgg(figure)
        wave, gain, presence, level, band = figure.subplots(
            5, 1, sharex=True, height_ratios=[2.2, 1.2, 1, 1.4, 2]
        )
        self._draw_waveforms(wave)
        wave.set_title(
            f"{printable(title)}: {settings.target}, threshold {settings.threshold_db:g} dBFS, "
            f"range {settings.range_db:g} dB",
            parse_math=False,
        )
        time = hops["time_s"]
        # The file is written without the lookahead's delay, so its gains lie that much earlier.
        gain_time = time - processor.latency_samples / self._info.sample_rate
        gain.plot(gain_time, hops["gain_db"], color=_COLOURS["gain"], linewidth=1)
        gain.set(ylabel="gain, dB", ylim=(min(settings.range_db, -6) * 1.08, 3))
        presence.fill_between(time, hops["presence"], color=_COLOURS["gated"], alpha=0.5, lw=0)
        threshold = processor.presence_threshold
        presence.axhline(threshold, color="black", lw=0.8, ls="--")
        presence.set(ylabel="presence", ylim=(0, 1.02))
        self._draw_evidence(presence, hops)
        level.plot(time, hops["key_level_dbfs"], color=_COLOURS["level"], linewidth=0.8)
        level.axhline(settings.threshold_db, color="black", lw=0.8, ls="--", label="threshold")
        level.set(ylabel="key level, dBFS", ylim=(max(-110, settings.threshold_db - 40), 0))
        level.legend(loc="lower right", fontsize=8)
        self._draw_spectrogram(band, hops)
        band.set_xlabel("time, s")
        picture = io.BytesIO()
        figure.savefig(picture, dpi=110, format="png")
        write_bytes(path, picture.getvalue())

    @staticmethod
    def _draw_evidence(axes, hops):
        """What has been heard for the target: above 0 it is present; on an axis of its own."""
        low, high = hops["evidence_low"], hops["evidence_high"]
        if not len(low) or not np.any(high > low):
            return
        beside = axes.twinx()
        beside.plot(hops["time_s"], hops["evidence"], color=_COLOURS["gain"], linewidth=0.9)
        beside.axhline(0.0, color=_COLOURS["gain"], lw=0.6, ls=":")
        beside.set(ylabel="evidence, nats", ylim=(1.08 * low.min() - 0.1, 1.08 * high.max() + 0.1))
        beside.yaxis.label.set_color(_COLOURS["gain"])

    def _draw_waveforms(self, axes):
        for name, data in (("dry", self._dry), ("gated", self._gated)):
            time = np.linspace(0.0, self._info.seconds, len(data.low))
            label = {"dry": "before", "gated": "after"}[name]
            axes.fill_between(time, data.low, data.high, color=_COLOURS[name], lw=0, label=label)
        peak = max(1e-3, float(np.max(np.abs([self._dry.low, self._dry.high]))))
        axes.set(ylabel="waveform", ylim=(-1.05 * peak, 1.05 * peak))
        axes.set_xlim(0.0, max(self._info.seconds, 1e-3))
        axes.legend(loc="upper right", fontsize=8)

    def _draw_spectrogram(self, axes, hops):
        used = max(1, math.ceil(self._hops_seen / self._pool))
        image = np.nan_to_num(self._spectrum[:used].T, nan=-12.0)
        top = float(np.percentile(image, 99.5))
        step = self._pool * 0.010
        axes.imshow(
            image, origin="lower", aspect="auto", cmap="magma", vmin=top - 9.0, vmax=top,
            extent=(0.0, used * step, -0.5, 63.5), interpolation="nearest",
        )  # fmt: skip
        centres = hz_to_mel(mel_centres_hz())

        def row(hz):
            return np.interp(hz_to_mel(hz), centres, np.arange(64.0))

        loud = hops["gain_db"] > -20.0
        for name in ("key_low_hz", "key_high_hz"):
            line = np.where(loud, row(hops[name]), np.nan)
            axes.plot(hops["time_s"], line, color="white", linewidth=0.7)
        ticks = np.array([150, 300, 600, 1200, 2400, 4800])
        axes.set_yticks(row(ticks), [str(t) for t in ticks])
        axes.set_ylabel("key band, Hz")
