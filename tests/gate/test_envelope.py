import numpy as np
import pytest

from gate.envelope import Envelope


def curve(envelope, n, target, seconds):
    out = np.empty(n, np.float32)
    envelope.process(out, target, seconds)
    return out


@pytest.mark.parametrize("seconds", [0.0005, 0.005, 0.1])
@pytest.mark.parametrize("rate", [8000, 48000, 192000])
def test_covers_63_percent_in_one_time_constant(seconds, rate):
    n = round(seconds * rate)
    out = curve(Envelope(rate, n, 0.001), n, 1.0, seconds)
    assert out[-1] == pytest.approx(0.001 + 0.999 * (1 - np.exp(-1)), rel=1e-6)


def test_is_the_one_pole_recursion():
    envelope, gain = Envelope(48000, 1000, 0.0), 0.0
    out = np.concatenate([curve(envelope, 700, 1.0, 0.004), curve(envelope, 900, 0.1, 0.01)])
    want = []
    for n in range(1600):
        target, seconds = (1.0, 0.004) if n < 700 else (0.1, 0.01)
        gain = target + (gain - target) * np.exp(-1 / (seconds * 48000))
        want.append(gain)
    np.testing.assert_allclose(out, want, atol=1e-6)


def test_settles_and_resets():
    envelope = Envelope(48000, 48000, 0.25)
    assert curve(envelope, 48000, 1.0, 0.001)[-1] == 1.0
    assert np.all(curve(envelope, 10, 1.0, 0.001) == 1.0)
    envelope.reset()
    assert envelope.gain == 0.25
    envelope.process(np.empty(0, np.float32), 1.0, 0.1)
    assert envelope.gain == 0.25
