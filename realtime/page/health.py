"""The counters in words: what is wrong, how much, and what helps."""

import time

_FRESH_S = 15.0
OK, NOTE, BAD = "ok", "note", "bad"


class Health:
    """Turns a `snapshot` into lines; remembers when a counter last moved.

    Parameters
    ----------
    clock : callable
        Seconds that only go up.
    """

    def __init__(self, clock=time.monotonic):
        self._clock = clock
        self._seen = {}

    def lines(self, status):
        """Lines for people and one sentence about all of them.

        Parameters
        ----------
        status : dict
            A `snapshot`.

        Returns
        -------
        list of dict
            ``name``; ``level``: ok, note (happened, and is over) or bad (is so now); ``text``.
        str
            The sentence: the first thing that is wrong now, and what else is; or empty.
        """
        lines = [
            self._sound(status), self._dropouts(status), _load(status), self._detector(status),
            *_ears(status), *self._rest(status),
        ]  # fmt: skip
        first, *others = [line for line in lines if line["level"] == BAD] or [None]
        if first is None:
            return lines, ""
        also = f" Also: {', '.join(line['name'].lower() for line in others)}." if others else ""
        return lines, f"{first['name']}: {first['text']}.{also}"

    def _moved(self, name, count):
        """Whether a counter moved in the last seconds; the first look does not count."""
        now = self._clock()
        before, at = self._seen.get(name, (count, -_FRESH_S))
        if count != before:
            at = now
        self._seen[name] = count, at
        return now - at < _FRESH_S

    def _sound(self, status):
        words = {
            "running": "flowing",
            "starting": "starting",
            "silence": "the input is gone, silence is sent meanwhile",
            "lost": "the device or the sound server is gone, trying again",
            "stopped": "stopped",
        }
        text = words.get(status["status"], status["status"])
        if status.get("connection"):
            return _line("Sound", BAD, status["connection"].rstrip("."))
        if status["status"] not in ("running", "starting"):
            return _line("Sound", BAD, text)
        restarts = status["restarts"]
        if restarts:
            again = "once" if restarts == 1 else f"{restarts} times"
            return _line("Sound", NOTE, f"{text}, started again {again}")
        return _line("Sound", OK, text)

    def _dropouts(self, status):
        n = status["xruns"]
        fresh = self._moved("xruns", n)
        if not n:
            return _line("Dropouts", OK, "none")
        if fresh:
            return _line("Dropouts", BAD, "sound is being lost now: larger blocks or fewer "
                         "programs help", figure=n)  # fmt: skip
        return _line("Dropouts", NOTE, "some, none in the last seconds", figure=n)

    def _detector(self, status):
        failed, slow = status["detector_failures"], status["detector_overruns"]
        fresh = self._moved("failures", failed), self._moved("overruns", slow)
        if status.get("reason") == "detector failed" or any(fresh):
            why = "too slow" if fresh[1] and not fresh[0] else "failing"
            late = status.get("detector_late_ms") or 0.0
            by = f" by {late:.1f} ms a hop" if why == "too slow" and late else ""
            return _line("Detector", BAD, f"{why}{by}: the gate stays open meanwhile")
        parts = [f"failed {failed}×"] if failed else []
        parts += [f"too slow {slow}×"] if slow else []
        return _line("Detector", NOTE if parts else OK, ", ".join(parts) or "working")

    def _rest(self, status):
        lines = []
        for key, name, text in (
            ("nonfinite_samples", "Driver", "broken samples made silent"),
            ("callback_errors", "Gate", "blocks passed as they came after an error"),
            ("record_dropped", "Recording", "samples left out, the disk is too slow or full"),
        ):
            n = status.get(key, 0)
            fresh = self._moved(key, n)
            if n:
                lines.append(_line(name, BAD if fresh else NOTE, text, figure=n))
        return lines


def _load(status):
    mean, p99 = status["load_mean"], status["load_p99"]
    figure = f"{mean:.0%}, peaks {p99:.0%}"
    if p99 > 1.0:
        return _line("Load", BAD, "too high for the time there is", figure)
    words = "low" if p99 < 0.4 else "moderate" if p99 < 0.7 else "high"
    return _line("Load", OK if p99 < 0.7 else NOTE, words, figure)


def _ears(status):
    """The second ears that the detector names: heard, or why not."""
    heard, silent = status.get("ears_heard"), status.get("ears_silent")
    lines = [_line("Second ear", OK, f"{', '.join(heard)} is heard")] if heard else []
    return lines + [
        _line("Second ear", NOTE, f"{name} is not heard, the gate decides without it: {why}")
        for name, why in (silent or {}).items()
    ]


def _line(name, level, text, figure=None):
    line = {"name": name, "level": level, "text": text}
    if figure is not None:
        line["figure"] = str(figure)
    return line
