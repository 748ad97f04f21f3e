"""What a mark takes, heads that are swapped without a click, and what is shown of teaching."""

import time
from dataclasses import replace

import numpy as np
import pytest
from fed_gate import meters
from teaching import RATE, ProjectionDetector, bursts
from teaching_rig import Gate, enough

from gate.processor import GateProcessor
from gate.settings import GateSettings
from realtime.config import Config
from realtime.learn.examples import from_samples
from realtime.learn.profile_detector import ProfileDetector
from realtime.learn.recording import OPEN, pack_ears, unpack_energy, unpack_log_mel
from realtime.live.control import LiveControl
from realtime.live.detector_budget import BudgetedDetector
from realtime.live.heard import WINDOW_HOPS, HeardDetector, heard_detectors, take_profile
from realtime.live.marks import energy_of, mark_of
from realtime.live.panels import screen


def test_a_swap_does_not_click(profile):
    """Between two blocks of a steady sound the gain goes on from where it is."""
    heard = HeardDetector(ProfileDetector(ProjectionDetector(), profile))
    settings = GateSettings(attack_ms=5.0, release_ms=50.0)
    gate = GateProcessor(settings, sample_rate=RATE, detector=heard)
    never = replace(profile, bias=profile.bias - 100.0)
    gains = []
    gate.on_gains = lambda lane, gain: gains.append(gain.copy())
    t = np.arange(RATE) / RATE
    tone = sum(np.sin(2 * np.pi * 300 * k * t) / k for k in (1, 2, 3)).astype(np.float32) * 0.1
    gate.process_many(tone[:8000, None])
    take_profile(gate, heard_detectors(gate)[0].prepare(never))
    gate.process_many(tone[8000:, None])
    gain = np.concatenate(gains)
    assert gain[7999] > 0.9 and gain[-1] < 0.01
    # The steepest step of a 50 ms release from 1 is 1 - exp(-1 / (0.05 * 16000)) = 0.00125.
    assert np.abs(np.diff(gain[7000:])).max() < 0.0013


def test_a_swapped_head_has_heard_the_last_two_seconds(profile):
    rng = np.random.default_rng(0)
    features = rng.uniform(-9, 0, (WINDOW_HOPS + 75, 64)).astype(np.float32)
    heard = HeardDetector(ProjectionDetector())
    for i in range(50):
        heard.process(features[i : i + 1])
    np.testing.assert_array_equal(heard.recent()[0], features[:50])
    heard.process(features[50:230])
    for i in range(230, len(features)):
        heard.process(features[i : i + 1])
    np.testing.assert_array_equal(heard.recent()[0], features[-WINDOW_HOPS:])
    heard.swap(heard.prepare(profile))
    always = ProfileDetector(ProjectionDetector(), profile)
    always.process(features)
    following = rng.uniform(-9, 0, (20, 64)).astype(np.float32)
    # Means of 0.2 s have forgotten what was before the two seconds: exp(-10) is 5e-5.
    np.testing.assert_allclose(
        heard.process(following).presence, always.process(following).presence, atol=1e-3
    )


def test_independent_channels_are_taught_together(profile):
    settings = GateSettings(stereo_link="independent")
    detector = BudgetedDetector(HeardDetector(ProjectionDetector()), 10.0)
    gate = GateProcessor(settings, sample_rate=RATE, channels=2, detector=detector)
    gate.process(np.zeros((400, 2), np.float32))
    take_profile(gate, heard_detectors(gate)[0].prepare(profile))
    sound = np.stack([bursts("low", 2.0, 1), bursts("high", 2.0, 2)], axis=1)
    heard = gate.process(sound)
    share = np.sum(heard**2, axis=0) / np.sum(sound**2, axis=0)
    assert share[0] > 0.5 and share[1] < 0.2
    assert len({id(d) for d in heard_detectors(gate)}) == 2


def test_a_mark_takes_the_last_five_seconds_and_none_twice(state):
    gate = Gate(state)
    gate.play(bursts("low", 8.0, 1))
    mark, row = mark_of(state, OPEN, 0, 1)
    assert len(mark.recording.label) == 500 and row == state.hop_rows
    gate.play(bursts("low", 2.0, 2))
    mark, _ = mark_of(state, OPEN, row, 2)
    assert len(mark.recording.label) == state.hop_rows - row
    sound = np.concatenate([bursts("low", 8.0, 1), bursts("low", 2.0, 2)])
    log_mel = from_samples(sound, RATE, OPEN).log_mel
    # What the stream heard is what a file would have been reduced to, within a step of 8 bits.
    theirs = log_mel[-len(mark.recording.label) - 5 :].astype(int)
    mine = mark.recording.log_mel.astype(int)
    distance = [np.abs(theirs[i : i + len(mine)] - mine).max() for i in range(6)]
    assert min(distance) <= 1


def test_a_mark_keeps_what_the_second_ears_said(state):
    rng = np.random.default_rng(0)
    said = rng.uniform(-2.0, 2.0, (300, 2)).astype(np.float32)
    for row in said:
        state.put_hop(meters(), rng.uniform(-9, 0, 64), row)
    mark, _ = mark_of(state, OPEN, 0, 1)
    np.testing.assert_array_equal(mark.recording.ears, pack_ears(said))
    assert state.heard_since(290)[2].shape == (10, 2)


@pytest.mark.parametrize(
    ("gain_db", "level"), [(-60.0, "too quiet"), (0.0, "ok"), (18.0, "too loud")]
)
def test_the_level_is_checked(state, gain_db, level):
    gate = Gate(state)
    gate.play(bursts("low", 5.0, 1) * np.float32(10 ** (gain_db / 20)))
    gate.control.mark_open()
    assert gate.status["teach_level"] == level
    assert any(level in line for line in gate.said) == (level != "ok")


def test_the_energy_of_log_mel_is_about_the_weighted_energy():
    rng = np.random.default_rng(0)
    noise = 0.1 * rng.standard_normal(10 * RATE).astype(np.float32)
    sound = bursts("low", 10.0, 1)
    for samples, tolerance_db in ((noise, 1.0), (sound, 1.5)):
        recording = from_samples(samples, RATE, OPEN)
        mine = energy_of(unpack_log_mel(recording.log_mel))
        theirs = unpack_energy(recording.energy)
        assert len(mine) == len(theirs)
        ratio_db = 10 * np.log10(mine.mean() / theirs.mean())
        assert abs(ratio_db) < tolerance_db
    assert np.isfinite(energy_of(np.full((3, 64), np.log(1e-5), np.float32))).all()


def test_the_screen_shows_what_to_do_next(state, profile):
    gate = Gate(state, profile)

    def shown():
        hops, row = state.hops_since(-500)
        return screen(gate.status, gate.control.stream, hops, row, [], 160, 40).plain

    assert "mark it as open" in shown() and "o opens  s stays shut" in shown()
    enough(gate)
    text = shown()
    assert "taught, about" in text and "level ok" in text and "try it" in text


def test_events_can_be_followed_by_several():
    said = []
    control = LiveControl(Config(), None, said.append)
    control.say("one")
    events, number = control.events_since(0)
    assert [e["text"] for e in events] == ["one"] == said
    assert abs(events[0]["time"] - time.time()) < 60
    for turn in range(300):
        control.say(f"line {turn}")
    assert len(control.events_since(0)[0]) == 200
    later, _ = control.events_since(number + 298)
    assert [e["text"] for e in later] == ["line 298", "line 299"]
