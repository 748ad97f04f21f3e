"""Sounds and a detector to teach with in tests: two kinds of bursts, a projection as embedding."""

import numpy as np

from gate.detector import Detection, DetectorInfo
from realtime.learn.examples import from_samples

RATE = 16000


class ProjectionDetector:
    """Embedding: a fixed random projection of the hop's spectral shape. No memory."""

    def __init__(self, sha256="ab" * 32):
        self.info = DetectorInfo(
            name="projection",
            classes=("speech", "music"),
            targets={"speech": ("speech",)},
            presence_threshold={"speech": 0.5},
            presence_hysteresis={"speech": 0.1},
            sha256=sha256,
        )
        rng = np.random.default_rng(3)
        self._matrix = rng.standard_normal((64, 128)).astype(np.float32) / 8

    def process(self, features):
        f = np.asarray(features, np.float32)
        shape = f - f.mean(axis=1, keepdims=True)
        n = len(f)
        return Detection(
            np.tanh(shape @ self._matrix),
            np.full((n, 2), 0.3, np.float32),
            np.ones((n, 64), np.float32),
            np.tile(np.float32([0.002, 0.1, 0.1]), (n, 1)),
        )

    def reset(self):
        pass

    def fork(self):
        return ProjectionDetector(self.info.sha256)


def bursts(kind, seconds, seed, level_db=-20.0, sample_rate=RATE):
    """Bursts of 80 to 300 ms with pauses: ``low`` or ``mid`` tones, ``high`` noise, ``rumble``."""
    rng = np.random.default_rng(seed)
    out = 1e-4 * rng.standard_normal(int(seconds * sample_rate))
    at = 0
    while at < len(out):
        n = int(rng.uniform(0.08, 0.3) * sample_rate)
        time = np.arange(n) / sample_rate
        if kind == "high":
            sound = np.diff(rng.standard_normal(n), prepend=0.0)
        elif kind == "rumble":
            sound = np.convolve(rng.standard_normal(n), np.ones(24) / 24, "same")
        else:
            pitch = rng.uniform(200, 400) if kind == "low" else rng.uniform(1200, 1800)
            sound = sum(np.sin(2 * np.pi * k * pitch * time) / k for k in (1, 2, 3))
        sound *= np.hanning(2 * n)[n // 2 : n // 2 + n]
        part = out[at : at + n]
        part += (10 ** (level_db / 20) * sound / np.std(sound))[: len(part)]
        at += n + int(rng.uniform(0.05, 0.3) * sample_rate)
    return out.astype(np.float32)


def examples(seconds=8.0, shut="high", seed=0, n_files=1):
    """Recordings to open on low tones and to stay shut on another kind."""
    from realtime.learn.examples import OPEN, SHUT

    share = seconds / n_files
    return [
        from_samples(bursts(kind, share, 100 * seed + 10 * label + i), RATE, label, f"{kind} {i}")
        for kind, label in (("low", OPEN), (shut, SHUT))
        for i in range(n_files)
    ]
