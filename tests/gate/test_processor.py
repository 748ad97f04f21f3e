"""The rules of the gate, each held by a test (docs/design.md, "The signal path")."""

import dataclasses
import itertools

import numpy as np
import pytest
from fakes import FailingDetector, speech_and_noise
from gates import gains, gate, in_blocks

from gate.detector import NoDetector
from gate.settings import GateSettings

RATES = [8000, 11025, 22050, 44100, 48000, 96000, 192000]


# Rule 1: zero delay by default; lookahead delays by what it says.


@pytest.mark.parametrize("rate", RATES)
def test_audio_is_sample_aligned_where_the_gate_is_open(rate):
    audio = speech_and_noise(rate)
    out = in_blocks(gate(GateSettings(range_db=0.0), rate), audio, (100,))
    assert np.array_equal(out, audio)
    assert gate(rate=rate).latency_samples == 0


@pytest.mark.parametrize("lookahead_ms", [1.0, 5.0, 20.0, 100.0])
def test_declared_latency_is_measured_latency(lookahead_ms):
    processor = gate(GateSettings(lookahead_ms=lookahead_ms, range_db=0.0))
    impulse = np.zeros((9600, 1), np.float32)
    impulse[100] = 1.0
    out = in_blocks(processor, impulse, (77,))
    assert np.argmax(out) - 100 == processor.latency_samples == round(lookahead_ms * 48)
    assert out.max() == 1.0


# Rule 2: block-size invariant, bit for bit, and again after reset.


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    "settings",
    [
        GateSettings(),
        GateSettings(lookahead_ms=7.0, mode="duck", stereo_link="independent"),
        GateSettings(key_listen=True, key="off", hold_ms=20.0),
    ],
    ids=["default", "independent", "listen"],
)
def test_any_block_size_gives_the_same_bits(rate, settings):
    channels = 2
    audio = speech_and_noise(rate, 0.6, channels=channels)
    processor = gate(settings, rate, channels)
    want = in_blocks(processor, audio, (100,))
    smallest = (1, 2, 3) if rate < 90000 else (1, 2, 3, 400)
    for sizes in (smallest, (17,), (480,), (512,), (len(audio),), (0, 333, 5000)):
        processor.reset()
        assert np.array_equal(in_blocks(processor, audio, sizes), want), sizes
    assert 0.0 < np.mean(np.abs(want)) < np.mean(np.abs(audio))


def test_eight_channels_and_a_given_output():
    audio = speech_and_noise(48000, 1.0, channels=8)
    processor = gate(channels=8)
    want = in_blocks(processor, audio, (100,))
    processor.reset()
    out = np.empty_like(audio)
    for at in range(0, len(audio), 480):
        part = out[at : at + 480]
        assert processor.process(audio[at : at + 480], out=part) is part
    assert np.array_equal(out, want)


def test_one_channel_may_be_flat():
    audio = speech_and_noise(48000, 0.5)
    want = in_blocks(gate(), audio, (100,))[:, 0]
    assert np.array_equal(in_blocks(gate(), audio[:, 0], (64,)), want)


# Rule 3: streaming equals batch.


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("link", ["linked", "independent"])
def test_whole_file_path_equals_the_stream(rate, link):
    audio = speech_and_noise(rate, 2.0, channels=2)
    processor = gate(GateSettings(stereo_link=link, lookahead_ms=3.0), rate, 2)
    want = in_blocks(processor, audio, (100,))
    processor.reset()
    cuts = [0, 1, 5000, 5001, rate, len(audio)]
    got = [processor.process_many(audio[a:b]) for a, b in itertools.pairwise(cuts)]
    # Only the detector's products round differently: gains differ by float32 rounding.
    np.testing.assert_allclose(np.concatenate(got), want, atol=2e-6)


def test_stream_and_whole_file_calls_can_be_mixed():
    audio = speech_and_noise(44100, 2.0)
    want = in_blocks(gate(rate=44100), audio, (100,))
    processor = gate(rate=44100)
    got = [processor.process_many(audio[:30000]), in_blocks(processor, audio[30000:40000], (57,)),
           processor.process_many(audio[40000:])]  # fmt: skip
    np.testing.assert_allclose(np.concatenate(got), want, atol=2e-6)


@pytest.mark.parametrize(
    "settings",
    [
        GateSettings(),
        GateSettings(bypass=True),
        GateSettings(hold_ms=33.0, key="off"),
        GateSettings(key_listen=True),
        GateSettings(stereo_link="independent"),
    ],
    ids=["default", "bypass", "hold", "listen", "independent"],
)
def test_a_stretch_tells_the_hops_that_the_stream_tells(settings):
    audio = speech_and_noise(48000, 2.0, channels=2)
    stream, whole = (gate(settings, 48000, 2, FailingDetector(70, 90)) for _ in range(2))
    want, rows, hops = ([[] for _ in stream.lanes] for _ in range(3))
    stream.on_hop = lambda lane, meters: want[lane].append(meters)
    whole.on_hop = lambda lane, meters: hops[lane].append(meters)
    whole.on_hops = lambda lane, table: rows[lane].extend(table.rows())
    in_blocks(stream, audio, (100,))
    for a, b in itertools.pairwise([0, 100, 30000, 30001, len(audio)]):
        whole.process_many(audio[a:b])
    assert whole.counters == stream.counters
    assert stream.counters.failed_hops >= 20
    for told, expected, one_by_one in zip(rows, want, hops, strict=True):
        assert len(told) == len(expected) == len(one_by_one) > 190
        for mine, other, hop in zip(told, expected, one_by_one, strict=True):
            mine, other, hop = (dataclasses.asdict(meters) for meters in (mine, other, hop))
            assert mine.pop("reason") == other.pop("reason") == hop.pop("reason")
            assert mine == pytest.approx(other, abs=1e-3, nan_ok=True)
            assert mine == pytest.approx(hop, nan_ok=True)


# Rule 4: changing a setting never clicks and never resets.

CHANGES = [
    {"threshold_db": -10.0},
    {"range_db": -6.0},
    {"range_db": 0.0},
    {"bypass": True},
    {"mode": "duck"},
    {"lookahead_ms": 5.0},  # a quarter of the sine's period
    {"key_listen": True},
    {"key": "off"},
    {"stereo_link": "independent"},
    {"presence_threshold": 1.0},
    {"release_ms": 1.0},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: next(iter(c)))
@pytest.mark.parametrize("moment", [0.1, 0.3, 0.55])
def test_a_change_of_settings_does_not_click(change, moment):
    """A slow sine through the gate: its steps stay those of a sine under a moving gain."""
    rate, at = 48000, int(moment * 48000)
    audio = speech_and_noise(rate, 1.0, channels=2)
    tone = np.sin(2 * np.pi * 50 * np.arange(rate) / rate).astype(np.float32)
    tone = np.repeat(tone[:, None], 2, axis=1)
    base = GateSettings(attack_ms=2.0, release_ms=20.0, hold_ms=20.0)
    processor = gate(base, rate, 2)
    before = in_blocks(processor, tone[:at], (100,), key=audio[:at])
    processor.settings = base.with_changes(change)
    after = in_blocks(processor, tone[at:], (100,), key=audio[at:])
    steps = np.abs(np.diff(np.concatenate([before, after]), axis=0))
    sine_step = 2 * np.pi * 50 / rate
    fastest_gain_step = 1.0 / (0.001 * rate)  # a time constant of 1 ms, the shortest above
    # A cross-fade of 10 ms adds at most 2 / 480 a sample; key listen is the key's own sound.
    limit = sine_step + fastest_gain_step + 2.0 / 480
    if "key_listen" in change:
        limit += float(np.max(np.abs(np.diff(audio, axis=0))))
    assert steps.max() < limit


def test_a_change_keeps_the_state():
    """Changing range while open leaves the gate open: no sample is lost."""
    audio = speech_and_noise(48000)
    processor = gate()
    want = in_blocks(processor, audio, (100,))
    at = int(0.4 * 48000)  # in the middle of a burst
    processor.reset()
    first = in_blocks(processor, audio[:at], (100,))
    processor.settings = GateSettings(range_db=-80.0)
    second = in_blocks(processor, audio[at:], (100,))
    end = int(0.48 * 48000)
    got = np.concatenate([first, second])
    assert np.array_equal(got[:end], want[:end])
    assert processor.counters.hops > 150


def test_linked_to_independent_and_back_goes_on():
    audio = speech_and_noise(48000, 2.1, channels=2)
    processor = gate(GateSettings(), 48000, 2)
    want = in_blocks(processor, audio, (100,))
    processor.reset()
    got = [in_blocks(processor, audio[:30000], (100,))]
    processor.settings = GateSettings(stereo_link="independent")
    got.append(in_blocks(processor, audio[30000:60000], (100,)))
    processor.settings = GateSettings(stereo_link="linked")
    got.append(in_blocks(processor, audio[60000:], (100,)))
    # Both channels carry the same sound here, so the decisions are those of the linked gate.
    np.testing.assert_allclose(np.concatenate(got), want, atol=1e-6)
    processor.reset()
    assert len(processor.lanes) == 1


# Rule 5: level-invariant.


@pytest.mark.parametrize("shift_db", [-40.0, -20.0, 10.0])
def test_moving_input_and_threshold_together_changes_nothing(shift_db):
    audio = speech_and_noise(48000)
    want = gains(gate(GateSettings(threshold_db=-35.0)), audio)
    moved = audio * np.float32(10 ** (shift_db / 20))
    got = gains(gate(GateSettings(threshold_db=-35.0 + shift_db)), moved)
    # Not exact: the logarithm's offset, some -100 dBFS, does not move along.
    assert np.mean(np.abs(got - want) > 0.01) < 0.01
    assert 0.1 < np.mean(want > 0.5) < 0.9


# Rule 6: monotonic.


def test_a_higher_threshold_never_opens_more():
    audio = speech_and_noise(48000)
    audio *= np.linspace(0.01, 1.0, len(audio), dtype=np.float32)[:, None]
    curves = [gains(gate(GateSettings(threshold_db=t)), audio) for t in (-80, -60, -45, -30, -15)]
    for lower, higher in itertools.pairwise(curves):
        assert np.all(lower >= higher - 1e-6)
    assert curves[0].sum() > 2 * curves[-1].sum()


# Rule 7: fails open, counts, recovers; non-finite input becomes silence.


@pytest.mark.parametrize("nan", [False, True], ids=["raises", "nan"])
@pytest.mark.parametrize("many", [False, True], ids=["stream", "whole"])
def test_fails_open_and_recovers(nan, many):
    rate = 48000
    hiss = np.random.default_rng(0).normal(size=(3 * rate, 1)).astype(np.float32) * 0.01
    hiss = np.diff(hiss, axis=0, prepend=0.0)
    processor = gate(detector=FailingDetector(100, 104, nan=nan))
    ones = np.ones_like(hiss)
    if many:
        curve = processor.process_many(ones, key_input=hiss)[:, 0]
    else:
        curve = in_blocks(processor, ones, (100,), key=hiss)[:, 0]
    assert curve[rate // 2] < 0.01
    assert curve[int(1.08 * rate)] > 0.95  # failed at 1.0 s: audio passes
    assert curve[-1] < 0.01  # and the gate works again
    counters = processor.counters
    assert counters.detector_failures >= 2
    assert counters.detector_failures <= counters.failed_hops < 60
    assert np.isfinite(curve).all()
    assert processor.meters.reason != "detector failed"


def test_non_finite_samples_become_silence_and_are_counted():
    audio = speech_and_noise(48000)
    broken = audio.copy()
    broken[10000:10003] = [[np.nan], [np.inf], [-np.inf]]
    silenced = audio.copy()
    silenced[10000:10003] = 0.0
    processor = gate()
    out = in_blocks(processor, broken, (100,))
    assert processor.counters.nonfinite_samples == 3
    assert np.array_equal(out, in_blocks(gate(), silenced, (100,)))
    assert np.isnan(broken[10000, 0]), "the input is not touched"


@pytest.mark.parametrize("value", [0.0, 1e-40, 1.0, 1e20, 3e38])
def test_extreme_input_stays_finite(value):
    audio = np.full((9600, 1), value, np.float32)
    processor = gate(detector=NoDetector())
    out = in_blocks(processor, audio, (100,))
    assert np.isfinite(out).all()
    assert processor.counters.detector_failures == processor.counters.nonfinite_samples == 0


# Bypass and failing open are exact.


@pytest.mark.parametrize("many", [False, True], ids=["stream", "file"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_gate_that_starts_bypassed_passes_every_bit(many, channels):
    audio = 0.01 * speech_and_noise(48000, 0.5, channels=channels)
    for link in ("linked", "independent"):
        processor = gate(GateSettings(bypass=True, stereo_link=link), channels=channels)
        for _ in range(2):
            out = processor.process_many(audio) if many else in_blocks(processor, audio, (100,))
            assert np.array_equal(out, audio)
            processor.reset()
    late = gate(channels=channels)
    late.settings = GateSettings(bypass=True)  # before the first sample
    assert np.array_equal(late.process(audio), audio)


def test_bypass_switched_on_later_is_exact_after_its_fade():
    audio = 0.01 * speech_and_noise(48000, 1.0)
    processor = gate(GateSettings(threshold_db=-10.0))
    shut = in_blocks(processor, audio[:24000], (100,))
    assert np.abs(shut).max() < 0.01 * np.abs(audio).max()
    processor.settings = GateSettings(threshold_db=-10.0, bypass=True)
    out = in_blocks(processor, audio[24000:], (100,))
    assert np.array_equal(out[4800:], audio[28800:])


@pytest.mark.parametrize("many", [False, True], ids=["stream", "file"])
def test_failing_open_is_exact_after_its_fade(many):
    audio = 0.01 * speech_and_noise(48000, 1.0)
    processor = gate(GateSettings(threshold_db=-10.0), detector=FailingDetector(20, 10**6))
    out = processor.process_many(audio) if many else in_blocks(processor, audio, (100,))
    assert np.array_equal(out[15000:], audio[15000:])
