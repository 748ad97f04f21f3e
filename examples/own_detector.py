"""A detector of one's own: here, is most of the sound above 2 kHz?"""

import numpy as np

from gate.detector import Detection, DetectorInfo
from gate.features import mel_centres_hz
from realtime import open_gate


class Bright:
    """Keeps to `gate.detector.Detector`; it has no state, so reset and fork are trivial."""

    info = DetectorInfo(name="bright", classes=("bright",), targets={"speech": ("bright",)})

    def process(self, features):
        """Presence, key, and attack, hold, release in seconds, of T hops."""
        power = np.exp(features)
        high = mel_centres_hz() > 2000
        share = power[:, high].sum(axis=1) / power.sum(axis=1)
        n = len(features)
        return Detection(
            embedding=np.zeros((n, 128), np.float32),
            presence=share[:, None].astype(np.float32),
            key=np.tile(high.astype(np.float32), (n, 1)),
            ballistics=np.tile(np.float32([0.002, 0.05, 0.05]), (n, 1)),
        )

    def reset(self):
        """Nothing to forget."""

    def fork(self):
        """Another one."""
        return Bright()


t = np.arange(48000) / 48000
for hz in (300, 5000):
    gate = open_gate(sample_rate=48000, model=Bright())
    gated = gate.process((0.1 * np.sin(2 * np.pi * hz * t)).astype(np.float32))
    print(f"{hz} Hz: {'passes' if np.abs(gated[24000:]).max() > 0.05 else 'is shut out'}")
