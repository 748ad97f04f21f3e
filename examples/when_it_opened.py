"""The decisions as times: the gate as a voice activity detector, 10 ms a decision."""

import soundfile

from realtime import open_gate
from realtime.models import sample_path

audio, sample_rate = soundfile.read(sample_path(), dtype="float32", always_2d=True)
gate = open_gate(sample_rate=sample_rate, channels=audio.shape[1])
opened_at = None


def look(lane, meters):
    """Called after every decision."""
    global opened_at
    if meters.open and opened_at is None:
        opened_at = meters.time_s
    elif not meters.open and opened_at is not None:
        print(f"{opened_at:6.2f} to {meters.time_s:6.2f} s")
        opened_at = None


gate.on_hop = look
gate.process_many(audio)
