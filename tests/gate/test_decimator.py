import numpy as np
import pytest

from gate.decimator import Decimator
from gate.errors import ConfigError

RATES = [8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000, 12345]


def stream(decimator, samples):
    hops, at = [], 0
    while at + decimator.needed <= len(samples):
        step = decimator.needed
        decimator.push(samples[at : at + step])
        at += step
        hops.append(decimator.process().copy())
    return np.concatenate(hops)


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_keeps_its_phase_and_level(rate):
    time = np.arange(rate) / rate
    out = stream(Decimator(rate), np.sin(2 * np.pi * 1000 * time).astype(np.float32))
    want = np.sin(2 * np.pi * 1000 * np.arange(len(out)) / 16000)
    # At 8 kHz the tone is a quarter of the Nyquist rate away from the images: 0.2 %.
    tolerance = 3e-3 if rate < 16000 else 1e-4
    np.testing.assert_allclose(out[200:], want[200:], atol=tolerance)


@pytest.mark.parametrize("rate", RATES)
def test_declared_latency_is_when_an_impulse_can_be_known(rate):
    """The hop that contains an input sample is ready `latency_samples` after it, not later."""
    decimator = Decimator(rate)
    ends = decimator.hop_ends(20)
    last_output = (np.arange(1, 21) * 160 - 1) * rate / 16000
    delay = ends - 1 - np.floor(last_output)
    assert np.all(delay == (decimator.latency_samples or 1))
    impulse = np.zeros(rate // 5, np.float32)
    at = rate // 10
    impulse[at] = 1.0
    out = stream(Decimator(rate), impulse)
    assert abs(np.argmax(np.abs(out)) - at * 16000 / rate) <= 1.0


@pytest.mark.parametrize("rate", [44100, 48000, 192000])
def test_what_lies_above_the_band_stays_out(rate):
    time = np.arange(rate // 4) / rate
    for hz in (9000, 12000, 15000, 20000):
        out = stream(Decimator(rate), np.sin(2 * np.pi * hz * time).astype(np.float32))
        assert 20 * np.log10(np.max(np.abs(out[200:]))) < -50.0, hz


def test_at_16_khz_samples_pass_untouched():
    samples = np.random.default_rng(0).normal(size=1600).astype(np.float32)
    out = stream(Decimator(16000), samples)
    np.testing.assert_array_equal(out, samples[: len(out)])
    assert Decimator(16000).latency_samples == 0


@pytest.mark.parametrize("rate", [0, -1, 44100.5])
def test_bad_rates_are_refused(rate):
    with pytest.raises(ConfigError, match="sample_rate"):
        Decimator(rate)
