"""Synthetic animals, machines, alarms, water, tools: sounds that must not open the gate.

The corpus has few classes of such sounds, and a gate meets all of them. What makes them unlike
speech is their timing and what shapes them, so each is made from the parts of the real thing: a
source, a resonator, an envelope, a rhythm, all drawn widely. They are sketches: the point is
that no single cue (a pitch, a formant, a beat) means speech.
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
    resonators,
    seconds,
    swell,
    times,
)  # fmt: skip


def _rub(rng):
    """Brushing, scratching, wiping: noise that comes and goes a few times a second."""
    n = seconds(rng, 1.5, 4.0)
    t = times(n)
    rate = rng.uniform(1.5, 9.0)
    stroke = np.abs(np.sin(np.pi * np.cumsum(rate * (1 + 0.1 * rng.standard_normal(n))) / RATE))
    return (
        noise_band(rng, n, rng.uniform(200, 3500), rng.uniform(3500, 8000))
        * stroke ** rng.uniform(0.5, 3.0)
        * (1.0 + 0.3 * np.sin(2 * np.pi * 0.5 * t))
    )


def _clap(rng):
    n = seconds(rng, 1.0, 4.0)
    out = np.zeros(n + RATE // 2)
    crowd = rng.random() < 0.4
    rate = rng.uniform(15, 150) if crowd else rng.uniform(1.5, 6.0)
    when = 0.0
    while when < n:
        length = seconds(rng, 0.02, 0.12)
        t = times(length)
        centre = rng.uniform(600, 3000)
        clap = noise_band(rng, length, centre * 0.6, centre * 2.2) * np.exp(
            -t / rng.uniform(0.003, 0.02)
        )
        out[int(when) : int(when) + length] += clap * rng.uniform(0.4, 1.0)
        when += RATE / rate * (rng.exponential() if crowd else rng.uniform(0.9, 1.1))
    return out


def _tone(rng):
    """Beeps, squeaks, creaks, whistles, horns: harmonic sounds without a vocal tract."""
    base = log_uniform(rng, 90, 3500)
    n_harmonics = rng.integers(1, 12)
    weights = rng.uniform(0, 1, n_harmonics) / np.arange(1, n_harmonics + 1) ** rng.uniform(0, 2)
    glide = rng.uniform(-0.8, 0.8) if rng.random() < 0.4 else 0.0
    for _ in range(rng.integers(1, 8)):
        n = seconds(rng, 0.03, 0.9)
        if rng.random() < 0.5:
            base *= 2.0 ** (rng.integers(-7, 8) / 12.0)
        base = min(max(base, 80.0), 4000.0)
        t = times(n)
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
        envelope = swell(rng, n, (0.005, 0.3), (0.05, 0.5))
        if rng.random() < 0.5:
            envelope = envelope * np.exp(-t / rng.uniform(0.03, 0.5))
        yield from (part * envelope, pause(rng, 0.0, 0.5))


def _knock(rng):
    """Knocks, taps, clicks, drops: damped modes excited by a short burst."""
    modes = log_uniform(rng, 80, 6000, rng.integers(1, 6))
    tau = np.exp(rng.uniform(np.log(0.003), np.log(0.15), len(modes)))
    for _ in range(rng.integers(1, 9)):
        n = seconds(rng, 0.1, 0.5)
        t = times(n)
        part = sum(
            rng.uniform(0.2, 1) * np.sin(2 * np.pi * hz * t + 6.28 * rng.random()) * np.exp(-t / s)
            for hz, s in zip(modes, tau, strict=True)
        )
        part = part + noise_band(rng, n) * np.exp(-t / rng.uniform(0.001, 0.01)) * rng.uniform(0, 2)
        yield from (part * rng.uniform(0.3, 1.0), pause(rng, 0.0, 0.8))


def _contour(rng, n, *points):
    """Piecewise curve over `n` samples through random values, one (low, high) a point."""
    at = np.linspace(0.0, 1.0, len(points))
    at[1:-1] += rng.uniform(-0.4, 0.4, len(points) - 2) / len(points)
    return np.interp(np.linspace(0.0, 1.0, n), at, [rng.uniform(*p) for p in points])


def _resonate(samples, centres_hz, widths_hz, gains):
    """Through resonators side by side."""
    return sum(resonators(samples, centres_hz, widths_hz, gains, 7600.0), np.zeros(len(samples)))


def _call(length_s, pitch_hz, shape, rough, shift, breath, count, gap_s):
    """Makes calls of one animal: pulses of a gliding pitch through a throat of another size."""

    def make(rng):
        tract, base = rng.integers(1 << 30), log_uniform(rng, *pitch_hz)
        roughness, size, air = rng.uniform(*rough), rng.uniform(*shift), rng.uniform(*breath)
        tremor_hz, tremor = rng.uniform(4, 40), rng.uniform(0, 0.12) * (rng.random() < 0.5)
        parts = []
        for _ in range(rng.integers(*count)):
            n = seconds(rng, *length_s)
            wave = 2 * np.pi * tremor_hz * times(n)
            f0 = base * _contour(rng, n, *shape) * (1.0 + tremor * np.sin(wave))
            source = pulses(rng, np.clip(f0, 20.0, 3000.0), roughness)
            source = source * (1.0 + 4.0 * tremor * np.sin(wave + 1.0))
            source = source + air * noise_band(rng, n, 200, 7000)
            formed = formants(np.random.default_rng(tract), source, size)
            formed = formed * swell(rng, n, (0.03, 0.3), (0.15, 0.6))
            parts.append(formed * rng.uniform(0.5, 1.0))
        return np.concatenate([p for part in parts for p in (part, pause(rng, *gap_s))])

    return make


# Length, pitch, its course, roughness, size of the throat, breath; how many calls, and pauses.
_bark = _call((0.07, 0.3), (150, 1100), ((0.7, 1.0), (0.9, 1.2), (0.4, 0.8)), (0.3, 1.2),
              (0.6, 1.8), (0.05, 1.0), (1, 8), (0.08, 0.9))  # fmt: skip
_meow = _call((0.3, 1.3), (300, 1000), ((0.5, 0.8), (0.9, 1.2), (0.5, 0.9)), (0.0, 0.3),
              (1.2, 2.2), (0.0, 0.2), (1, 4), (0.2, 1.5))  # fmt: skip
_bleat = _call((0.4, 1.6), (120, 600), ((0.8, 1.1), (0.9, 1.1), (0.7, 1.0)), (0.2, 1.0),
               (0.6, 1.3), (0.05, 0.5), (1, 4), (0.2, 1.5))  # fmt: skip
# Cows, pigs, growls: low, long or grunted, rough.
_low_call = _call((0.1, 2.2), (30, 260), ((0.6, 1.0), (0.8, 1.3), (0.5, 1.0)), (0.2, 1.2),
                  (0.4, 0.9), (0.05, 1.5), (1, 5), (0.1, 1.2))  # fmt: skip
# Crows, hens, ducks, parrots: short, harsh, in series.
_caw = _call((0.05, 0.5), (180, 900), ((0.8, 1.0), (0.9, 1.3), (0.6, 1.0)), (0.4, 1.5),
             (1.0, 2.2), (0.1, 0.8), (2, 10), (0.03, 0.7))  # fmt: skip
# Roosters, howls, whinnies: several notes in one breath.
_crow_song = _call((0.8, 2.4), (250, 900), ((0.4, 0.7), (0.8, 1.3), (0.5, 1.4), (0.8, 1.6),
                   (0.3, 0.9)), (0.0, 0.6), (1.0, 2.0), (0.0, 0.3), (1, 3),
                   (0.5, 1.5))  # fmt: skip


def _chirp(rng):
    """Birds: tones that glide, alone, in trills and in phrases."""
    phrase = [
        (rng.uniform(0.02, 0.25), log_uniform(rng, 1200, 6500), rng.uniform(-1, 1))
        for _ in range(rng.integers(1, 5))
    ]
    warble_hz, warble = rng.uniform(10, 60), rng.uniform(0, 0.06) * (rng.random() < 0.5)
    for k in range(rng.integers(2, 25)):
        length, base, glide = phrase[k % len(phrase)]
        n = int(length * RATE * rng.uniform(0.9, 1.1))
        t = times(n)
        hz = base * 2.0 ** (glide * t / t[-1]) * (1 + warble * np.sin(2 * np.pi * warble_hz * t))
        phase = 2 * np.pi * np.cumsum(np.minimum(hz, 7600)) / RATE
        part = np.sin(phase) + rng.uniform(0, 0.3) * np.sin(2 * phase) * (2 * base < 7000)
        yield from (
            part * arch(n, 0.2, 0.4),
            pause(rng, 0.005, 0.05 if rng.random() < 0.7 else 0.8),
        )


def _insect(rng):
    """Crickets, cicadas, bees: a high band in fast pulses, or a buzz."""
    n = seconds(rng, 1.5, 4.0)
    t = times(n)
    if rng.random() < 0.3:
        hz = rng.uniform(90, 450) * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(0.1, 2) * t))
        return pulses(rng, hz, 0.2) * (0.3 + 0.7 * _contour(rng, n, (0, 1), (0, 1), (0, 1)))
    centre = rng.uniform(2000, 7000)
    carrier = noise_band(rng, n, centre * 0.95, centre * 1.05) + np.sin(2 * np.pi * centre * t)
    pulse = np.clip(np.sin(2 * np.pi * rng.uniform(12, 120) * t), 0, None) ** rng.uniform(0.5, 3)
    song = np.clip(np.sin(2 * np.pi * rng.uniform(0.4, 5) * t) + rng.uniform(-0.5, 1.0), 0, 1)
    return carrier * pulse * song


def _frog(rng):
    """Croaks, ratchets, door creaks: a stick-slip train through a few resonances."""
    centres = log_uniform(rng, 200, 4500, rng.integers(1, 5))
    widths, gains = rng.uniform(30, 300, len(centres)), rng.uniform(0.2, 1, len(centres))
    rate, rough = log_uniform(rng, 8, 300), rng.uniform(0.1, 1.0)
    for _ in range(rng.integers(1, 7)):
        n = seconds(rng, 0.1, 1.2)
        f0 = rate * _contour(rng, n, (0.5, 1.5), (0.5, 1.5), (0.5, 1.5))
        beat = np.diff(np.floor(np.cumsum(f0 / RATE)), prepend=0.0)
        source = beat * (1.0 + rough * rng.standard_normal(n)) + 0.002 * rng.standard_normal(n)
        bend = rng.uniform(0.8, 1.25)
        yield from (
            _resonate(source, centres * bend, widths, gains) * arch(n, 0.1, 0.3),
            pause(rng, 0.02, 0.8),
        )


def _engine(rng):
    """Motors, saws, drills, propellers: a pulse train whose speed wanders, and its noise."""
    n = seconds(rng, 2.0, 4.0)
    speed = log_uniform(rng, 12, 260)
    f0 = speed * _contour(rng, n, (0.6, 1.4), (0.6, 1.4), (0.6, 1.4), (0.6, 1.4))
    source = pulses(rng, f0, rng.uniform(0.0, 0.8))
    hiss = noise_band(rng, n, rng.uniform(50, 1500), rng.uniform(1500, 8000))
    if rng.random() < 0.5:  # the noise beats with the engine
        hiss = hiss * (1 + 0.9 * np.sin(2 * np.pi * np.cumsum(f0 * rng.uniform(0.25, 1)) / RATE))
    centres = log_uniform(rng, 100, 5000, 4)
    body = _resonate(source, centres, rng.uniform(50, 600, 4), rng.uniform(0.1, 1, 4))
    return body + 0.3 * source + hiss * log_uniform(rng, 0.01, 1.0)


def _alarm(rng):
    """Sirens, horns, clock and smoke alarms, telephones."""
    n = seconds(rng, 1.5, 4.0)
    t = times(n)
    base, depth = log_uniform(rng, 250, 3200), rng.uniform(0, 0.8)
    sweep = np.sin(2 * np.pi * log_uniform(rng, 0.1, 12) * t)
    sweep = np.sign(sweep) if rng.random() < 0.4 else sweep
    phase = 2 * np.pi * np.cumsum(base * 2.0 ** (depth * sweep)) / RATE
    count = rng.integers(1, 9)
    tone = sum(rng.uniform(0, 1) / k * np.sin(k * phase) * (k * base < 5000)
               for k in range(1, count + 1))  # fmt: skip
    duty, rate = rng.uniform(0.2, 0.9), log_uniform(rng, 0.5, 14)
    on = ((t * rate) % 1.0 < duty) if rng.random() < 0.6 else np.ones(n)
    return tone * lfilter([0.02], [1, -0.98], on)


def _bell(rng):
    """Bells, glasses, plates, chimes: partials out of tune, long."""
    ratios = np.sort(rng.uniform(0.4, 7.0, rng.integers(3, 9)))
    base, length = log_uniform(rng, 150, 2500), log_uniform(rng, 0.1, 2.0)
    for _ in range(rng.integers(1, 9)):
        n = seconds(rng, 0.2, 1.5)
        t = times(n)
        partials = (
            rng.uniform(0.1, 1) * np.sin(2 * np.pi * base * r * t) * np.exp(-t * r / length)
            for r in ratios
            if base * r < 7600
        )
        yield from (sum(partials, np.zeros(n)), pause(rng, 0.0, 0.4))


def _water(rng):
    """Drops, pouring, boiling, streams: bubbles, few or very many, over a hiss."""
    n = seconds(rng, 1.5, 4.0)
    out = np.zeros(n + RATE)
    for when in rng.integers(0, n, int(log_uniform(rng, 2, 250) * n / RATE)):
        m = seconds(rng, 0.01, 0.09)
        t = times(m)
        hz = log_uniform(rng, 250, 4500) * (1.0 + rng.uniform(0, 8.0) * t)
        drop = np.sin(2 * np.pi * np.cumsum(hz) / RATE) * np.exp(-t / rng.uniform(0.003, 0.02))
        out[when : when + m] += drop * rng.uniform(0.1, 1.0) ** 2
    return out + noise_band(rng, len(out), 800, 7000) * log_uniform(rng, 0.001, 0.3)


def _crackle(rng):
    """Fire, rain on tin, paper, plastic, gravel, footsteps: impulses by chance through a body."""
    n = seconds(rng, 1.5, 4.0)
    source = (rng.random(n) < log_uniform(rng, 3, 1500) / RATE) * rng.exponential(1.0, n) ** 2
    if rng.random() < 0.6:  # in steps or strokes
        t = times(n)
        source = source * np.clip(np.sin(2 * np.pi * log_uniform(rng, 0.5, 6) * t), 0, None) ** 2
    centres = log_uniform(rng, 150, 7000, 4)
    return _resonate(source, centres, rng.uniform(100, 2500, 4), rng.uniform(0.2, 1, 4))


def _typing(rng):
    """Keyboards, mice, switches: a press and its release, each a click through the desk."""
    out = []
    centres = log_uniform(rng, 250, 7000, 5)
    widths, gains = rng.uniform(80, 900, 5), rng.uniform(0.1, 1, 5)
    pace, press = rng.uniform(0.06, 0.4), rng.uniform(0.03, 0.12)
    for _ in range(rng.integers(3, 25)):
        for strength in (1.0, rng.uniform(0.1, 0.8)):
            n = seconds(rng, 0.015, 0.06)
            burst = rng.standard_normal(n) * np.exp(-times(n) / rng.uniform(5e-4, 4e-3))
            bend = rng.uniform(0.85, 1.2)
            out.append(_resonate(burst, centres * bend, widths, gains) * strength)
            out.append(np.zeros(int(RATE * press * rng.uniform(0.5, 1))))
        out[-1] = np.zeros(int(RATE * pace * rng.exponential()))
    return np.concatenate(out)


def _wind(rng):
    """Wind, waves, vacuum cleaners, jets, sheets: noise whose band and level drift."""
    n = seconds(rng, 2.5, 4.0)
    parts = []
    for low, high in ((60, 400), (300, 1500), (1200, 4000), (3000, 7800)):
        swell = _contour(rng, n, *([(0.05, 1.0)] * rng.integers(2, 9)))
        parts.append(noise_band(rng, n, low, high) * swell**2 * log_uniform(rng, 0.05, 1.0))
    return np.sum(parts, axis=0)


def _melody(rng):
    """Instruments with a body: notes of a scale through fixed or sweeping formants."""
    base, beat = log_uniform(rng, 60, 600), rng.uniform(0.09, 0.5)
    scale = (0, 2, 4, 5, 7, 9, 11, 12) if rng.random() < 0.5 else (0, 3, 5, 7, 10, 12, 15, 17)
    attack, decay, tract = rng.uniform(0.01, 0.3), rng.uniform(0.05, 1.0), rng.integers(1 << 30)
    sweeping = rng.random() < 0.3
    for _ in range(rng.integers(3, 14)):
        n = int(RATE * beat * rng.choice([0.5, 1.0, 1.0, 2.0]))
        hz = base * 2.0 ** (scale[rng.integers(len(scale))] / 12.0)
        t = times(n)
        phase = (np.cumsum(np.full(n, hz) * (1 + 0.005 * np.sin(2 * np.pi * 5.5 * t))) / RATE) % 1
        wave = (2 * phase - 1) if rng.random() < 0.6 else np.sign(phase - rng.uniform(0.2, 0.5))
        wave = formants(rng if sweeping else np.random.default_rng(tract), wave)
        yield wave * arch(n, attack, 0.1) * np.exp(-t / decay)
        yield np.zeros(0 if rng.random() < 0.8 else int(RATE * beat))


OTHER = {
    "rub": (_rub, 2), "clap": (_clap, 2), "tone": (_tone, 3), "knock": (_knock, 2),
    "bark": (_bark, 2), "meow": (_meow, 1), "bleat": (_bleat, 1), "low call": (_low_call, 2),
    "caw": (_caw, 2), "crow": (_crow_song, 1), "chirp": (_chirp, 2), "insect": (_insect, 1),
    "frog": (_frog, 2), "engine": (_engine, 2), "alarm": (_alarm, 2), "bell": (_bell, 1),
    "water": (_water, 1), "crackle": (_crackle, 2), "typing": (_typing, 2), "wind": (_wind, 1),
    "melody": (_melody, 2),
}  # fmt: skip
"""Name -> (maker, how many in a round)."""
