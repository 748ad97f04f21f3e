"""A whole recording at once, with lookahead, the result aligned to the input."""

import numpy as np
import soundfile

from gate.settings import GateSettings
from realtime import open_gate
from realtime.models import sample_path

audio, sample_rate = soundfile.read(sample_path(), dtype="float32", always_2d=True)
gate = open_gate(
    GateSettings(threshold_db=-50, lookahead_ms=20),
    sample_rate=sample_rate,
    channels=audio.shape[1],
)
late = gate.latency_samples  # the lookahead: all that the gate ever delays
padded = np.concatenate([audio, np.zeros((late, audio.shape[1]), np.float32)])
gated = gate.process_many(padded)[late:]
print(f"{len(gated)} samples, {np.mean(gated == audio):.0%} of them bit for bit as they were")
