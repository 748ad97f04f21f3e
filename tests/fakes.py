"""Detectors for tests, small enough to reason about."""

import copy

import numpy as np
import soundfile

from gate.detector import Detection, DetectorInfo


class FakeDetector:
    """Presence from the spectrum's tilt, ballistics from its level change; one hop of memory.

    Presence is high where 300..3000 Hz outweigh the top bands. It is level-invariant: only
    differences of log-mel values enter.
    """

    def __init__(self):
        self.info = DetectorInfo(
            name="fake",
            classes=("speech", "sung"),
            targets={"speech": ("speech",), "voice": ("speech", "sung")},
            presence_threshold={"speech": 0.5, "voice": 0.5},
            presence_hysteresis={"speech": 0.2, "voice": 0.2},
        )
        self.reset()

    def reset(self):
        self._last = np.zeros(1)

    def fork(self):
        return copy.deepcopy(self)

    def process(self, features):
        f = np.asarray(features, dtype=np.float64)
        tilt = f[:, 8:40].mean(axis=1) - f[:, 50:].mean(axis=1)
        before = np.concatenate([self._last, tilt[:-1]])
        self._last = tilt[-1:].copy()
        speech = 1.0 / (1.0 + np.exp(-4.0 * (0.7 * tilt + 0.3 * before + 0.5)))
        key = np.zeros((len(f), 64))
        key[:, 8:50] = 1.0
        swing = np.abs(tilt - before)
        ballistics = np.stack(
            [0.002 + 0.001 * np.tanh(swing), 0.03 + 0.05 * speech, 0.02 + 0.03 * speech], axis=1
        )
        return Detection(
            np.zeros((len(f), 128), np.float32),
            np.stack([speech, 1.0 - speech], axis=1).astype(np.float32),
            key.astype(np.float32),
            ballistics.astype(np.float32),
        )


class ScriptedDetector(FakeDetector):
    """Presence of each hop from a list (the last value repeats); fixed key and ballistics."""

    def __init__(self, script, ballistics=(0.002, 0.05, 0.02)):
        self._script, self._ballistics = list(script), ballistics
        super().__init__()

    def reset(self):
        self._at = 0

    def process(self, features):
        n = len(features)
        index = np.minimum(np.arange(self._at, self._at + n), len(self._script) - 1)
        self._at += n
        presence = np.array(self._script, np.float32)[index]
        return Detection(
            np.zeros((n, 128), np.float32),
            np.stack([presence, 0 * presence], axis=1),
            np.ones((n, 64), np.float32),
            np.tile(np.float32(self._ballistics), (n, 1)),
        )


class FailingDetector(FakeDetector):
    """Raises, or returns NaN, on the hops of a range of call numbers."""

    def __init__(self, first, last, nan=False):
        super().__init__()
        self._bad, self._nan, self._calls = range(first, last), nan, 0

    def process(self, features):
        calls = range(self._calls, self._calls + len(features))
        self._calls += len(features)
        bad = any(call in self._bad for call in calls)
        if bad and not self._nan:
            raise RuntimeError("broken on purpose")
        found = super().process(features)
        if bad:
            found.presence[:] = np.nan
        return found


def speech_and_noise(sample_rate, seconds=2.0, seed=0, channels=1):
    """Bursts of low-passed noise ("speech" to `FakeDetector`) between stretches of hiss."""
    rng = np.random.default_rng(seed)
    n = int(seconds * sample_rate)
    time = np.arange(n) / sample_rate
    width = max(2, sample_rate // 2500)
    low_passed = np.convolve(rng.normal(size=n), np.ones(width) / np.sqrt(width), "same")
    burst = ((time % 0.7) > 0.25) & ((time % 0.7) < 0.5)
    hiss = np.diff(rng.normal(size=n + 1)) * 0.01
    audio = np.where(burst, 0.1 * low_passed, 0.0) + hiss
    scale = 1.0 - 0.3 * np.arange(channels)
    return (audio[:, None] * scale).astype(np.float32)


def sound(path, rate=16000, seconds=0.3, channels=1, **more):
    """A file of it; returns the path."""
    soundfile.write(path, speech_and_noise(rate, seconds, channels=channels), rate, **more)
    return path
