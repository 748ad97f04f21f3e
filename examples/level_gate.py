"""A classic gate: opens by level alone, with its own attack, hold and release."""

import numpy as np

from gate.settings import GateSettings
from realtime import open_gate

rng = np.random.default_rng(0)
loud = np.repeat([0.0, 1.0, 0.0], 24000)
sound = ((0.0005 + 0.1 * loud) * rng.standard_normal(72000)).astype(np.float32)

settings = GateSettings(threshold_db=-40, attack_ms=1, hold_ms=50, release_ms=100)
gate = open_gate(settings, sample_rate=48000, model=None)
gated = gate.process(sound)
for name, part in (("before", slice(0, 24000)), ("noise", slice(24000, 48000))):
    gain_db = 20 * np.log10(np.std(gated[part]) / np.std(sound[part]))
    print(f"{name}: {gain_db:.1f} dB")
