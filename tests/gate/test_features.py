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


def test_bad_settings_are_refused():
    with pytest.raises(ConfigError, match="log_offset=0 must be > 0"):
        MelSettings(log_offset=0)
    with pytest.raises(ConfigError, match="low_hz"):
        MelSettings(low_hz=8000.0)
