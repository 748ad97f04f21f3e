"""Synthetic human non-speech, which must not open the gate.

The corpus has infant cries and sneezes, and next to no coughs, laughs, breaths or snores. A voice
making those is still a source and a vocal tract, so they are made as such: pulses or noise
through formant resonators, with the timing and envelopes of the real thing. They are crude, and
the model card says so.
"""

import numpy as np
from scipy.signal import lfilter

from training.voice.parts import (
    RATE,
    arch,
    formants,
    log_uniform,
    noise_band,
    pause,
    pulses,
    seconds,
    swell,
    times,
)  # fmt: skip


def _laugh(rng):
    rate, base = rng.uniform(3.3, 7.0), log_uniform(rng, 110, 520)
    shift = 1.0 if base < 220 else 1.15
    n_syllables = rng.integers(2, 12)
    period = int(RATE / rate)
    voiced = int(period * rng.uniform(0.25, 0.6))
    n = period * n_syllables + voiced
    f0, gain = np.full(n, base), np.zeros(n)
    aspiration = np.full(n, 10.0 ** (-rng.uniform(10, 30) / 20.0))
    for k in range(n_syllables):
        begin = k * period + int(rng.uniform(0, 0.12) * period)
        length = int(voiced * rng.uniform(0.7, 1.2))
        end = min(begin + length, n)
        fall = rng.uniform(0.75, 1.1)
        f0[begin:end] = base * np.linspace(1.0, fall, end - begin)
        gain[begin:end] = arch(end - begin, 0.2, 0.4) * rng.uniform(0.5, 1.0)
        base *= rng.uniform(0.9, 1.03)
    decay = np.linspace(1.0, rng.uniform(0.1, 0.8), n)
    unvoiced = rng.random() < 0.2
    source = noise_band(rng, n) * 0.5 if unvoiced else pulses(rng, f0, rng.uniform(0, 0.4))
    breathy = noise_band(rng, n, 300, 6000) * 0.15
    out = formants(rng, (source * gain + breathy * (gain * rng.uniform(0, 1) + aspiration)), shift)
    return out * decay


def _cough(rng):
    tract = rng.integers(1 << 30)
    for _ in range(rng.integers(1, 5)):
        n = seconds(rng, 0.18, 0.5)
        t = times(n)
        burst = noise_band(rng, n, rng.uniform(100, 500), rng.uniform(3000, 8000))
        envelope = np.exp(-t / rng.uniform(0.012, 0.045)) + rng.uniform(0.05, 0.4) * np.exp(
            -t / rng.uniform(0.06, 0.15)
        )
        envelope *= np.minimum(1.0, t / rng.uniform(0.001, 0.008))
        source = burst * envelope
        if rng.random() < 0.5:
            f0 = np.linspace(rng.uniform(180, 450), rng.uniform(120, 300), n)
            late = np.clip((t - rng.uniform(0.08, 0.2)) / 0.03, 0, 1) * np.exp(-t / 0.15)
            source = source + pulses(rng, f0, 0.5) * late * rng.uniform(0.1, 0.8)
        shaped = formants(np.random.default_rng(tract), source)
        yield from (shaped + source * rng.uniform(0.0, 0.2), pause(rng, 0.02, 0.5))


def _sneeze(rng):
    n = seconds(rng, 0.3, 0.9)
    inhale = formants(rng, noise_band(rng, n, 200, 5000)) * np.linspace(0, 1, n) ** 2
    inhale *= rng.uniform(0.05, 0.5)
    m = seconds(rng, 0.15, 0.5)
    t = times(m)
    burst = noise_band(rng, m, rng.uniform(500, 2000), 8000) * np.exp(-t / rng.uniform(0.05, 0.15))
    voiced = pulses(rng, np.linspace(400, 200, m)) * np.exp(-t / 0.06) * rng.uniform(0, 0.6)
    return np.concatenate(
        [inhale, np.zeros(seconds(rng, 0.01, 0.15)), burst + formants(rng, voiced)]
    )


def _breath(rng):
    tract = rng.integers(1 << 30)
    for _ in range(rng.integers(1, 5)):
        n = seconds(rng, 0.25, 1.6)
        noise = noise_band(rng, n, rng.uniform(100, 800), rng.uniform(2500, 8000))
        formed = formants(np.random.default_rng(tract + rng.integers(2)), noise)
        mix = rng.uniform(0, 0.3)
        yield from (
            (formed + mix * noise) * swell(rng, n, (0.1, 0.6), (0.2, 0.6)),
            pause(rng, 0.05, 0.8),
        )


def _sniff(rng):
    for _ in range(rng.integers(1, 6)):
        n = seconds(rng, 0.08, 0.45)
        noise = noise_band(rng, n, rng.uniform(600, 2500), rng.uniform(5000, 8000))
        yield from (noise * swell(rng, n, (0.05, 0.5), (0.1, 0.5)), pause(rng, 0.05, 0.6))


def _snore(rng):
    tract, base = rng.integers(1 << 30), rng.uniform(22, 90)
    for _ in range(rng.integers(1, 4)):
        n = seconds(rng, 0.5, 1.6)
        drift = lfilter([0.002], [1.0, -0.998], rng.standard_normal(n)) * 8.0
        source = pulses(rng, base * np.clip(1.0 + drift, 0.4, 2.0), rng.uniform(0.2, 0.8))
        source = source + noise_band(rng, n, 100, 3000) * rng.uniform(0.02, 0.5)
        formed = formants(np.random.default_rng(tract), source, rng.uniform(0.6, 1.0))
        yield from (formed * swell(rng, n, (0.1, 0.5), (0.1, 0.4)), pause(rng, 0.3, 1.6))


def _throat(rng):
    tract = rng.integers(1 << 30)
    for _ in range(rng.integers(1, 4)):
        n = seconds(rng, 0.12, 0.5)
        f0 = np.linspace(rng.uniform(60, 160), rng.uniform(50, 130), n)
        source = pulses(rng, f0, 0.9) + noise_band(rng, n, 300, 5000) * rng.uniform(0.1, 0.8)
        formed = formants(np.random.default_rng(tract), source)
        yield from (formed * swell(rng, n, (0.02, 0.2), (0.2, 0.6)), pause(rng, 0.02, 0.3))


def _wail(rng):
    """Moans, cries, whines, howls: long voiced sounds on one vowel."""
    tract, base = rng.integers(1 << 30), log_uniform(rng, 150, 900)
    for _ in range(rng.integers(1, 5)):
        n = seconds(rng, 0.25, 1.8)
        shape = np.interp(
            np.linspace(0, 1, n),
            [0, rng.uniform(0.1, 0.5), 1],
            [rng.uniform(0.6, 1), 1, rng.uniform(0.5, 1)],
        )
        vibrato = 1.0 + rng.uniform(0, 0.04) * np.sin(2 * np.pi * rng.uniform(4, 9) * times(n))
        source = pulses(rng, base * shape * vibrato, rng.uniform(0, 0.5))
        source = source + noise_band(rng, n) * rng.uniform(0, 0.1)
        formed = formants(np.random.default_rng(tract), source, 1.0 + (base > 350) * 0.3)
        yield from (formed * swell(rng, n, (0.05, 0.4), (0.1, 0.5)), pause(rng, 0.1, 0.8))


def _sip(rng):
    for _ in range(rng.integers(2, 10)):
        n = seconds(rng, 0.02, 0.3)
        t = times(n)
        if rng.random() < 0.6:  # a bubble or gulp: a short rising resonance
            hz = rng.uniform(250, 1500) * (1.0 + rng.uniform(-0.5, 3.0) * t)
            part = np.sin(2 * np.pi * np.cumsum(hz) / RATE) * np.exp(-t / rng.uniform(0.005, 0.05))
        else:
            part = noise_band(rng, n, rng.uniform(500, 3000), 8000) * arch(n, 0.3, 0.5)
            part *= 1.0 + 0.8 * np.sin(2 * np.pi * rng.uniform(15, 60) * t)
        yield from (part * rng.uniform(0.2, 1.0), pause(rng, 0.01, 0.4))


HUMAN = {
    "laugh": (_laugh, 5), "cough": (_cough, 4), "sneeze": (_sneeze, 1), "breath": (_breath, 3),
    "sniff": (_sniff, 1), "snore": (_snore, 2), "throat": (_throat, 2), "wail": (_wail, 2),
    "sip": (_sip, 2),
}  # fmt: skip
"""Human non-speech: name -> (maker, how many in a round)."""
