"""The rules of the gate, each held by a test (DESIGN, "the signal path")."""

import dataclasses
import itertools

import numpy as np
import pytest
from fakes import FailingDetector, FakeDetector, ScriptedDetector, speech_and_noise

from gate.decision import EvidenceRule
from gate.detector import NoDetector
from gate.errors import ConfigError
from gate.processor import GateProcessor
from gate.settings import GateSettings

RATES = [8000, 11025, 22050, 44100, 48000, 96000, 192000]


def gate(settings=None, rate=48000, channels=1, detector=None):
    return GateProcessor(
        settings, sample_rate=rate, channels=channels, detector=detector or FakeDetector()
    )


def in_blocks(processor, audio, sizes, key=None):
    """Process in blocks of the sizes, repeated."""
    out, at, turn = [], 0, 0
    while at < len(audio):
        end = at + sizes[turn % len(sizes)]
        out.append(processor.process(audio[at:end], None if key is None else key[at:end]).copy())
        at, turn = end, turn + 1
    return np.concatenate(out)


def gains(processor, audio, sizes=(100,)):
    """The gain curve: ones through the gate, with the audio as its key."""
    return in_blocks(processor, np.ones_like(audio), sizes, key=audio)


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


def test_lookahead_opens_before_the_sound():
    audio = speech_and_noise(48000)
    start = int(0.25 * 48000)

    def front(lookahead_ms):
        processor = gate(GateSettings(lookahead_ms=lookahead_ms))
        curve = gains(processor, audio)[:, 0]
        shift = processor.latency_samples
        return float(curve[start + shift : start + shift + 480].mean())

    assert front(0.0) < 0.5 < 0.99 < front(40.0)


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


# Rule 8 (one code path) is held by test_imports: nothing else applies a gain.


# Keep or kill.


@pytest.mark.parametrize("range_db", [-60.0, -20.0])
def test_wanted_sound_passes_and_the_rest_falls_to_the_range(range_db):
    script = [0.0] * 50 + [1.0] * 50 + [0.0] * 100
    tone = np.sin(np.arange(96000) * 0.1).astype(np.float32)[:, None]
    processor = gate(GateSettings(range_db=range_db), detector=ScriptedDetector(script))
    out = in_blocks(processor, tone, (100,))

    def change_db(start, end):
        part = slice(int(start * 48000), int(end * 48000))
        return 10 * np.log10(np.sum(out[part] ** 2.0) / np.sum(tone[part] ** 2.0))

    assert change_db(0.1, 0.4) == pytest.approx(range_db, abs=0.1)
    assert change_db(0.56, 0.98) == pytest.approx(0.0, abs=0.1)
    assert change_db(1.6, 1.98) == pytest.approx(range_db, abs=0.1)


def test_hold_is_as_long_as_it_says():
    script = [0.0] * 20 + [1.0] * 20 + [0.0] * 60
    tone = np.ones((48000, 1), np.float32)
    open_samples = {}
    for hold_ms in (0.0, 100.0):
        settings = GateSettings(hold_ms=hold_ms, attack_ms=0.05, release_ms=1.0)
        curve = gains(gate(settings, detector=ScriptedDetector(script)), tone)[:, 0]
        open_samples[hold_ms] = int(np.sum(curve > 0.5))
    assert open_samples[100.0] - open_samples[0.0] == 4800


def test_duck_turns_the_wanted_sound_down():
    script = [0.0] * 50 + [1.0] * 50
    tone = np.ones((48000, 1), np.float32)
    settings = GateSettings(mode="duck", range_db=-20.0)
    curve = gains(gate(settings, detector=ScriptedDetector(script)), tone)[:, 0]
    assert curve[20000] == pytest.approx(1.0)
    assert curve[45000] == pytest.approx(0.1, abs=1e-3)


def test_external_key_decides():
    audio = speech_and_noise(48000)
    music = np.random.default_rng(3).normal(size=audio.shape).astype(np.float32)
    out = in_blocks(gate(), music, (100,), key=audio)
    assert np.array_equal(out, music * gains(gate(), audio))


def test_independent_channels_decide_for_themselves():
    audio = speech_and_noise(48000, channels=2)
    audio[:, 1] = np.random.default_rng(0).normal(size=len(audio)).astype(np.float32) * 1e-4
    linked = gains(gate(GateSettings(), 48000, 2), audio)
    assert np.array_equal(linked[:, 0], linked[:, 1])
    single = gains(gate(GateSettings(stereo_link="independent"), 48000, 2), audio)
    assert single[:, 1].max() < 0.01 < 0.9 < single[:, 0].max()


def test_key_band_makes_the_threshold_deaf_outside():
    """A loud 100 Hz hum opens a gate without a key, not one keyed to 300..3400 Hz."""
    hum = 0.3 * np.sin(2 * np.pi * 100 * np.arange(24000) / 48000).astype(np.float32)[:, None]
    for key, is_open in (("off", True), ({"low_hz": 300, "high_hz": 3400}, False)):
        processor = gate(GateSettings(threshold_db=-50.0, key=key), detector=NoDetector())
        assert bool(gains(processor, hum)[-1, 0] > 0.5) is is_open


def test_key_listen_plays_the_key_band():
    rate = 48000
    time = np.arange(rate) / rate
    low, high = np.sin(2 * np.pi * 200 * time), np.sin(2 * np.pi * 2000 * time)
    settings = GateSettings(key={"low_hz": 1000, "high_hz": 4000}, key_listen=True)
    processor = gate(settings, detector=NoDetector())
    out = in_blocks(processor, (low + high).astype(np.float32)[:, None], (100,))[:, 0]
    spectrum = np.abs(np.fft.rfft(out[rate // 2 :])) / (rate / 4)
    assert spectrum[1000] == pytest.approx(1.0, abs=0.05)
    assert spectrum[100] < 0.01


def test_targets_and_presence_threshold():
    audio = speech_and_noise(48000)
    always = gains(gate(GateSettings(presence_threshold=0.0)), audio)
    assert always[-1, 0] > 0.99
    never = gains(gate(GateSettings(presence_threshold=1.0)), audio)
    assert never.max() < 0.01
    voice = gains(gate(GateSettings(target="voice")), audio)
    assert voice.sum() > gains(gate(), audio).sum()
    processor = gate()
    with pytest.raises(ConfigError, match="target='dog' is unknown"):
        processor.settings = GateSettings(target="dog")
    assert processor.settings.target == "speech"


def test_meters_tell_what_happened():
    rows = []
    processor = gate()
    processor.on_hop = lambda lane, meters: rows.append(meters)
    audio = speech_and_noise(48000)
    in_blocks(processor, audio, (100,))
    assert len(rows) == processor.counters.hops
    times = [row.time_s for row in rows]
    np.testing.assert_allclose(np.diff(times), 0.01, atol=1e-9)
    assert {"open", "held", "target absent"} <= {row.reason for row in rows}
    opened = [row for row in rows if row.reason == "open"]
    assert all(row.key_level_dbfs > -60 and row.presence >= 0.3 for row in opened)
    assert processor.counters.opens == 3


@pytest.mark.parametrize(
    ("rate", "channels", "message"),
    [
        (7999, 1, "sample_rate=7999"),
        (192001, 1, "sample_rate"),
        (44100.0, 1, "sample_rate"),
        (48000, 0, "channels=0"),
        (48000, 9, "channels=9"),
    ],
)
def test_formats_out_of_range_are_refused(rate, channels, message):
    with pytest.raises(ConfigError, match=message):
        gate(rate=rate, channels=channels)


def test_blocks_of_the_wrong_shape_are_refused():
    with pytest.raises(ConfigError, match="block of shape"):
        gate(channels=2).process(np.zeros((100, 1), np.float32))
    with pytest.raises(ConfigError, match="key_input of 50 samples"):
        gate().process(np.zeros((100, 1), np.float32), key_input=np.zeros(50, np.float32))


# The decision by evidence, through the whole gate.


class Believer(ScriptedDetector):
    """A scripted detector that is decided by evidence."""

    def __init__(self, script, rule):
        super().__init__(script)
        self.info = dataclasses.replace(self.info, decision={"speech": rule})

    def fork(self):
        other = Believer(self._script, self.info.decision["speech"])
        other._at = self._at
        return other


RULE = EvidenceRule(0.5, 3.0, 3.0)
WEAK = [0.05] * 20 + [0.6, 0.7] + [0.95] * 20 + [0.3] + [0.05] * 60


def opened(settings, script=WEAK):
    """First and last sample of the audio that an open gate lets through, in ms."""
    noise = 0.1 * np.random.default_rng(0).normal(size=(48000, 1)).astype(np.float32)
    processor = gate(settings, detector=Believer(script, RULE))
    curve = gains(processor, noise)[:, 0] > 0.5
    return (np.flatnonzero(curve)[[0, -1]] - processor.latency_samples) / 48.0


QUICK = GateSettings(attack_ms=0.05, release_ms=1.0)


def test_lookahead_reads_the_evidence_back():
    """Weak edges: a gate at once is late; one that looks ahead opens early and shuts on time."""
    onset, end = 200.0, 420.0  # where the script begins and ends to speak for the target
    at_once = opened(QUICK)
    ahead = opened(QUICK.with_changes({"lookahead_ms": 60.0}))
    assert 20.0 < at_once[0] - onset < 45.0
    assert abs(ahead[0] - onset) < 2.0
    assert abs(ahead[1] - end) < 4.0
    assert at_once[1] - end > 10.0


def test_a_pinned_hold_brings_back_the_classic_rule():
    processor = gate(detector=Believer(WEAK, RULE))
    assert processor.meters.evidence_high == 3.0
    processor.settings = GateSettings(hold_ms=20.0)
    assert processor.meters.evidence_high == 0.0
    first, _ = opened(QUICK.with_changes({"hold_ms": 20.0}))
    assert abs(first - 210.0) < 3.0  # the hop that first passes .5, heard when it has ended


def test_meters_show_the_evidence():
    seen = []
    processor = gate(detector=Believer(WEAK, RULE))
    processor.on_hop = lambda lane, meters: seen.append(meters)
    noise = 0.1 * np.random.default_rng(0).normal(size=(24000, 1)).astype(np.float32)
    in_blocks(processor, noise, (100,))
    values = np.array([m.evidence for m in seen])
    assert (np.abs(values) <= 3.0).all()
    assert np.array_equal(values > 0.0, [m.open for m in seen])
    assert {m.reason for m in seen} == {"open", "held", "target absent"}


def test_evidence_goes_on_through_a_change_and_a_link():
    """Neither a new threshold nor unlinking asks for the evidence anew."""
    sure = Believer([0.99], RULE)
    processor = gate(channels=2, detector=sure)
    noise = 0.1 * np.random.default_rng(0).normal(size=(4800, 2)).astype(np.float32)
    in_blocks(processor, noise, (100,))
    processor.settings = GateSettings(threshold_db=-50.0, stereo_link="independent")
    assert all(meters.evidence == 3.0 for meters in processor.lane_meters)
    first, second = processor.lanes
    assert first.control.evidence is not second.control.evidence


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


# Second ears.


class FakeEar:
    """Says the mean of the hop, in memory of the one before; raises on some calls."""

    def __init__(self, name="fake", bad=(), nan=False):
        self.name, self._bad, self._nan = name, frozenset(bad), nan
        self.calls = 0
        self.reset()

    def reset(self):
        self._last = 0.0

    def fork(self):
        other = FakeEar(self.name, self._bad, self._nan)
        other.calls, other._last = self.calls, self._last
        return other

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

    def fork(self):
        other = Listener(self.info.ears)
        other._last = self._last.copy()
        return other

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


# Whole numbers are not floats.


@pytest.mark.parametrize(
    ("kind", "factor"), [("int16", 32768), ("int32", 2147483648), ("u1", 32768)]
)
def test_integer_samples_are_refused_with_the_factor(kind, factor):
    block = np.zeros((100, 1), kind)
    for call in (gate().process, gate().process_many, lambda b: gate().process(b[:, 0])):
        with pytest.raises(ConfigError, match=f"divide samples of .* bits by {factor}") as error:
            call(block)
        assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match="int16"):
        gate().process(np.zeros((100, 1), np.float32), key_input=np.zeros(100, np.int16))
    assert gate().process(np.zeros((100, 1))).dtype == np.float32
