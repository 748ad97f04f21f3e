"""Linked channels by power, and bypass: sample for sample what the engine does."""

import numpy as np
import pytest
from plugin_compare import run_both
from plugin_native import NativeGate
from plugin_signals import bursts, random_cuts

from gate.settings import GateSettings

RATE = 48000
SETTINGS = GateSettings(threshold_db=-50)
METERS = ("open", "key_level_dbfs", "input_dbfs", "gain_db")


def _pairs(talk):
    """Name -> two channels of the talk's first seconds, (n, 2)."""
    audio, rate = talk
    left = audio[: 4 * rate]
    noise = 0.01 * np.random.default_rng(0).standard_normal(left.shape).astype(np.float32)
    turned = np.concatenate([left[: len(left) // 2], -left[len(left) // 2 :]])
    return {
        "equal": np.hstack([left, left]),
        "opposite": np.hstack([left, -left]),
        "right is idle": np.hstack([left, 0 * left]),
        "left is idle": np.hstack([0 * left, left]),
        "opposite in common noise": np.hstack([left + noise, noise - left]),
        "turns half-way": np.hstack([left, turned]),
        "turns, quieter": np.hstack([left, 0.3 * turned]),
    }, rate


@pytest.mark.parametrize("name", sorted(_pairs((np.zeros((8, 1), np.float32), 2))[0]))
def test_two_channels_are_heard_as_the_engine_hears_them(core, detector, talk, name):
    pairs, rate = _pairs(talk)
    audio = np.ascontiguousarray(pairs[name])
    ours, theirs, traced, told = run_both(core, detector, SETTINGS, audio, rate, METERS)
    assert 0.1 < traced[:, 0].mean() < 0.9
    assert np.array_equal(traced[:, 0], told[:, 0])
    assert np.abs(traced - told).max() < 1e-3  # dB
    assert np.abs(ours - theirs).max() < 1e-6


def test_key_of_two_channels_in_opposite_phase(core, detector, talk):
    pairs, rate = _pairs(talk)
    key = np.ascontiguousarray(pairs["opposite"])
    ours, theirs, traced, _ = run_both(
        core, detector, SETTINGS, np.ones_like(key), rate, METERS, key
    )
    assert 0.1 < traced[:, 0].mean() < 0.9
    assert np.abs(20 * np.log10(ours / theirs)).max() < 0.01


# Bypass


def _wild(n):
    """Sound with samples that products spoil: denormals, signed zeros, the smallest and largest."""
    audio = bursts(RATE, channels=2, seconds=n / RATE)
    audio[::7] = np.float32(1e-42)
    audio[1::11] = np.float32(-0.0)
    audio[2::13] = np.finfo(np.float32).tiny
    audio[5::101] = np.finfo(np.float32).max
    return audio


def _bits(audio):
    return np.ascontiguousarray(audio).view(np.uint32)


@pytest.mark.parametrize("change", ({}, {"lookahead_ms": 5}, {"mode": "duck"}, {"key": "off"}))
def test_bypass_passes_every_bit_from_the_first_sample(core, change):
    audio = _wild(RATE)
    settings = GateSettings(threshold_db=0, bypass=True, **change)
    gate = NativeGate(core, settings, sample_rate=RATE, channels=2)
    out = np.concatenate([gate.process(audio[cut]) for cut in random_cuts(len(audio), seed=1)])
    late = gate.latency_samples
    assert np.array_equal(_bits(out[late:]), _bits(audio[: len(audio) - late]))
    gate.reset()
    assert np.array_equal(_bits(gate.process(audio)), _bits(out))


def test_bypass_set_later_becomes_exact(core):
    """A time constant of 5 ms from -60 dB: within 1e-6 after 14 of them, then every bit."""
    audio = bursts(RATE, channels=2, seconds=1.0)
    gate = NativeGate(core, GateSettings(threshold_db=0), sample_rate=RATE, channels=2)
    gate.process(audio)
    gate.configure(GateSettings(threshold_db=0, bypass=True))
    out = gate.process(audio)
    assert np.abs(out[:100]).max() < np.abs(audio).max() / 2  # no jump
    assert np.array_equal(_bits(out[6000:]), _bits(audio[6000:]))
