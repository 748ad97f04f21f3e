import numpy as np
import pytest
from gates import in_blocks

from gate.delay import DelayLine
from gate.listen import KeyListen

RNG = np.random.default_rng(4)


@pytest.mark.parametrize("delay", [0, 1, 480, 4800])
@pytest.mark.parametrize("sizes", [(1, 7), (100,), (4097, 9000)])
def test_delays_by_whole_samples_in_any_blocks(delay, sizes):
    audio = RNG.normal(size=(12000, 2)).astype(np.float32)
    line = DelayLine(48000, 2, 4800, delay)
    out = in_blocks(line, audio, sizes)
    want = np.concatenate([np.zeros((delay, 2), np.float32), audio])[: len(audio)]
    assert np.array_equal(out, want)
    assert line.latency_samples == delay


@pytest.mark.parametrize(("old", "new"), [(0, 960), (960, 0), (480, 960)])
@pytest.mark.parametrize("size", [33, 5000])
def test_a_change_cross_fades_and_then_is_exact(old, new, size):
    time = np.arange(20000)
    audio = np.sin(time * 0.01).astype(np.float32)[:, None]
    line = DelayLine(48000, 1, 4800, old)
    out = [line.process(audio[:5000]).copy()]
    line.set_delay(new)
    out += [line.process(audio[i : i + size]).copy() for i in range(5000, 20000, size)]
    out = np.concatenate(out)[:, 0]
    assert np.max(np.abs(np.diff(out[1000:]))) < 0.01 + 2 / 480
    want = np.sin((time - new) * 0.01).astype(np.float32)
    assert np.array_equal(out[5480:], audio[5480 - new : 20000 - new, 0])
    np.testing.assert_allclose(out[5480:], want[5480:], atol=1e-6)


def test_listening_to_all_is_the_sound_itself_later():
    rate = 16000
    listen = KeyListen(rate)
    sound = RNG.normal(size=rate).astype(np.float32)
    blocks = [sound[i : i + 77] for i in range(0, rate, 77)]
    out = np.concatenate([listen.process(block, np.ones(257)) for block in blocks])
    late = listen.latency_samples
    np.testing.assert_allclose(out[2 * late :], sound[late:-late], atol=1e-5)
