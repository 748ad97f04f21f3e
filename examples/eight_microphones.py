"""Eight microphones, a decision each: only the one that is spoken into opens."""

import numpy as np
import soundfile

from gate.settings import GateSettings
from realtime import open_gate
from realtime.models import sample_path

voice, sample_rate = soundfile.read(sample_path(), dtype="float32")
rng = np.random.default_rng(0)
microphones = 1e-4 * rng.standard_normal((len(voice), 8)).astype(np.float32)
microphones[:, 2] += voice

gate = open_gate(
    GateSettings(stereo_link="independent", threshold_db=-50), sample_rate=sample_rate, channels=8
)
opened = [0] * 8


def look(lane, meters):
    """Called after every decision of every channel."""
    opened[lane] += meters.open


gate.on_hop = look
gate.process_many(microphones)
print("seconds open:", " ".join(f"{hops / 100:.1f}" for hops in opened))
