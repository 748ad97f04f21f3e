"""One sound gated by another: music goes down by 12 dB while somebody speaks."""

import numpy as np
import soundfile

from gate.settings import GateSettings
from realtime import open_gate
from realtime.models import sample_path

voice, sample_rate = soundfile.read(sample_path(), dtype="float32", always_2d=True)
t = np.arange(len(voice)) / sample_rate
music = (0.1 * np.sin(2 * np.pi * 220 * t)).astype(np.float32)[:, None]

gate = open_gate(GateSettings(mode="duck", range_db=-12, threshold_db=-50), sample_rate=sample_rate)
ducked = gate.process_many(music, voice)  # the second sound is the key input
soundfile.write("ducked.wav", ducked + voice[:, :1], sample_rate)
down = np.mean(np.abs(ducked) < 0.5 * np.abs(music))
print(f"ducked.wav: music turned down {down:.0%} of the time")
