"""A gate taught by example: opens on the snare, stays shut on the hi-hat."""

import soundfile

from realtime import open_gate
from realtime.engine import open_detector
from realtime.learn.examples import OPEN, SHUT, from_samples
from realtime.learn.profile import save_profile
from realtime.learn.remarks import TeachingNotes
from realtime.learn.teach import teach
from realtime.models import MODELS

examples = []
for name, label in (("snare", OPEN), ("hihat", SHUT)):
    samples, sample_rate = soundfile.read(MODELS / "sample" / f"{name}.ogg", dtype="float32")
    examples.append(from_samples(samples, sample_rate, label, name))

detector = open_detector("voice")
lesson = teach(examples, detector, TeachingNotes(), "snare")
save_profile(lesson.profile, "snare.gate.yaml")

beat, sample_rate = soundfile.read(MODELS / "sample" / "beat.ogg", dtype="float32", always_2d=True)
gate = open_gate(sample_rate=sample_rate, profile="snare.gate.yaml")
gate.process_many(beat)
print(f"snare.gate.yaml: opened {gate.counters.opens} times in {len(beat) / sample_rate:.0f} s")
