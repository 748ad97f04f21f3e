"""Runs the Python engine and the plugin's core side by side."""

from dataclasses import dataclass

import numpy as np
from plugin_native import NativeGate
from plugin_signals import random_cuts

from gate.processor import GateProcessor
from realtime.ears import open_ears

GAIN_TOLERANCE_DB = 0.01
"""Both smooth in double precision and store float32: they part by some 1e-4 dB. The rest is for
levels near a range that ends in digital silence."""


@dataclass
class Comparison:
    """Decisions and gains of both.

    Attributes
    ----------
    same : ndarray of bool
        Hop by hop, whether both took the same decision for the same reason.
    gain_db : float
        Largest difference in gain on samples that follow equal decisions only.
    n_open : int
        Hops on which the engine's gate was open.
    """

    same: np.ndarray
    gain_db: float
    n_open: int


def engine_gate(core, detector, settings, sample_rate, channels=1):
    """The Python engine with the ears that the core has, reset."""
    ears = open_ears(detector.info)[0] if core.gate_ear_column() >= 0 else ()
    engine = GateProcessor(
        settings, sample_rate=sample_rate, channels=channels, detector=detector, ears=ears
    )
    engine.reset()
    return engine


def compare(core, detector, settings, audio, sample_rate, seed=0, key=None):
    """Feed both with random blocks of their own and compare what they did.

    The gain of every sample is read off a channel of ones: the key is external, the audio that is
    gated is constant.
    """
    key = audio if key is None else key
    ones = np.ones((len(audio), 1), np.float32)
    engine = engine_gate(core, detector.fork(), settings, sample_rate)
    decisions = []
    engine.on_hop = lambda _, meters: decisions.append((meters.open, meters.reason))
    gains = [engine.process(ones[cut], key[cut]).copy() for cut in random_cuts(len(audio), seed)]
    gains = np.concatenate(gains)[:, 0]
    native = NativeGate(core, settings, sample_rate=sample_rate)
    native.keep_trace()
    cuts = random_cuts(len(audio), seed + 1, longest=8192)
    ours = np.concatenate([native.process(ones[cut], key[cut]) for cut in cuts])[:, 0]
    assert len(native.trace) == len(decisions)
    same = np.array(
        [
            (opened, reason) == (row["open"], row["reason"])
            for (opened, reason), row in zip(decisions, native.trace, strict=True)
        ]
    )
    difference = np.abs(20 * np.log10(np.maximum(ours, 1e-6) / np.maximum(gains, 1e-6)))
    if not same.all():  # gains after a differing decision differ rightly
        first = int(np.argmin(same))
        difference = difference[: int(native.trace[first]["time_s"] * sample_rate)]
    return Comparison(same, float(difference.max()), sum(opened for opened, _ in decisions))


def run_both(core, detector, settings, audio, sample_rate, names, key=None):
    """Outputs of the core, in random blocks, and of the engine, and the named meters of both."""
    engine = engine_gate(core, detector.fork(), settings, sample_rate, audio.shape[1])
    told = []
    engine.on_hop = lambda _, meters: told.append([getattr(meters, name) for name in names])
    theirs = engine.process(audio, key)
    native = NativeGate(core, settings, sample_rate=sample_rate, channels=audio.shape[1])
    native.keep_trace()
    cuts = random_cuts(len(audio), seed=3)
    ours = [native.process(audio[cut], None if key is None else key[cut]) for cut in cuts]
    traced = np.array([[row[name] for name in names] for row in native.trace])
    return np.concatenate(ours), theirs, traced, np.array(told, np.float64)
