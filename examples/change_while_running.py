"""Settings at any time: nothing clicks and nothing is reset."""

from dataclasses import replace

import numpy as np

from gate.settings import GateSettings
from realtime import open_gate

gate = open_gate(GateSettings(threshold_db=-50), sample_rate=48000, model=None)  # by level
noise = 0.01 * np.random.default_rng(0).standard_normal((480, 1)).astype(np.float32)
for threshold_db in (-50, -40, -30):
    gate.settings = replace(gate.settings, threshold_db=threshold_db)
    for _ in range(10):
        gate.process(noise)
    meters = gate.meters
    print(f"{threshold_db} dBFS: gain {meters.gain_db:.1f} dB, because {meters.reason}")
