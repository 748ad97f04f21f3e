"""A microphone to the headphones. (`gate-live` does this, and survives what goes wrong.)"""

import sounddevice

from gate.settings import GateSettings
from realtime import open_gate

SAMPLE_RATE, BLOCK_SIZE = 48000, 100
gate = open_gate(GateSettings(threshold_db=-50), sample_rate=SAMPLE_RATE)


def callback(indata, outdata, frames, time, status):
    """Called for every block, in the audio thread."""
    gate.process(indata, out=outdata)


with sounddevice.Stream(
    samplerate=SAMPLE_RATE,
    blocksize=BLOCK_SIZE,
    channels=1,
    dtype="float32",
    latency="low",
    callback=callback,
):
    input("Enter ends it.\n")
print(gate.meters)
