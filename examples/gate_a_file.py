"""The gate in a loop over blocks, as a device callback or a server would call it."""

import sys

import soundfile

from gate.settings import GateSettings
from realtime import open_gate
from realtime.models import sample_path

source = sys.argv[1] if len(sys.argv) > 1 else sample_path()
with soundfile.SoundFile(source) as file:
    gate = open_gate(
        GateSettings(threshold_db=-50), sample_rate=file.samplerate, channels=file.channels
    )
    with soundfile.SoundFile("gated.wav", "w", file.samplerate, file.channels) as out:
        for block in file.blocks(480, dtype="float32", always_2d=True):
            out.write(gate.process(block))
share = gate.counters.open_hops / gate.counters.hops
print(f"gated.wav: open {share:.0%} of the time, opened {gate.counters.opens} times")
