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


def test_many_stretches_at_once_are_those_one_by_one():
    rng = np.random.default_rng(1)
    lengths = rng.choice([1, 16, 17, 441, 480], 200).tolist()
    targets = rng.choice([0.0, 0.1, 1.0], 200).tolist()
    seconds = rng.uniform(0.0005, 0.3, 200).tolist()
    each, many = Envelope(48000, 480, 0.1), Envelope(48000, 480, 0.1)
    want, before = [], []
    for n, target, time_constant_s in zip(lengths, targets, seconds, strict=True):
        before.append(each.gain)
        want.append(curve(each, n, target, time_constant_s))
    out = np.empty(sum(lengths), np.float32)
    # Powers as products of two: some units in the last place of float64, one of float32.
    np.testing.assert_allclose(
        many.process_many(out, lengths, targets, seconds), before, atol=1e-12
    )
    np.testing.assert_allclose(out, np.concatenate(want), atol=1e-7)
    assert many.gain == pytest.approx(each.gain, abs=1e-12)
