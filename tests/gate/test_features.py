import librosa
import numpy as np
import pytest
from scipy import signal

from gate.errors import ConfigError
from gate.features import (
    VGGISH_LOG_OFFSET,
    LogMel,
    MelSettings,
    hann_window,
    log_mel_spectrogram,
    mel_filterbank,
)

RNG = np.random.default_rng(1)


def test_stream_equals_many_in_random_chunks():
    samples = RNG.normal(size=160 * 200).astype(np.float32) * 0.1
    stream = LogMel()
    one_by_one = np.stack([stream.process(samples[i : i + 160])[0] for i in range(0, 32000, 160)])
    many, pieces, at = LogMel(), [], 0
    while at < 200:
        hops = int(RNG.integers(1, 37))
        pieces.append(many.process_many(samples[at * 160 : (at + hops) * 160])[0])
        at += hops
    # Products of other shapes round otherwise; float32 logarithms stay within some ulp.
    np.testing.assert_allclose(np.concatenate(pieces)[:200], one_by_one, atol=2e-5)


def test_equals_librosa_up_to_the_slopes_in_mel():
    samples = RNG.normal(size=16000).astype(np.float32) * 0.1
    mel = MelSettings(log_offset=VGGISH_LOG_OFFSET)
    # librosa centres the window in the FFT frame, 56 samples after its start.
    padded = np.concatenate([np.zeros(240 + 56, np.float32), samples, np.zeros(56, np.float32)])
    magnitude = np.abs(
        librosa.stft(padded, n_fft=512, hop_length=160, win_length=400, center=False)
    )
    exact = np.log(mel_filterbank(mel) @ magnitude + VGGISH_LOG_OFFSET).T
    ours = log_mel_spectrogram(samples, mel)
    n = min(len(exact), len(ours))
    np.testing.assert_allclose(ours[:n], exact[:n], atol=2e-5)
    theirs = librosa.filters.mel(
        sr=16000, n_fft=512, n_mels=64, fmin=125, fmax=7500, htk=True, norm=None
    )
    # Triangles linear in Hz against linear in mel: the largest difference of a weight.
    assert np.max(np.abs(theirs - mel_filterbank(mel))) < 0.03


def test_window_is_periodic_hann():
    np.testing.assert_allclose(hann_window(400), signal.get_window("hann", 400), atol=1e-12)


@pytest.mark.parametrize("hz", [200.0, 1000.0, 5000.0])
def test_power_of_a_full_scale_sine_sums_to_one_half(hz):
    sine = np.sin(2 * np.pi * hz * np.arange(16000) / 16000).astype(np.float32)
    _, power = LogMel().process_many(sine)
    # A 25 ms window holds few cycles of 200 Hz: 0.2 dB of ripple.
    np.testing.assert_allclose(10 * np.log10(power[10:].sum(axis=1)), -3.01, atol=0.2)


def test_later_input_never_changes_earlier_output():
    samples = RNG.normal(size=3200).astype(np.float32)
    changed = samples.copy()
    changed[1600:] = 0.0
    before, after = log_mel_spectrogram(samples), log_mel_spectrogram(changed)
    assert np.array_equal(before[:10], after[:10])
    assert not np.array_equal(before[10:], after[10:])


def test_reset_forgets():
    stream = LogMel()
    first = stream.process(np.ones(160, np.float32))[0].copy()
    stream.process(RNG.normal(size=160).astype(np.float32))
    stream.reset()
    assert np.array_equal(stream.process(np.ones(160, np.float32))[0], first)


def test_bad_settings_are_refused():
    with pytest.raises(ConfigError, match="log_offset=0 must be > 0"):
        MelSettings(log_offset=0)
    with pytest.raises(ConfigError, match="low_hz"):
        MelSettings(low_hz=8000.0)
