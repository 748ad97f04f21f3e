"""What `gate-batch --report` says of a file."""

from array import array

import numpy as np

from gate.units import power_to_dbfs
from realtime.labels import read_labels


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
    job : realtime.batch.BatchJob
    info : realtime.files.AudioInfo
    settings : GateSettings
    """

    def __init__(self, job, info, settings):
        self._job, self._info, self._settings = job, info, settings
        names = ("time_s", "gain_db", "presence", "key_level_dbfs", "attack_ms", "hold_ms",
                 "release_ms")  # fmt: skip
        self._hops = {name: array("f") for name in names}
        self._open = array("b")
        self._peak = 0.0
        self._squares = 0.0
        self._samples = 0

    def hop(self, lane, meters):
        """Take a decision; of a gate with one lane a channel, the first lane's."""
        if lane == 0:
            for name, values in self._hops.items():
                values.append(getattr(meters, name))
            self._open.append(meters.open)

    def audio(self, samples):
        """Take the file's own samples."""
        finite = np.where(np.isfinite(samples), samples, 0.0).astype(np.float64)
        self._peak = max(self._peak, float(np.max(np.abs(finite), initial=0.0)))
        self._squares += float(np.sum(finite**2))
        self._samples += finite.size

    def finish(self, processor):
        """The report: medians over the open hops, levels, and the measures against labels."""
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
                "rms_dbfs": round(
                    float(power_to_dbfs(self._squares / max(1, self._samples))), 2
                ),
                "peak_dbfs": round(float(power_to_dbfs(self._peak**2)), 2),
                "key_level_dbfs": {
                    f"p{q}": round(float(np.percentile(levels, q)), 2) if len(levels) else None
                    for q in (5, 50, 95)
                },
            },
            "latency_samples": processor.latency_samples,
            "settings": self._settings.to_mapping(),
        }
        if self._job.labels is not None:
            report["measures"] = self._measures(hops)
        return report

    def _measures(self, hops):
        from gate.metrics import gate_measures

        segments = read_labels(self._job.labels, str(self._job.source))
        return gate_measures(
            segments,
            hops["gain_db"],
            times_s=hops["time_s"],
            range_db=self._settings.range_db,
            duration_s=self._info.seconds,
            presence=hops["presence"],
        )
