"""What the gate does to sound, and what it refuses: keep or kill, modes, keys, formats."""

import numpy as np
import pytest
from fakes import ScriptedDetector, speech_and_noise
from gates import gains, gate, in_blocks
from refusals import one_line

from gate.detector import NoDetector
from gate.errors import ConfigError
from gate.settings import GateSettings

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


# Whole numbers are not floats.


@pytest.mark.parametrize(
    ("kind", "factor"), [("int16", 32768), ("int32", 2147483648), ("u1", 128), ("u2", 32768)]
)
def test_integer_samples_are_refused_with_the_factor(kind, factor):
    block = np.zeros((100, 1), kind)
    for call in (gate().process, gate().process_many, lambda b: gate().process(b[:, 0])):
        with one_line(ConfigError, f"divide samples of .* bits by {factor}$"):
            call(block)
    with pytest.raises(ConfigError, match="int16"):
        gate().process(np.zeros((100, 1), np.float32), key_input=np.zeros(100, np.int16))
    assert gate().process(np.zeros((100, 1))).dtype == np.float32


def test_key_listen_taken_up_again_begins_anew_whatever_the_blocks():
    sound = np.random.default_rng(5).normal(0, 0.1, (48000, 1)).astype(np.float32)
    outs = []
    for size in (100, 1009):
        processor = gate(GateSettings(threshold_db=-50.0), detector=NoDetector())
        parts = []
        for second, listens in enumerate((True, False, True, False, True)):
            processor.settings = GateSettings(threshold_db=-50.0, key_listen=listens)
            part = sound[second * 9600 : (second + 1) * 9600]
            parts += [processor.process(part[i : i + size]) for i in range(0, len(part), size)]
        outs.append(np.concatenate(parts))
    np.testing.assert_allclose(outs[0], outs[1], atol=1e-6)
