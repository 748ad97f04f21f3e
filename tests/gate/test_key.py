import numpy as np
import pytest

from gate.features import LogMel
from gate.key import KeyBand, KeyLevel, band_partition

RNG = np.random.default_rng(2)
ALL = np.ones(64, np.float32)


def power_of(samples):
    return LogMel().process_many(samples.astype(np.float32))[1]


def test_the_partition_gives_every_bin_away_once():
    total = band_partition().sum(axis=0)
    inside = slice(5, 240)  # 125 to 7,500 Hz
    np.testing.assert_allclose(total[inside], 1.0, atol=1e-6)
    assert np.all(total[:4] == 0) and np.all(total[241:] == 0)


@pytest.mark.parametrize("hz", [300.0, 1000.0, 4000.0])
def test_level_of_a_full_scale_sine_is_minus_3_dbfs(hz):
    power = power_of(np.sin(2 * np.pi * hz * np.arange(16000) / 16000))[10]
    for key in ("learned", "off", KeyBand(hz - 150, hz + 150)):
        assert KeyLevel(key).process(power, ALL) == pytest.approx(-3.01, abs=0.1)
    assert KeyLevel(KeyBand(hz + 500, hz + 900)).process(power, ALL) < -50


def test_weights_pick_the_voice_out_of_the_noise():
    """Two tones 20 dB apart; a key on the weaker measures the weaker."""
    time = np.arange(16000) / 16000
    weak, strong = 0.05 * np.sin(2 * np.pi * 500 * time), 0.5 * np.sin(2 * np.pi * 5000 * time)
    power = power_of(weak + strong)[20]
    key = ALL.copy()
    key[30:] = 0.0
    assert KeyLevel().process(power, key) == pytest.approx(-29.03, abs=0.2)
    assert KeyLevel().process(power, ALL) == pytest.approx(-9.0, abs=0.2)


@pytest.mark.parametrize("key", ["learned", "off", KeyBand(200, 3000)])
def test_many_equals_one_by_one(key):
    power = power_of(RNG.normal(size=16000))
    weights = RNG.uniform(size=(len(power), 64)).astype(np.float32)
    level = KeyLevel(key)
    one = [level.process(p, w) for p, w in zip(power, weights, strict=True)]
    np.testing.assert_allclose(level.process_many(power, weights), one, atol=1e-4)


def test_silence_has_a_finite_level():
    assert KeyLevel().process(np.zeros(257, np.float32), ALL) == pytest.approx(-140.0)


def test_band_edges_for_the_meters():
    key = np.zeros(64, np.float32)
    key[20:30] = 1.0
    low, high = KeyLevel().band_hz(key)
    assert 900 < low < 1000 < 1700 < high < 1800
    assert KeyLevel("off").band_hz(key) == (0.0, 8000.0)
    assert KeyLevel(KeyBand(100, 200)).band_hz(key) == (100, 200)
    keys = np.random.default_rng(0).random((50, 64)).astype(np.float32) ** 4
    for one in (KeyLevel(), KeyLevel("off"), KeyLevel(KeyBand(100, 200))):
        assert [tuple(band) for band in one.bands_hz(keys)] == [one.band_hz(k) for k in keys]
