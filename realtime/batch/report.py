"""What `gate-batch --report` says of a file."""

from array import array

import numpy as np

from gate.units import db_to_gain, power_to_dbfs


def counts(processor, info):
    """What every run knows of a file without looking at each hop.

    Returns
    -------
    dict
        Seconds, share of the time open in percent, opens a minute, failures, repaired samples.
    """
    counters = processor.counters
    hops = max(1, counters.hops)
    minutes = info.seconds / 60 * len(processor.lanes)
    return {
        "seconds": round(info.seconds, 3),
        "sample_rate": info.sample_rate,
        "channels": info.channels,
        "subtype": info.subtype,
        "open_percent": round(100.0 * (counters.open_hops + counters.failed_hops) / hops, 2),
        "opens_a_minute": round(counters.opens / minutes, 2) if minutes else 0.0,
        "nonfinite_samples": counters.nonfinite_samples,
        "detector_failures": counters.detector_failures,
        "failed_hops": counters.failed_hops,
    }


class Summary:
    """Collects a file's hops for the report.

    Parameters
    ----------
    info : realtime.files.AudioInfo
    settings : GateSettings
    """

    def __init__(self, info, settings):
        self._info, self._settings = info, settings
        names = ("time_s", "gain_db", "presence", "key_level_dbfs", "attack_ms", "hold_ms",
                 "release_ms")  # fmt: skip
        self._hops = {name: array("f") for name in names}
        self._open = array("b")
        self._midpoint = db_to_gain(settings.range_db / 2.0)
        self._edges = []  # samples at which the first lane's gain crossed the midpoint
        self._was_open = False
        self._at = 0
        self._peak = 0.0
        self._squares = 0.0
        self._samples = 0

    def hops(self, lane, table):
        """Take decisions; of a gate with one lane a channel, the first lane's."""
        if lane == 0:
            for name, values in self._hops.items():
                values.extend(table[name].tolist())
            self._open.extend(table["open"].tolist())

    def gains(self, lane, gains):
        """Take the gain of every sample; notes when it crosses the midpoint."""
        if lane == 0:
            is_open = gains > self._midpoint
            changes = np.flatnonzero(np.diff(is_open, prepend=self._was_open))
            self._edges.extend((self._at + changes).tolist())
            self._was_open = bool(is_open[-1]) if len(is_open) else self._was_open
            self._at += len(gains)

    def audio(self, samples):
        """Take the file's own samples."""
        finite = np.where(np.isfinite(samples), samples, 0.0).astype(np.float64)
        self._peak = max(self._peak, float(np.max(np.abs(finite), initial=0.0)))
        self._squares += float(np.sum(finite**2))
        self._samples += finite.size

    def finish(self, processor, info, labels=None):
        """The report: medians over the open hops, levels, and the measures against labels.

        Parameters
        ----------
        processor : GateProcessor
        info : realtime.files.AudioInfo
            With the length that there was.
        labels : ndarray, shape (n, 2), optional
            Wanted segments in seconds.
        """
        self._info = info
        hops = {name: np.frombuffer(values, "f4") for name, values in self._hops.items()}
        is_open = np.frombuffer(self._open, "i1").astype(bool)

        def median(name):
            values = hops[name][is_open & np.isfinite(hops[name])]
            return round(float(np.median(values)), 2) if len(values) else None

        levels = hops["key_level_dbfs"]
        report = {
            "median_open": {
                name: median(name) for name in ("attack_ms", "hold_ms", "release_ms", "presence")
            },
            "level": {
                "rms_dbfs": round(float(power_to_dbfs(self._squares / max(1, self._samples))), 2),
                "peak_dbfs": round(float(power_to_dbfs(self._peak**2)), 2),
                "key_level_dbfs": {
                    f"p{q}": round(float(np.percentile(levels, q)), 2) if len(levels) else None
                    for q in (5, 50, 95)
                },
            },
            "latency_samples": processor.latency_samples,
            "settings": self._settings.to_mapping(),
        }
        if labels is not None:
            report["measures"] = self._measures(labels, processor.latency_samples)
        return report

    def _measures(self, wanted, latency_samples):
        from gate.metrics import clip_segments, measure

        duration_s = self._info.seconds
        edges = [*self._edges, self._at] if self._was_open else self._edges
        # The file is written without the lookahead's delay, so its gains lie that much earlier.
        opened = (np.array(edges, dtype=float) - latency_samples).reshape(-1, 2)
        opened /= self._info.sample_rate
        tally = measure(
            clip_segments(wanted, duration_s), clip_segments(opened, duration_s), duration_s
        )
        return {
            name: round(value, 4) if np.isfinite(value) else None
            for name, value in tally.summary().items()
        }
