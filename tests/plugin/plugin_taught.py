"""A taught gate for the plugin's tests."""

import numpy as np

from gate.frontend import Frontend
from realtime.learn.head import HeadShape
from realtime.learn.profile import Profile

RATE = 48000


def taught_profile(detector, sound, key=None, rule=None):
    """A head with random weights whose score swings about zero on `sound` at `RATE`.

    Parameters
    ----------
    detector : OnnxDetector
    sound : ndarray, shape (n, 1)
    key : object, optional
        Anything but None: fixed key weights.
    rule : gate.decision.EvidenceRule, optional
        None: the classic rule, with a hold.
    """
    shape = HeadShape((0.05, 0.2))
    rng = np.random.default_rng(7)
    features = Frontend(RATE, detector.info.mel).process(sound[:, 0]).log_mel[:150]
    coefficients = 0.1 * rng.standard_normal(3 * 192)
    score = shape.inputs(features, detector.fork().process(features).embedding) @ coefficients
    return Profile(
        name="taught",
        detector=detector.info.name,
        detector_sha256=detector.info.sha256,
        shape=shape,
        coefficients=coefficients.astype(np.float32),
        bias=float(-np.median(score)),
        presence_threshold=0.55,
        presence_hysteresis=0.1,
        attack_ms=1.5,
        hold_ms=30.0,
        release_ms=40.0,
        rule=rule,
        key=None if key is None else np.linspace(0, 1, 64).astype(np.float32),
        suggested_threshold_db=-50.0,
        classic={"threshold_db": -20.0, "attack_ms": 9.0, "hold_ms": 9.0, "release_ms": 9.0},
        expected={"presence_threshold": 0.1, "bias": 3.0},
    )
