"""Many gates with one detector call behave as separate gates do."""

import numpy as np
import pytest
from gates import in_blocks
from tiny_model import tiny_model

from gate.errors import ConfigError, ModelError
from gate.settings import GateSettings
from realtime.bank import GateBank
from realtime.engine import open_gate
from realtime.onnx_detector import OnnxDetector

RATE, CHANNELS = 48000, 3


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    return str(tiny_model(path, state=(1, "channels", 4)))


@pytest.fixture(scope="module")
def sound():
    rng = np.random.default_rng(0)
    loud = np.repeat(rng.random((20, CHANNELS)) > 0.5, RATE // 20, axis=0)
    return (rng.normal(0, 0.1, (RATE, CHANNELS)) * (loud + 1e-4)).astype(np.float32)


# Presence of the tiny model stays near one half: the level decides.
SETTINGS = GateSettings(presence_threshold=0.1, threshold_db=-40.0)


def test_a_bank_equals_separate_gates(model, sound):
    bank = GateBank(SETTINGS, sample_rate=RATE, channels=CHANNELS, model=model)
    together = in_blocks(bank, sound, (480,))
    assert 0.05 < np.mean(np.abs(together) > 1e-3) < 0.95
    for k in range(CHANNELS):
        gate = open_gate(SETTINGS, sample_rate=RATE, model=model)
        apart = gate.process(sound[:, k : k + 1])
        # Another order of additions inside the detector.
        np.testing.assert_allclose(together[:, k : k + 1], apart, atol=1e-5)


def test_any_block_size_and_again_after_reset(model, sound):
    bank = GateBank(SETTINGS, sample_rate=RATE, channels=CHANNELS, model=model)
    whole = bank.process(sound)
    bank.reset()
    np.testing.assert_array_equal(whole, in_blocks(bank, sound, (100,)))


def test_each_channel_has_its_own_settings(model, sound):
    high = GateSettings(presence_threshold=0.1, threshold_db=0.0)
    bank = GateBank([SETTINGS, high, SETTINGS], sample_rate=RATE, channels=3, model=model)
    out = bank.process(sound)
    assert np.abs(out[:, 1]).max() < 1e-3
    assert np.abs(out[:, 0]).max() > 0.1


def test_it_fails_open_and_recovers(model, sound):
    bank = GateBank(SETTINGS, sample_rate=RATE, channels=CHANNELS, model=model)
    works, calls = bank.detector.process, []

    def sometimes(features):
        calls.append(1)
        if len(calls) < 20:
            raise RuntimeError("gone")
        return works(features)

    bank.detector.process = sometimes
    out = in_blocks(bank, np.tile(sound, (2, 1)), (480,))
    early = slice(RATE // 20, RATE // 10)
    np.testing.assert_allclose(out[early], sound[early], atol=1e-2)  # open, attack behind it
    assert bank.counters.detector_failures >= CHANNELS
    assert bank.counters.failed_hops < bank.counters.hops / 2


def test_bad_use_is_refused(model, tmp_path):
    with pytest.raises(ConfigError, match="channels=65 must be from 1 to 64"):
        GateBank(sample_rate=RATE, channels=65, model=model)
    with pytest.raises(ConfigError, match="settings of 1 channels must be 2"):
        GateBank([SETTINGS], sample_rate=RATE, channels=2, model=model)
    with pytest.raises(ConfigError, match="lookahead_ms must be the same"):
        GateBank([SETTINGS, GateSettings(lookahead_ms=5.0)], sample_rate=RATE, channels=2,
                 model=model)  # fmt: skip
    bank = GateBank(SETTINGS, sample_rate=RATE, channels=2, model=model)
    with pytest.raises(ConfigError, match=r"must be \(samples, 2\)"):
        bank.process(np.zeros((10, 3), np.float32))
    fixed = tiny_model(tmp_path / "fixed.onnx", state=(1, 4))
    with pytest.raises(ModelError, match="no axis of channels"):
        OnnxDetector(fixed, channels=2)
