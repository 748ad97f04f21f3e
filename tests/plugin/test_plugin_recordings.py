"""The plugin's core against the Python engine on recordings that are not in the project."""

import csv

import numpy as np
import pytest
import soundfile
from plugin_build import ROOT
from plugin_compare import GAIN_TOLERANCE_DB, compare
from scipy import signal

from gate.settings import GateSettings

FOLDER = ROOT.parent / "shared" / "data" / "voice"
RATES = (44100, 48000, 96000)
SECONDS = 6.0


def _recordings():
    """Paths of 14 speech and 10 noise recordings of the dev split, spread over it."""
    with open(FOLDER / "MANIFEST.csv", newline="") as table:
        rows = [r for r in csv.DictReader(table) if r["split"] == "dev"]
    chosen = []
    for kind, count in (("speech", 14), ("noise", 10)):
        found = [r["file"] for r in rows if r["kind"] == kind and float(r["sec"]) >= 3.0]
        chosen.append([found[i] for i in np.linspace(0, len(found) - 1, count).astype(int)])
    return chosen


def _read(path, sample_rate):
    samples, rate = soundfile.read(FOLDER / path, dtype="float32", always_2d=True)
    mono = samples[: int(SECONDS * rate), 0]
    divisor = np.gcd(sample_rate, rate)
    return signal.resample_poly(mono, sample_rate // divisor, rate // divisor).astype(np.float32)


def test_decisions_and_gains_on_recordings(core, detector):
    if not (FOLDER / "MANIFEST.csv").is_file():
        pytest.skip("the recordings of shared/data/voice are not there")
    speech, noise = _recordings()
    same, worst, opened = [], 0.0, 0
    for index, path in enumerate(speech * 2):
        sample_rate = RATES[index % len(RATES)]
        audio = _read(path, sample_rate)
        if index >= len(speech):  # the second time with noise in it
            bed = np.resize(_read(noise[index % len(noise)], sample_rate), len(audio))
            audio = 0.5 * audio + 0.5 * bed
        settings = GateSettings(threshold_db=(-60.0, -45.0, -35.0)[index % 3])
        found = compare(core, detector, settings, audio[:, None], sample_rate, seed=index)
        same.append(found.same)
        worst = max(worst, found.gain_db)
        opened += found.n_open
    same = np.concatenate(same)
    print(
        f"{len(speech) * 2} runs, {len(same)} hops, open {opened}, decisions equal "
        f"{same.mean():.4%}, gain within {worst:.2g} dB"
    )
    assert 0.02 < opened / len(same) < 0.98
    assert same.mean() >= 0.9999
    assert worst < GAIN_TOLERANCE_DB
