import itertools

import numpy as np
import pytest

from gate.decimator import Decimator
from gate.features import LogMel
from gate.frontend import Frontend


def sound(rate, seconds=0.5, channels=None):
    shape = (int(rate * seconds),) if channels is None else (int(rate * seconds), channels)
    return (0.1 * np.random.default_rng(0).normal(size=shape)).astype(np.float32)


def stream(frontend, samples, size):
    """Hops by `push` and `take`, with where they ended."""
    found = []
    for begin in range(0, len(samples), size):
        part = samples[begin : begin + size]
        while len(part):
            n = min(len(part), frontend.needed)
            frontend.push(part[:n])
            part = part[n:]
            if frontend.needed == 0:
                end = frontend.position
                found.append((end, *(array.copy() for array in frontend.take())))
    return [np.array(column) for column in zip(*found, strict=True)]


@pytest.mark.parametrize("rate", [8000, 11025, 12345, 16000, 22050, 44100, 48000, 96000, 192000])
@pytest.mark.parametrize("channels", [None, 2])
def test_one_verb_gives_what_the_stream_gives(rate, channels):
    samples = sound(rate, channels=channels)
    want = stream(Frontend(rate), samples, 100)
    again = stream(Frontend(rate), samples, 977)
    for a, b in zip(want, again, strict=True):
        assert np.array_equal(a, b)
    frontend = Frontend(rate)
    cuts = [0, 3, 50, 3001, 3002, len(samples)]
    parts = [frontend.process(samples[a:b]) for a, b in itertools.pairwise(cuts)]
    got = [np.concatenate(column) for column in zip(*parts, strict=True)]
    assert np.array_equal(got[0], want[0])
    assert frontend.position == len(samples)
    np.testing.assert_allclose(got[1], want[1], atol=1e-6)
    np.testing.assert_allclose(got[2], want[2], atol=2e-4)  # the softest bands
    np.testing.assert_allclose(got[3], want[3], rtol=1e-3, atol=1e-9)


def test_it_is_decimator_limit_and_log_mel():
    samples = sound(48000)
    samples[1000:1010] = 1e6
    hops = Frontend(48000).process(samples)
    decimator = Decimator(48000)
    ends = decimator.hop_ends_within(len(samples))
    resampled = np.clip(decimator.process_many(samples[: ends[-1]]), -16.0, 16.0)
    log_mel, power = LogMel().process_many(resampled)
    assert np.array_equal(hops.ends, ends)
    assert np.array_equal(hops.samples.ravel(), resampled)
    assert np.array_equal(hops.log_mel, log_mel)
    assert np.array_equal(hops.power, power)


def test_too_little_is_no_hop_and_is_not_lost():
    frontend, samples = Frontend(48000), sound(48000)
    first = frontend.process(samples[:200])
    assert [len(column) for column in first] == [0, 0, 0, 0]
    rest = frontend.process(samples[200:])
    np.testing.assert_allclose(rest.log_mel, Frontend(48000).process(samples).log_mel, atol=1e-5)
    frontend.reset()
    assert frontend.position == 0
