"""Gates around fakes, for tests."""

import dataclasses

import numpy as np
from fakes import FakeDetector, ScriptedDetector

from gate.decision import EvidenceRule
from gate.processor import GateProcessor
from gate.settings import GateSettings


def gate(settings=None, rate=48000, channels=1, detector=None):
    return GateProcessor(
        settings, sample_rate=rate, channels=channels, detector=detector or FakeDetector()
    )


def in_blocks(processor, audio, sizes, key=None):
    """Process in blocks of the sizes, repeated."""
    out, at, turn = [], 0, 0
    while at < len(audio):
        end = at + sizes[turn % len(sizes)]
        more = () if key is None else (key[at:end],)
        out.append(processor.process(audio[at:end], *more).copy())
        at, turn = end, turn + 1
    return np.concatenate(out)


def gains(processor, audio, sizes=(100,)):
    """The gain curve: ones through the gate, with the audio as its key."""
    return in_blocks(processor, np.ones_like(audio), sizes, key=audio)


def play(path, sound, blocks=(100,), n_out=1):
    """What an `AudioPath` makes of a sound (n,) or (n, channels), as a device would hand it on."""
    sound = sound if sound.ndim == 2 else sound[:, None]
    heard, at, turn = np.full((len(sound), n_out), 9.0, np.float32), 0, 0
    while at < len(sound):
        end = at + blocks[turn % len(blocks)]
        path.process(np.ascontiguousarray(sound[at:end]), heard[at:end])
        at, turn = end, turn + 1
    return heard


class Believer(ScriptedDetector):
    """A scripted detector that is decided by evidence."""

    def __init__(self, script, rule):
        super().__init__(script)
        self.info = dataclasses.replace(self.info, decision={"speech": rule})


RULE = EvidenceRule(0.5, 3.0, 3.0)
WEAK = [0.05] * 20 + [0.6, 0.7] + [0.95] * 20 + [0.3] + [0.05] * 60
QUICK = GateSettings(attack_ms=0.05, release_ms=1.0)
