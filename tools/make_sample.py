"""Makes `models/sample/talk.flac`: a short talk over keyboard noise, with pauses.

The voice is spoken by flite (Debian package ``flite``, voice ``rms``), the room and the keyboard
are synthesised below; nothing is recorded, so nobody's rights are touched. Run from the top of
the repository::

    python tools/make_sample.py models/sample/talk.flac
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import butter, resample_poly, sosfilt

SAMPLE_RATE = 24000
SENTENCES = (
    ("This is a gate that listens for a voice.", 1.6),
    ("It stays shut while I type,", 2.0),
    ("and it opens again when I speak, even softly.", 1.4),
    ("Classic gates open on every click.", 1.5),
)
GAINS_DB = (0.0, -3.0, -10.0, -2.0)


def speak(text, folder):
    """A sentence, mono float64 at SAMPLE_RATE, scaled to -22 dBFS RMS."""
    path = Path(folder) / "say.wav"
    subprocess.run(["flite", "-voice", "rms", "-t", text, "-o", str(path)], check=True)
    voice, rate = soundfile.read(path)
    voice = resample_poly(voice, SAMPLE_RATE, rate)
    loud = np.abs(voice) > 0.02
    first, last = np.flatnonzero(loud)[[0, -1]]
    voice = voice[max(0, first - 1200) : last + 2400]
    return voice * 10 ** (-22 / 20) / np.sqrt(np.mean(voice[np.abs(voice) > 0.02] ** 2))


def key_press(rng):
    """The sound of one key: down, bottom, up."""
    out = np.zeros(int(0.16 * SAMPLE_RATE))
    for at, gain in ((0.0, 0.5), (rng.uniform(0.008, 0.015), 1.0), (rng.uniform(0.07, 0.1), 0.45)):
        time = np.arange(int(0.04 * SAMPLE_RATE)) / SAMPLE_RATE
        hit = rng.normal(size=time.size) * np.exp(-time / 0.0025)
        for _ in range(4):
            pitch = rng.uniform(1200, 7000)
            hit += (
                0.7
                * np.sin(2 * np.pi * pitch * time + rng.uniform(0, 6))
                * np.exp(-time / rng.uniform(0.003, 0.009))
            )
        thump = np.sin(2 * np.pi * rng.uniform(140, 240) * time) * np.exp(-time / 0.012)
        start = int(at * SAMPLE_RATE)
        out[start : start + time.size] += gain * (hit + 1.2 * thump)
    return out / np.max(np.abs(out))


def make_talk(seed=7):
    """The recording, mono float64."""
    rng = np.random.default_rng(seed)
    parts, typing, at = [np.zeros(int(1.2 * SAMPLE_RATE))], [(0.25, 1.1)], 1.2
    with tempfile.TemporaryDirectory() as folder:
        for (text, pause), gain_db in zip(SENTENCES, GAINS_DB, strict=True):
            voice = speak(text, folder) * 10 ** (gain_db / 20)
            parts += [voice, np.zeros(int(pause * SAMPLE_RATE))]
            at += len(voice) / SAMPLE_RATE
            typing.append((at + 0.25, at + pause - 0.15))
            at += pause
    talk = np.concatenate(parts)
    typing.append((3.0, 3.6))  # some keys under the voice, too
    for start, end in typing:
        while start < end:
            press = key_press(rng) * 10 ** (rng.uniform(-20, -12) / 20)
            here = int(start * SAMPLE_RATE)
            talk[here : here + len(press)] += press[: len(talk) - here]
            start += rng.uniform(0.09, 0.22)
    fan = sosfilt(butter(2, [90, 900], "band", fs=SAMPLE_RATE, output="sos"),
                  rng.normal(size=len(talk)))  # fmt: skip
    hiss = rng.normal(size=len(talk))
    talk += 10 ** (-56 / 20) * fan / np.std(fan) + 10 ** (-68 / 20) * hiss
    return talk


if __name__ == "__main__":
    # Most of the last pause is left out: it would be 30 kB of every download.
    talk = np.clip(make_talk()[: round(16.8 * SAMPLE_RATE)], -1, 1)
    soundfile.write(sys.argv[1], talk, SAMPLE_RATE, subtype="PCM_16", compression_level=1.0)
