"""Writes golden.npz: gains of the Python engine on seeded sound, for the plugin to meet.

Run from the repository: ``python tests/plugin/plugin_golden.py``. No detector takes part (presence
threshold 0, pinned times, fixed keys), so that new weights leave the file as it is.
"""

import sys
from pathlib import Path

import numpy as np

from gate.detector import NoDetector
from gate.key import KeyBand
from gate.processor import GateProcessor
from gate.settings import GateSettings

sys.path.insert(0, str(Path(__file__).parent))
from plugin_signals import bursts

PATH = Path(__file__).with_name("golden.npz")
STEP = 37
"""Every so many samples one gain is kept."""


def _pinned(threshold_db, attack_ms, hold_ms, release_ms, key, **more):
    return GateSettings(
        threshold_db=threshold_db, attack_ms=attack_ms, hold_ms=hold_ms, release_ms=release_ms,
        key=key, presence_threshold=0.0, presence_hysteresis=0.0, **more,
    )  # fmt: skip


DUCK = {"mode": "duck", "hysteresis_db": 0, "range_db": -12}
CASES = {
    "off_48000": (48000, _pinned(-30, 2, 80, 60, "off")),
    "band_44100": (44100, _pinned(-35, 0.5, 0, 250, KeyBand(200.0, 3000.0), range_db=-24)),
    "duck_16000": (16000, _pinned(-28, 10, 33, 20, KeyBand(100.0, 1000.0), **DUCK)),
}


def engine_gains(sample_rate, settings):
    """Gain of every STEP-th sample."""
    sound = bursts(sample_rate, seconds=3.0, seed=5)
    gate = GateProcessor(settings, sample_rate=sample_rate, detector=NoDetector())
    return gate.process(np.ones_like(sound), sound)[::STEP, 0].astype(np.float32)


if __name__ == "__main__":
    np.savez_compressed(PATH, **{name: engine_gains(*case) for name, case in CASES.items()})
    print(f"{PATH.name}: {PATH.stat().st_size} bytes")
