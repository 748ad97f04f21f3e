"""Second ears in the gate: heard in stream and file, silent when they fail."""

import copy
import dataclasses

import numpy as np
import pytest
from fakes import FakeDetector, speech_and_noise
from gates import in_blocks

from gate.processor import GateProcessor
from gate.settings import GateSettings


class FakeEar:
    """Says the mean of the hop, in memory of the one before; raises on some calls."""

    def __init__(self, name="fake", bad=(), nan=False):
        self.name, self._bad, self._nan = name, frozenset(bad), nan
        self.calls = 0
        self.reset()

    def reset(self):
        self._last = 0.0

    def fork(self):
        return copy.deepcopy(self)

    def process(self, samples):
        self.calls += 1
        if self.calls - 1 in self._bad:
            if self._nan:
                return float("nan")
            raise RuntimeError("deaf on purpose")
        said = 0.5 * self._last + float(np.abs(samples.astype(np.float64)).mean())
        self._last = said
        return said

    def process_many(self, samples):
        return np.array([self.process(hop) for hop in samples], np.float32)


class Listener(FakeDetector):
    """A fake detector whose presence is what its ears say."""

    def __init__(self, names=("fake",)):
        super().__init__()
        self.info = dataclasses.replace(self.info, ears=tuple(names))

    def process(self, features, ears=None):
        found = super().process(features)
        if ears is None:
            ears = np.zeros((len(features), len(self.info.ears)), np.float32)
        assert ears.shape == (len(features), len(self.info.ears))
        found.presence[:, 0] = np.clip(20.0 * ears[:, 0], 0.0, 1.0)
        return found


def listening(*ears, names=("fake",), settings=None, channels=1):
    processor = GateProcessor(
        settings, sample_rate=48000, channels=channels, detector=Listener(names), ears=ears
    )
    presences = []
    processor.on_hop = lambda lane, meters: presences.append((lane, meters.presence))
    return processor, presences


def test_ears_reach_the_detector_in_stream_and_file():
    audio = speech_and_noise(48000, 1.0)
    processor, streamed = listening(FakeEar())
    assert processor.ears_heard == ("fake",)
    want = in_blocks(processor, audio, (100,))
    assert 0.0 < min(p for _, p in streamed) < max(p for _, p in streamed) == 1.0
    first = streamed.copy()
    for sizes in ((17,), (4800,)):
        processor.reset()
        streamed.clear()
        assert np.array_equal(in_blocks(processor, audio, sizes), want)
        assert streamed == first
    filed, presences = listening(FakeEar())
    np.testing.assert_allclose(filed.process_many(audio), want, atol=2e-6)
    np.testing.assert_allclose(presences, first, atol=1e-6)


def test_ears_come_in_the_order_the_detector_names_them():
    audio = speech_and_noise(48000, 0.5)
    names = ("other", "fake", "third")
    processor, presences = listening(FakeEar(), FakeEar("unasked"), names=names)
    in_blocks(processor, audio, (100,))
    assert processor.ears_heard == ("fake",)
    assert processor.meters.ears == 1
    assert {p for _, p in presences} == {0.0}  # the first column is silent


def test_independent_channels_have_ears_of_their_own():
    audio = speech_and_noise(48000, 0.5, channels=2) * np.array([1.0, 0.0], np.float32)
    processor, presences = listening(
        FakeEar(), settings=GateSettings(stereo_link="independent"), channels=2
    )
    in_blocks(processor, audio, (100,))
    assert max(p for lane, p in presences if lane == 1) == 0.0
    assert max(p for lane, p in presences if lane == 0) > 0.5
    processor.settings = GateSettings()
    in_blocks(processor, audio, (100,))
    assert processor.counters.detector_failures == 0


@pytest.mark.parametrize("nan", [False, True])
@pytest.mark.parametrize("many", [False, True], ids=["stream", "file"])
def test_a_failing_ear_is_silenced_counted_and_asked_again(nan, many):
    audio = speech_and_noise(48000, 1.5)
    processor, presences = listening(FakeEar(bad=range(30, 33), nan=nan))
    heard = []
    report = processor.on_hop
    processor.on_hop = lambda lane, m: (report(lane, m), heard.append(processor.ears_heard))
    if many:
        processor.process_many(audio)
    else:
        in_blocks(processor, audio, (100,))
    # Calls 30, 31 and 32 fail: at once, after a pause of 1 hop, and of 3.
    silent = [hop for hop, (_, p) in enumerate(presences) if p == 0.0]
    assert silent == [30, 31, 32, 33, 34, 35, 36]
    assert processor.counters.ear_failures == 3
    assert processor.counters.detector_failures == processor.counters.failed_hops == 0
    assert processor.ears_heard == ("fake",)
    if not many:
        assert [hop for hop, names in enumerate(heard) if not names] == silent


def test_a_detector_swapped_while_running_keeps_the_ears_or_brings_its_own():
    audio = speech_and_noise(48000, 0.5)
    processor, _ = listening(FakeEar())
    in_blocks(processor, audio, (100,))
    calls = processor.lanes[0].ears.found[0].calls
    processor.detector = Listener()
    in_blocks(processor, audio, (100,))
    assert processor.lanes[0].ears.found[0].calls >= 2 * calls
    processor.detector = FakeDetector()
    in_blocks(processor, audio, (100,))
    assert processor.ears_heard == ()
    processor.take_detector(Listener(("new",)), [FakeEar("new")])
    in_blocks(processor, audio, (100,))
    assert processor.ears_heard == ("new",)
