"""Makes the sounds of the README's lesson: `models/sample/{snare,hihat,beat}.ogg`.

A snare part, a hi-hat part and a beat of both with a bass drum, all synthesised here from noise
and sines, every stroke a little different. Run from the top of the repository::

    python tools/make_teaching_sample.py models/sample
"""

import sys
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import butter, sosfilt

SAMPLE_RATE = 24000
BPM = 96.0


def _decay(seconds, tau):
    return np.exp(-np.arange(int(seconds * SAMPLE_RATE)) / (tau * SAMPLE_RATE))


def _filtered(noise, kind, edges):
    return sosfilt(butter(2, edges, kind, fs=SAMPLE_RATE, output="sos"), noise)


def snare(rng):
    """One stroke: two skin modes and the wires."""
    tail = _decay(0.35, 1.0)
    time = np.arange(len(tail)) / SAMPLE_RATE
    pitch = rng.uniform(170, 200)
    skin = np.sin(2 * np.pi * pitch * time * (1 + 0.25 * np.exp(-time / 0.01)))
    skin += 0.6 * np.sin(2 * np.pi * 1.72 * pitch * time)
    wires = _filtered(rng.normal(size=len(tail)), "band", [900, 7500])
    tone = rng.uniform(0.04, 0.07)
    sound = 0.5 * skin * _decay(0.35, tone) + 0.55 * wires * _decay(0.35, rng.uniform(0.05, 0.09))
    return sound / np.max(np.abs(sound))


def hihat(rng):
    """One stroke, closed or half open."""
    tau = rng.uniform(0.015, 0.03) if rng.random() < 0.8 else rng.uniform(0.08, 0.14)
    n = int(0.4 * SAMPLE_RATE)
    time = np.arange(n) / SAMPLE_RATE
    metal = sum(
        np.sign(np.sin(2 * np.pi * f * rng.uniform(0.99, 1.01) * time))
        for f in (2053, 3077, 3713, 4111, 5399, 8351)
    )
    sound = _filtered(metal / 6 + 0.5 * rng.normal(size=n), "high", 6000) * _decay(0.4, tau)
    return sound / np.max(np.abs(sound))


def kick(rng):
    """One stroke of a bass drum."""
    time = np.arange(int(0.3 * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * (50 * time + 3.0 * (1 - np.exp(-time / 0.03)))
    sound = np.sin(phase) * np.exp(-time / 0.09) + 0.1 * rng.normal(size=len(time)) * np.exp(
        -time / 0.004
    )
    return sound / np.max(np.abs(sound))


def place(track, rng, make, beats, loud_db, spread_db=8.0):
    """Put strokes on beats, a few milliseconds early or late."""
    for beat in beats:
        at = int((beat * 60 / BPM + rng.normal(0, 0.004) + 0.2) * SAMPLE_RATE)
        stroke = make(rng) * 10 ** ((loud_db - rng.uniform(0, spread_db)) / 20)
        end = min(len(track), at + len(stroke))
        if 0 <= at < end:
            track[at:end] += stroke[: end - at]


def render(parts, n_beats, rng):
    """A track of (make, beats, level) parts with a faint hiss."""
    track = np.zeros(int((n_beats * 60 / BPM + 0.6) * SAMPLE_RATE))
    for make, beats, loud_db in parts:
        place(track, rng, make, beats, loud_db)
    track += 10 ** (-72 / 20) * rng.normal(size=len(track))
    return np.clip(track, -1, 1)


def snare_beats(n_beats):
    """Strokes on two and four, with ghost notes."""
    return [b for b in np.arange(0, n_beats, 0.25) if b % 2 == 1 or b % 4 in (2.75, 3.5)]


def make(folder, seed=11):
    """Write the three files."""
    rng = np.random.default_rng(seed)
    folder = Path(folder)
    hats = np.arange(0, 32, 0.5)
    kicks = [b for b in np.arange(0, 32, 0.5) if b % 4 in (0, 2.5)]
    tracks = {
        "snare": render([(snare, np.arange(0, 20, 0.75), -6)], 20, rng),
        "hihat": render(
            [(hihat, np.arange(0, 20, 0.5), -12), (kick, np.arange(0.25, 20, 1.5), -6)], 20, rng
        ),
        "beat": render(
            [(snare, snare_beats(16), -6), (hihat, hats[hats < 16], -14),
             (kick, [k for k in kicks if k < 16], -6)], 16, rng,
        ),
    }  # fmt: skip
    for name, track in tracks.items():
        soundfile.write(folder / f"{name}.ogg", track, SAMPLE_RATE, format="OGG", subtype="VORBIS")


if __name__ == "__main__":
    make(sys.argv[1])
