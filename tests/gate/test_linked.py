"""Channels that are heard as one: nothing cancels, an idle one costs nothing."""

import itertools

import numpy as np
import pytest
from fakes import speech_and_noise
from gates import gains, gate, in_blocks
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.linked import LinkedMix
from gate.settings import GateSettings

RATE = 48000


def heard(audio, **changes):
    """Gain curve and key level a hop of a linked gate over (n, channels)."""
    processor, levels = gate(GateSettings(**changes), channels=audio.shape[1]), []
    processor.on_hop = lambda lane, meters: levels.append(meters.key_level_dbfs)
    return gains(processor, audio)[:, 0], np.array(levels)


SPEECH = speech_and_noise(RATE, 1.4)[:, 0]
LAYOUTS = {
    "opposite phase": (1, -1),
    "left only": (1, 0),
    "right only": (0, 1),
    "one of eight": (0, 0, 0, 1, 0, 0, 0, 0),
    "eight with two turned": (1, -1, 1, 1, 1, 1, -1, 1),
    "quieter and turned": (1, -0.3, 0),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_it_opens_like_its_mono_twin(layout):
    alone, levels = heard(SPEECH[:, None])
    curve, linked = heard(SPEECH[:, None] * np.array(layout, np.float32))
    # The first hop may still fade to its signs.
    np.testing.assert_allclose(linked[4:], levels[4:], atol=0.01)
    assert np.mean((curve > 0.5) != (alone > 0.5)) < 1e-3
    assert 0.3 < np.mean(alone > 0.5) < 0.9


def test_twice_the_same_is_the_same_bits():
    alone, levels = heard(SPEECH[:, None])
    curve, linked = heard(np.stack([SPEECH, SPEECH], axis=1))
    assert np.array_equal(curve, alone)
    assert np.array_equal(linked, levels)


@pytest.mark.parametrize("correlation", [-1.0, -0.9, -0.5, 0.0, 0.5, 0.9, 1.0])
def test_partly_alike_is_as_loud_as_the_loudest(correlation):
    rng = np.random.default_rng(3)
    common, own = rng.normal(size=(2, RATE)).astype(np.float32) * 0.05
    other = correlation * common + np.sqrt(1.0 - correlation**2) * own
    _, alone = heard(common[:, None], key="off")
    _, linked = heard(np.stack([common, 0.8 * other], axis=1).astype(np.float32), key="off")
    # Two unlike noises have another spectrum in every frame: compare over time.
    assert abs(np.mean(linked[5:]) - np.mean(alone[5:])) < 0.5


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 8), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_the_sum_has_the_power_of_the_channels(channels, sources, seed):
    """However sounds are spread over the channels, with whatever signs."""
    rng = np.random.default_rng(seed)
    spread = rng.normal(size=(sources, channels)) * (rng.random((sources, channels)) < 0.6)
    sound = (rng.normal(size=(4800, sources)) @ spread).astype(np.float32)
    mix = LinkedMix(RATE, channels)
    mono, ratios = mix.process_many(sound, np.arange(480, 4801, 480))
    apart = [np.diff(x[-2400:], axis=0) for x in (sound.astype(np.float64), mono.astype(float))]
    power, mixed = np.sum(apart[0] ** 2), np.sum(apart[1] ** 2) * channels**2
    assert mixed >= 0.5 * power
    assert np.isfinite(ratios).all()
    assert (ratios >= 0.0).all()


def test_a_speaker_who_moves_to_the_other_phase_is_heard_at_once():
    """First in phase, then turned: the level dips for a few milliseconds at most."""
    turn = np.where(np.arange(len(SPEECH)) < 0.35 * RATE, 1.0, -1.0).astype(np.float32)
    curve, _ = heard(np.stack([SPEECH, SPEECH * turn], axis=1))
    alone, _ = heard(SPEECH[:, None])
    assert np.sum((curve > 0.5) != (alone > 0.5)) < 0.012 * RATE


def unlike(channels, seconds=1.0, rate=RATE):
    """Sounds that keep changing their signs between the channels."""
    rng = np.random.default_rng(5)
    mono = speech_and_noise(rate, seconds)[:, 0]
    blocks = rng.choice([-1.0, 0.0, 1.0, 0.4], size=(40, channels))
    gains = np.repeat(blocks, -(-len(mono) // 40), axis=0)[: len(mono)]
    return (mono[:, None] * gains + 1e-3 * rng.normal(size=gains.shape)).astype(np.float32)


@pytest.mark.parametrize(("channels", "rate"), [(2, 48000), (2, 11025), (3, 44100), (8, 16000)])
def test_any_block_size_and_the_whole_file_path(channels, rate):
    audio = unlike(channels, 0.8, rate)
    processor = gate(rate=rate, channels=channels)
    want = in_blocks(processor, audio, (100,))
    for sizes in ((1, 2, 3, 400), (17,), (480,), (len(audio),)):
        processor.reset()
        assert np.array_equal(in_blocks(processor, audio, sizes), want), sizes
    for cuts in ((0, len(audio)), (0, 1, 5001, 5008, len(audio))):
        processor.reset()
        got = [processor.process_many(audio[a:b]) for a, b in itertools.pairwise(cuts)]
        np.testing.assert_allclose(np.concatenate(got), want, atol=2e-6)
    assert np.mean(np.abs(want)) > 0.05 * np.mean(np.abs(audio))


def test_an_external_key_of_several_channels_and_a_change_of_their_number():
    processor = gate()
    audio = np.ones((RATE // 2, 1), np.float32)
    part = SPEECH[: RATE // 2]
    turned = np.stack([part, -part], axis=1)
    alone = gate().process(audio, key_input=part)
    mixed = processor.process(audio, key_input=turned)
    assert np.mean((alone > 0.5) != (mixed > 0.5)) < 2e-3
    # From two channels to one and to three, in the middle of a hop: it goes on.
    processor.reset()
    three = np.stack([part, -part, part], axis=1)
    out = [processor.process(audio[:10007], key_input=turned[:10007]),
           processor.process(audio[10007:15013], key_input=part[10007:15013]),
           processor.process(audio[15013:], key_input=three[15013:])]  # fmt: skip
    assert np.mean((np.concatenate(out) > 0.5) != (alone > 0.5)) < 0.02


def test_offsets_and_wild_samples_do_not_choose():
    offset = np.stack([SPEECH + 0.5, 0.8 * SPEECH - 0.5], axis=1).astype(np.float32)
    mix = LinkedMix(RATE, 2)
    mix.process_many(offset, np.arange(480, len(offset), 480))
    assert (mix.weights > 0).all()  # the sounds agree, the offsets do not
    offset[100] = 3e38, -3e38
    with np.errstate(over="ignore"):
        mix.process_many(offset, np.arange(480, len(offset), 480))
    assert (mix.weights > 0).all()
