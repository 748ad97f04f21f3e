"""What a microphone, a room and a line do to a signal: linear responses, then damage.

Linear parts are returned as minimum-phase impulse responses, so that a caller applies room,
equaliser and band limits to the wanted and the unwanted sound in one multiplication of spectra
and the two still add up to the mixture. The damage (clipping, codecs, quantisation, offset) acts
on the mixture alone.
"""

import io

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

RATE = 16000
_TAPS = 1024


def minimum_phase(magnitude):
    """Minimum-phase impulse response, shape (1024,), of a magnitude at 513 frequencies."""
    log = np.log(np.maximum(magnitude, 1e-4))
    cepstrum = np.fft.irfft(log)
    cepstrum[1 : _TAPS // 2] *= 2.0
    cepstrum[_TAPS // 2 + 1 :] = 0.0
    return np.fft.irfft(np.exp(np.fft.rfft(cepstrum))).astype(np.float32)


def random_response(rng):
    """Magnitude at 513 frequencies of a random microphone, line and equaliser."""
    hz = np.fft.rfftfreq(_TAPS, 1.0 / RATE)
    octave = np.log2(np.maximum(hz, 20.0) / 1000.0)
    gain_db = np.zeros_like(hz)
    for _ in range(rng.integers(0, 4)):  # bells
        centre, width = rng.uniform(-4.5, 3.0), rng.uniform(0.2, 1.5)
        gain_db += rng.uniform(-9, 9) * np.exp(-0.5 * ((octave - centre) / width) ** 2)
    if rng.random() < 0.4:  # tilt
        gain_db += rng.uniform(-3, 3) * octave
    magnitude = 10.0 ** (gain_db / 20.0)
    if rng.random() < 0.6:
        corner = np.exp(rng.uniform(np.log(20), np.log(350)))
        magnitude /= np.sqrt(1.0 + (corner / np.maximum(hz, 1.0)) ** (2 * rng.integers(1, 5)))
    draw = rng.random()
    if draw < 0.12:  # telephone
        order = 2 * rng.integers(3, 9)
        magnitude /= np.sqrt(1.0 + (300.0 / np.maximum(hz, 1.0)) ** order)
        magnitude /= np.sqrt(1.0 + (hz / 3500.0) ** (2 * order))
    elif draw < 0.4:
        corner = np.exp(rng.uniform(np.log(2500), np.log(7500)))
        magnitude /= np.sqrt(1.0 + (hz / corner) ** (2 * rng.integers(1, 12)))
    return magnitude


def convolve(samples, *responses):
    """Samples through all responses, at the samples' own length."""
    n = len(samples)
    size = next_fast_len(n + sum(len(r) for r in responses), real=True)
    spectrum = rfft(samples, size)
    for response in responses:
        spectrum *= rfft(response, size)
    return irfft(spectrum, size)[:n]


def mu_law(samples):
    """Through G.711 mu-law's 8 bits, for samples in -1..1."""
    compressed = np.sign(samples) * np.log1p(255.0 * np.minimum(np.abs(samples), 1.0)) / np.log(256)
    code = np.round(compressed * 127.0) / 127.0
    return (np.sign(code) * np.expm1(np.abs(code) * np.log(256)) / 255.0).astype(np.float32)


def through_codec(samples, container, subtype, quality):
    """Through a lossy codec of libsndfile, the codec's delay taken out."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(
        buffer, samples, RATE, format=container, subtype=subtype, compression_level=quality
    )
    buffer.seek(0)
    decoded = soundfile.read(buffer, dtype="float32")[0]
    out = np.zeros(len(samples) + 4096, dtype=np.float32)
    out[: min(len(decoded), len(out))] = decoded[: len(out)]
    size = next_fast_len(len(out) + len(samples), real=True)
    lag = irfft(rfft(out, size) * np.conj(rfft(samples, size)), size)[:4096]
    delay = int(np.argmax(np.abs(lag)))
    return out[delay : delay + len(samples)]


def damage(rng, samples):
    """Random damage to a mixture in -1..1, aligned to the sample.

    Returns
    -------
    ndarray, float32
    """
    draw = rng.random()
    if draw < 0.06:
        ceiling = np.max(np.abs(samples)) * 10.0 ** (-rng.uniform(2, 14) / 20.0)
        samples = np.clip(samples, -ceiling, ceiling)
    elif draw < 0.11:
        samples = mu_law(samples)
    elif draw < 0.14 and np.max(np.abs(samples)) > 1e-3:
        formats = (("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"), ("OGG", "OPUS"))
        samples = through_codec(samples, *formats[rng.integers(3)], rng.uniform(0.5, 0.95))
    if rng.random() < 0.08:
        samples = samples + rng.uniform(-0.1, 0.1) * np.max(np.abs(samples))
    if rng.random() < 0.6:
        steps = 2.0 ** (15 if rng.random() < 0.8 else rng.integers(9, 15))
        dither = rng.random(len(samples), dtype=np.float32) if rng.random() < 0.5 else 0.5
        samples = np.floor(samples * steps + dither) / steps
    return samples.astype(np.float32)
