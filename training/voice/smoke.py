"""A tiny synthetic corpus with the real one's manifest, for checks without any data."""

import csv
from pathlib import Path

import numpy as np

from training.voice.effects import OTHER
from training.voice.nonspeech import HUMAN
from training.voice.parts import RATE, whole

_COLUMNS = ("split", "kind", "source", "file", "sec", "sr_src", "speaker", "cls", "lang", "licence",
            "vad_peak")  # fmt: skip


def write_corpus(folder, seed=0):
    """Write WAV files and ``MANIFEST.csv`` to `folder`: wails stand for speech, rubs for noise."""
    import soundfile

    folder, rng = Path(folder), np.random.default_rng(seed)
    plan = [(split, "speech", "wail", f"speaker{k}") for split in ("train", "dev") for k in (0, 1)]
    plan += [("train", "noise", "rub", ""), ("train", "noise", "knock", "")]
    plan += [("train", "music", "tone", ""), ("train", "voice_cry", "wail", "")]
    plan += [("train", "voice_sung", "wail", ""), ("dev", "noise", "rub", "")]
    plan += [("dev", "music", "tone", ""), ("train", "noise", "clap", "")]
    table = {**HUMAN, **OTHER}
    rows = []
    for number, (split, kind, maker, speaker) in enumerate(plan):
        samples = np.concatenate(
            [np.zeros(RATE // 4), *(whole(table[maker][0](rng)) for _ in range(3))]
        )
        samples = 0.5 * samples / np.abs(samples).max() + 1e-4 * rng.standard_normal(len(samples))
        name = f"{split}/{kind}/{number:03d}.wav"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, samples, RATE)
        rows.append((split, kind, f"made_{maker}", name, f"{len(samples) / RATE:.2f}", RATE,
                     speaker, "" if kind == "speech" else maker, "", "synthetic", "1"))  # fmt: skip
    for split in ("train", "dev"):  # one room each
        path = folder / split / "ir" / "room.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        decay = rng.standard_normal(RATE // 4) * np.exp(-np.arange(RATE // 4) / (0.05 * RATE))
        decay[0] = 3.0
        soundfile.write(path, 0.2 * decay / np.abs(decay).max(), RATE)
    with (folder / "MANIFEST.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        writer.writerows(rows)
