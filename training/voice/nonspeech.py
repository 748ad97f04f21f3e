"""Synthetic human non-speech and other sounds that must not open the gate.

The corpus has infant cries and sneezes, and next to no coughs, laughs, breaths or snores. A voice
making those is still a source and a vocal tract, so they are made as such: pulses or noise
through formant resonators, with the timing and envelopes of the real thing. Tonal beeps, squeaks
and rubbing noises come from the same parts. They are crude, and the model card says so.
"""

import numpy as np
from scipy.signal import lfilter

RATE = 16000


def _formants(rng, samples, shift=1.0):
    """Filter through four resonators of one random vowel, in parallel with a little of it dry."""
    centres = np.array(
        [rng.uniform(280, 900), rng.uniform(900, 2300), rng.uniform(2200, 3200), 3600.0]
    )
    widths = np.array([rng.uniform(50, 120), rng.uniform(70, 160), 180.0, 250.0])
    out = rng.uniform(0.0, 0.05) * samples
    for centre, width, gain in zip(centres * shift, widths, (1.0, 0.7, 0.4, 0.25), strict=True):
        radius = np.exp(-np.pi * width / RATE)
        angle = 2.0 * np.pi * min(centre, 7000.0) / RATE
        a = [1.0, -2.0 * radius * np.cos(angle), radius * radius]
        out = out + gain * lfilter([1.0 - radius], a, samples)
    return out


def _pulses(rng, f0, roughness=0.0):
    """Glottal-like pulses of a contour `f0` in Hz, one value a sample."""
    f0 = f0 * (1.0 + 0.01 * lfilter([0.05], [1.0, -0.95], rng.standard_normal(len(f0))) * 4.0)
    phase = np.cumsum(f0 / RATE)
    beat = np.diff(np.floor(phase), prepend=0.0)
    strength = 1.0 + roughness * rng.standard_normal(len(f0))
    train = beat * strength
    tilt = rng.uniform(0.80, 0.96)
    return lfilter([1.0 - tilt], [1.0, -tilt], lfilter([1.0], [1.0, -0.6], train)) * 8.0


def _noise(rng, n, low_hz=0.0, high_hz=8000.0):
    """Gaussian noise of a band with soft edges."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    hz = np.fft.rfftfreq(n, 1.0 / RATE)
    gain = 1.0 / np.sqrt(1.0 + (hz / max(high_hz, 1.0)) ** 6)
    if low_hz > 0:
        gain = gain / np.sqrt(1.0 + (low_hz / np.maximum(hz, 1.0)) ** 6)
    return np.fft.irfft(spectrum * gain, n)


def _arch(n, attack, release):
    """Envelope 0..1 of `n` samples: raised-cosine attack and release of those shares."""
    envelope = np.ones(n)
    rise, fall = max(1, int(n * attack)), max(1, int(n * release))
    envelope[:rise] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(rise) / rise)
    envelope[n - fall :] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(fall) / fall)
    return envelope


def _seconds(rng, low, high):
    return int(RATE * rng.uniform(low, high))


def _place(parts, gaps):
    """Concatenate parts with gaps of so many samples between them."""
    out = []
    for part, gap in zip(parts, gaps, strict=True):
        out += [part, np.zeros(gap)]
    return np.concatenate(out)


def _laugh(rng):
    rate, base = rng.uniform(3.3, 7.0), np.exp(rng.uniform(np.log(110), np.log(520)))
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
        gain[begin:end] = _arch(end - begin, 0.2, 0.4) * rng.uniform(0.5, 1.0)
        base *= rng.uniform(0.9, 1.03)
    decay = np.linspace(1.0, rng.uniform(0.1, 0.8), n)
    unvoiced = rng.random() < 0.2
    source = _noise(rng, n) * 0.5 if unvoiced else _pulses(rng, f0, rng.uniform(0, 0.4))
    breathy = _noise(rng, n, 300, 6000) * 0.15
    out = _formants(rng, (source * gain + breathy * (gain * rng.uniform(0, 1) + aspiration)), shift)
    return out * decay


def _cough(rng):
    parts, gaps = [], []
    tract = rng.integers(1 << 30)
    for _ in range(rng.integers(1, 5)):
        n = _seconds(rng, 0.18, 0.5)
        t = np.arange(n) / RATE
        burst = _noise(rng, n, rng.uniform(100, 500), rng.uniform(3000, 8000))
        envelope = np.exp(-t / rng.uniform(0.012, 0.045)) + rng.uniform(0.05, 0.4) * np.exp(
            -t / rng.uniform(0.06, 0.15)
        )
        envelope *= np.minimum(1.0, t / rng.uniform(0.001, 0.008))
        source = burst * envelope
        if rng.random() < 0.5:
            f0 = np.linspace(rng.uniform(180, 450), rng.uniform(120, 300), n)
            late = np.clip((t - rng.uniform(0.08, 0.2)) / 0.03, 0, 1) * np.exp(-t / 0.15)
            source = source + _pulses(rng, f0, 0.5) * late * rng.uniform(0.1, 0.8)
        shaped = _formants(np.random.default_rng(tract), source)
        parts.append(shaped + source * rng.uniform(0.0, 0.2))
        gaps.append(_seconds(rng, 0.02, 0.5))
    return _place(parts, gaps)


def _sneeze(rng):
    n = _seconds(rng, 0.3, 0.9)
    inhale = _formants(rng, _noise(rng, n, 200, 5000)) * np.linspace(0, 1, n) ** 2
    inhale *= rng.uniform(0.05, 0.5)
    m = _seconds(rng, 0.15, 0.5)
    t = np.arange(m) / RATE
    burst = _noise(rng, m, rng.uniform(500, 2000), 8000) * np.exp(-t / rng.uniform(0.05, 0.15))
    voiced = _pulses(rng, np.linspace(400, 200, m)) * np.exp(-t / 0.06) * rng.uniform(0, 0.6)
    return np.concatenate(
        [inhale, np.zeros(_seconds(rng, 0.01, 0.15)), burst + _formants(rng, voiced)]
    )


def _breath(rng):
    parts, gaps = [], []
    tract = rng.integers(1 << 30)
    for _ in range(rng.integers(1, 5)):
        n = _seconds(rng, 0.25, 1.6)
        noise = _noise(rng, n, rng.uniform(100, 800), rng.uniform(2500, 8000))
        formed = _formants(np.random.default_rng(tract + rng.integers(2)), noise)
        mix = rng.uniform(0, 0.3)
        parts.append(
            (formed + mix * noise) * _arch(n, rng.uniform(0.1, 0.6), rng.uniform(0.2, 0.6))
        )
        gaps.append(_seconds(rng, 0.05, 0.8))
    return _place(parts, gaps)


def _sniff(rng):
    parts, gaps = [], []
    for _ in range(rng.integers(1, 6)):
        n = _seconds(rng, 0.08, 0.45)
        noise = _noise(rng, n, rng.uniform(600, 2500), rng.uniform(5000, 8000))
        parts.append(noise * _arch(n, rng.uniform(0.05, 0.5), rng.uniform(0.1, 0.5)))
        gaps.append(_seconds(rng, 0.05, 0.6))
    return _place(parts, gaps)


def _snore(rng):
    parts, gaps = [], []
    tract, base = rng.integers(1 << 30), rng.uniform(22, 90)
    for _ in range(rng.integers(1, 4)):
        n = _seconds(rng, 0.5, 1.6)
        drift = lfilter([0.002], [1.0, -0.998], rng.standard_normal(n)) * 8.0
        source = _pulses(rng, base * np.clip(1.0 + drift, 0.4, 2.0), rng.uniform(0.2, 0.8))
        source = source + _noise(rng, n, 100, 3000) * rng.uniform(0.02, 0.5)
        formed = _formants(np.random.default_rng(tract), source, rng.uniform(0.6, 1.0))
        parts.append(formed * _arch(n, rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.4)))
        gaps.append(_seconds(rng, 0.3, 1.6))
    return _place(parts, gaps)


def _throat(rng):
    parts, gaps = [], []
    tract = rng.integers(1 << 30)
    for _ in range(rng.integers(1, 4)):
        n = _seconds(rng, 0.12, 0.5)
        f0 = np.linspace(rng.uniform(60, 160), rng.uniform(50, 130), n)
        source = _pulses(rng, f0, 0.9) + _noise(rng, n, 300, 5000) * rng.uniform(0.1, 0.8)
        formed = _formants(np.random.default_rng(tract), source)
        parts.append(formed * _arch(n, rng.uniform(0.02, 0.2), rng.uniform(0.2, 0.6)))
        gaps.append(_seconds(rng, 0.02, 0.3))
    return _place(parts, gaps)


def _wail(rng):
    """Moans, cries, whines, howls: long voiced sounds on one vowel."""
    parts, gaps = [], []
    tract, base = rng.integers(1 << 30), np.exp(rng.uniform(np.log(150), np.log(900)))
    for _ in range(rng.integers(1, 5)):
        n = _seconds(rng, 0.25, 1.8)
        shape = np.interp(
            np.linspace(0, 1, n),
            [0, rng.uniform(0.1, 0.5), 1],
            [rng.uniform(0.6, 1), 1, rng.uniform(0.5, 1)],
        )
        vibrato = 1.0 + rng.uniform(0, 0.04) * np.sin(
            2 * np.pi * rng.uniform(4, 9) * np.arange(n) / RATE
        )
        source = _pulses(rng, base * shape * vibrato, rng.uniform(0, 0.5))
        source = source + _noise(rng, n) * rng.uniform(0, 0.1)
        formed = _formants(np.random.default_rng(tract), source, 1.0 + (base > 350) * 0.3)
        parts.append(formed * _arch(n, rng.uniform(0.05, 0.4), rng.uniform(0.1, 0.5)))
        gaps.append(_seconds(rng, 0.1, 0.8))
    return _place(parts, gaps)


def _sip(rng):
    parts, gaps = [], []
    for _ in range(rng.integers(2, 10)):
        n = _seconds(rng, 0.02, 0.3)
        t = np.arange(n) / RATE
        if rng.random() < 0.6:  # a bubble or gulp: a short rising resonance
            hz = rng.uniform(250, 1500) * (1.0 + rng.uniform(-0.5, 3.0) * t)
            part = np.sin(2 * np.pi * np.cumsum(hz) / RATE) * np.exp(-t / rng.uniform(0.005, 0.05))
        else:
            part = _noise(rng, n, rng.uniform(500, 3000), 8000) * _arch(n, 0.3, 0.5)
            part *= 1.0 + 0.8 * np.sin(2 * np.pi * rng.uniform(15, 60) * t)
        parts.append(part * rng.uniform(0.2, 1.0))
        gaps.append(_seconds(rng, 0.01, 0.4))
    return _place(parts, gaps)


def _rub(rng):
    """Brushing, scratching, wiping: noise that comes and goes a few times a second."""
    n = _seconds(rng, 1.5, 4.0)
    t = np.arange(n) / RATE
    rate = rng.uniform(1.5, 9.0)
    stroke = np.abs(np.sin(np.pi * np.cumsum(rate * (1 + 0.1 * rng.standard_normal(n))) / RATE))
    return (
        _noise(rng, n, rng.uniform(200, 3500), rng.uniform(3500, 8000))
        * stroke ** rng.uniform(0.5, 3.0)
        * (1.0 + 0.3 * np.sin(2 * np.pi * 0.5 * t))
    )


def _clap(rng):
    n = _seconds(rng, 1.0, 4.0)
    out = np.zeros(n + RATE // 2)
    crowd = rng.random() < 0.4
    rate = rng.uniform(15, 150) if crowd else rng.uniform(1.5, 6.0)
    when = 0.0
    while when < n:
        length = _seconds(rng, 0.02, 0.12)
        t = np.arange(length) / RATE
        centre = rng.uniform(600, 3000)
        clap = _noise(rng, length, centre * 0.6, centre * 2.2) * np.exp(
            -t / rng.uniform(0.003, 0.02)
        )
        out[int(when) : int(when) + length] += clap * rng.uniform(0.4, 1.0)
        when += RATE / rate * (rng.exponential() if crowd else rng.uniform(0.9, 1.1))
    return out


def _tone(rng):
    """Beeps, squeaks, creaks, whistles, horns: harmonic sounds without a vocal tract."""
    parts, gaps = [], []
    base = np.exp(rng.uniform(np.log(90), np.log(3500)))
    n_harmonics = rng.integers(1, 12)
    weights = rng.uniform(0, 1, n_harmonics) / np.arange(1, n_harmonics + 1) ** rng.uniform(0, 2)
    glide = rng.uniform(-0.8, 0.8) if rng.random() < 0.4 else 0.0
    for _ in range(rng.integers(1, 8)):
        n = _seconds(rng, 0.03, 0.9)
        if rng.random() < 0.5:
            base *= 2.0 ** (rng.integers(-7, 8) / 12.0)
        base = min(max(base, 80.0), 4000.0)
        t = np.arange(n) / RATE
        hz = (
            base
            * 2.0 ** (glide * t / t[-1])
            * (1 + rng.uniform(0, 0.02) * np.sin(2 * np.pi * rng.uniform(3, 30) * t))
        )
        phase = 2 * np.pi * np.cumsum(hz) / RATE
        part = sum(
            w * np.sin((k + 1) * phase + 6.28 * rng.random()) * ((k + 1) * hz < 7800)
            for k, w in enumerate(weights)
        )
        envelope = _arch(n, rng.uniform(0.005, 0.3), rng.uniform(0.05, 0.5))
        if rng.random() < 0.5:
            envelope = envelope * np.exp(-t / rng.uniform(0.03, 0.5))
        parts.append(part * envelope)
        gaps.append(_seconds(rng, 0.0, 0.5))
    return _place(parts, gaps)


def _knock(rng):
    """Knocks, taps, clicks, drops: damped modes excited by a short burst."""
    parts, gaps = [], []
    modes = np.exp(rng.uniform(np.log(80), np.log(6000), rng.integers(1, 6)))
    tau = np.exp(rng.uniform(np.log(0.003), np.log(0.15), len(modes)))
    for _ in range(rng.integers(1, 9)):
        n = _seconds(rng, 0.1, 0.5)
        t = np.arange(n) / RATE
        part = sum(
            rng.uniform(0.2, 1) * np.sin(2 * np.pi * hz * t + 6.28 * rng.random()) * np.exp(-t / s)
            for hz, s in zip(modes, tau, strict=True)
        )
        part = part + _noise(rng, n) * np.exp(-t / rng.uniform(0.001, 0.01)) * rng.uniform(0, 2)
        parts.append(part * rng.uniform(0.3, 1.0))
        gaps.append(_seconds(rng, 0.0, 0.8))
    return _place(parts, gaps)


HUMAN = {
    "laugh": (_laugh, 5), "cough": (_cough, 4), "sneeze": (_sneeze, 1), "breath": (_breath, 3),
    "sniff": (_sniff, 1), "snore": (_snore, 2), "throat": (_throat, 2), "wail": (_wail, 2),
    "sip": (_sip, 2),
}  # fmt: skip
"""Human non-speech: name -> (maker, how many in a round)."""

OTHER = {"rub": (_rub, 2), "clap": (_clap, 2), "tone": (_tone, 4), "knock": (_knock, 2)}
"""Other synthetic sounds."""


def synthetic_clips(seed, rounds=20):
    """Make a bank of clips.

    Parameters
    ----------
    seed : int
    rounds : int
        Times that every kind is made as often as its table says; 32 clips a round.

    Returns
    -------
    list of (kind, cls, samples)
        ``human_nonspeech`` or ``noise``; name; float32 with a peak of 0.5.
    """
    rng = np.random.default_rng([seed, 7])
    clips = []
    for kind, table in (("human_nonspeech", HUMAN), ("noise", OTHER)):
        for name, (make, count) in table.items():
            for _ in range(count * rounds):
                samples = make(rng)
                peak = np.max(np.abs(samples)) + 1e-9
                clips.append((kind, f"synthetic {name}", (0.5 / peak * samples).astype(np.float32)))
    return clips
