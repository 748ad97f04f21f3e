"""A voice corpus of tones and noise, small enough to make in a test."""

import csv

import numpy as np
import soundfile

FIELDS = ("split", "kind", "source", "file", "sec", "sr_src", "speaker", "cls", "lang", "licence",
          "vad_share", "vad_peak", "energy_share")  # fmt: skip


def words(rng, sample_rate=16000):
    """Two bursts with a long pause: 0.3..0.8 s and 1.2..1.6 s of 2 s."""
    t = np.arange(2 * sample_rate) / sample_rate
    active = ((t >= 0.3) & (t < 0.8)) | ((t >= 1.2) & (t < 1.6))
    tone = np.sin(2 * np.pi * rng.uniform(150, 300) * t) * active
    return (0.3 * tone + 1e-5 * rng.normal(size=len(t))).astype(np.float32)


def make_corpus(folder, splits=("dev",)):
    """A folder with its manifest."""
    rows = [row for split in splits for row in _make_split(folder, split)]
    with (folder / "MANIFEST.csv").open("w", newline="") as file:
        csv.writer(file).writerows([FIELDS, *rows])
    return folder


def _make_split(folder, split):
    """Two speakers, two noises, a music, and one recording with labels."""
    rng = np.random.default_rng(1)
    rows = []

    def add(kind, source, name, samples, sample_rate, speaker="", event="", unheard=0.0):
        path = folder / split / kind / source / f"{name}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, sample_rate)
        rows.append((split, kind, source, path.relative_to(folder).as_posix(),
                     len(samples) / sample_rate, sample_rate, speaker, event, "", "CC0", 0.5, 1.0,
                     0.5 + unheard))  # fmt: skip

    for speaker in ("a", "b"):
        for take in range(3):
            add("speech", "words", f"{speaker}{take}", words(rng), 16000, speaker)
    add("speech", "hum", "h0", words(rng), 16000, "h", unheard=0.4)
    hiss = 0.1 * rng.normal(size=5 * 16000).astype(np.float32)
    add("noise", "hiss", "n0", hiss, 16000, event="hiss")
    add("noise", "hiss", "n1", hiss[::-1].copy(), 16000, event="door")
    add("noise", "people", "n2", hiss, 16000, event="Person sneeze")
    add("noise", "people", "n3", hiss, 16000, event="cafe")
    t = np.arange(3 * 22050) / 22050
    add("music", "band", "m0", (0.2 * np.sin(2 * np.pi * 440 * t)).astype(np.float32), 22050,
        event="instrumental")  # fmt: skip
    labelled = folder / split / "labelled"
    labelled.mkdir()
    soundfile.write(labelled / "talk.wav", words(rng), 16000)
    (labelled / "LABELS.csv").write_text(
        "file,start_s,end_s,label\nlabelled/talk.wav,0.3,0.8,x\nlabelled/talk.wav,1.2,1.6,x\n"
    )
    return rows
