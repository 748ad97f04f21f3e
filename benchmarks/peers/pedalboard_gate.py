"""`pedalboard`'s NoiseGate (JUCE)."""

import importlib.metadata
from dataclasses import dataclass

from benchmarks.peers.base import Answer, System, gain_between

_FLOOR = 1e-3


@dataclass
class PedalboardGate(System):
    """Its gain is read off its output, which is in step with its input."""

    def run(self, hearing):
        """Process the whole recording in one call."""
        from pedalboard import NoiseGate

        gate = NoiseGate(threshold_db=-40.0, ratio=10.0, attack_ms=1.0, release_ms=100.0)
        after = gate(hearing.audio, hearing.sample_rate)
        return Answer(gain_between(hearing.audio, after, _FLOOR))


def systems():
    """Its defaults, with the threshold of the other level gates."""
    version = importlib.metadata.version("pedalboard")
    import pedalboard  # noqa: F401

    return [PedalboardGate("pedalboard", "NoiseGate, -40 dB, ratio 10, 1/100 ms", version=version)]
