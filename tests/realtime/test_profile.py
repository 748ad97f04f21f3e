"""A profile survives its file, refuses what it should, and streams what it gives at once."""

from dataclasses import replace

import numpy as np
import pytest
import yaml
from teaching import RATE, ProjectionDetector, bursts, examples

from gate.errors import ModelError
from gate.processor import GateProcessor
from gate.settings import GateSettings
from realtime.engine import open_detector, open_gate
from realtime.learn.correct import Corrector, correction_of
from realtime.learn.examples import SHUT
from realtime.learn.memory import load_memory, save_memory
from realtime.learn.profile import load_profile, memory_path, save_profile
from realtime.learn.profile_detector import WINDOW_HOPS, ProfileDetector
from realtime.learn.remarks import TeachingNotes
from realtime.learn.teach import teach


@pytest.fixture(scope="module")
def profile():
    lesson = teach(examples(5.0), ProjectionDetector(), TeachingNotes(), "low tones", world=None)
    return lesson.profile


@pytest.fixture
def path(profile, tmp_path):
    save_profile(profile, tmp_path / "low.gate.yaml")
    return tmp_path / "low.gate.yaml"


def hops(n=150, seed=0):
    return np.random.default_rng(seed).uniform(-9, 0, (n, 64)).astype(np.float32)


def test_a_saved_profile_is_the_same_again(profile, path):
    again = load_profile(path)
    assert again.name == "low tones"
    np.testing.assert_array_equal(again.coefficients, profile.coefficients)
    one, two = (ProfileDetector(ProjectionDetector(), p).process(hops()) for p in (profile, again))
    # The bias and the key are written with six and three decimals.
    np.testing.assert_allclose(one.presence, two.presence, atol=1e-5)
    np.testing.assert_allclose(one.key, two.key, atol=1e-3)
    assert again.attack_ms == profile.attack_ms
    assert [r.fingerprint for r in again.memory] == [r.fingerprint for r in profile.memory]
    assert path.stat().st_size < 10_000


def test_it_holds_no_pickle_and_no_sound(path):
    with np.load(memory_path(path), allow_pickle=False) as data:
        assert set(data.files) == {"names", "lengths", "log_mel", "energy", "label", "sounding",
                                   "ears", "has_ears"}  # fmt: skip
    assert "!!python" not in path.read_text()


def test_a_profile_of_the_first_version_decides_by_the_classic_rule(profile, path):
    tree = yaml.safe_load(path.read_text())
    del tree["decision"], tree["world"]
    path.write_text(yaml.safe_dump({**tree, "format_version": 1}))
    with np.load(memory_path(path), allow_pickle=False) as data:
        old = {name: data[name] for name in data.files if name not in ("ears", "has_ears")}
    np.savez_compressed(memory_path(path), **old)
    again = load_profile(path)
    assert again.rule is None and again.world == {}
    assert ProfileDetector(ProjectionDetector(), again).info.decision == {}
    assert [r.fingerprint for r in again.memory] == [r.fingerprint for r in profile.memory]


def test_the_memory_keeps_what_the_ears_said(profile, tmp_path):
    first, second = profile.memory
    said = np.arange(len(first.label), dtype=np.uint8)[:, None]
    save_memory([replace(first, ears=said), second], tmp_path / "m.npz")
    again = load_memory(tmp_path / "m.npz")
    np.testing.assert_array_equal(again[0].ears, said)
    assert again[1].ears is None


def test_without_memory_it_still_gates(profile, tmp_path):
    save_profile(profile, tmp_path / "x.gate.yaml", with_memory=False)
    assert not (tmp_path / "x.gate.npz").exists()
    assert load_profile(tmp_path / "x.gate.yaml").memory == ()


@pytest.mark.parametrize("changed, match", [
    ({"format": "other"}, "not a profile made by gate-learn"),
    ({"format_version": 9}, "format_version=9 must be at most 2"),
    ({"name": None, "head": None}, "damaged"),
    ({"key": [0.5] * 3}, "key must be 64 weights"),
    ({"gate": {}}, "'presence_threshold' is missing"),
])  # fmt: skip
def test_a_bad_file_is_one_line(path, changed, match):
    tree = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**tree, **changed}))
    with pytest.raises(ModelError, match=match) as caught:
        load_profile(path)
    assert "\n" not in str(caught.value)


def test_numbers_out_of_their_range_are_refused(path):
    text = path.read_text()
    tree = yaml.safe_load(text)
    tree["gate"]["attack_ms"] = -1
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(ModelError, match=r"attack_ms=-1 must be from 0.05 to 500"):
        load_profile(path)
    tree = yaml.safe_load(text)
    tree["head"]["coefficients_float32_base64"] = "AAAA"
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(ModelError, match=r"low\.gate\.yaml"):
        load_profile(path)


def test_a_damaged_memory_is_one_line(path):
    memory_path(path).write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(ModelError, match="examples cannot be read"):
        load_profile(path)


def test_another_detector_is_refused(path):
    other = ProjectionDetector("cd" * 32)
    with pytest.raises(ModelError, match=r"taught on detector 'projection' abababababab.*teach it"):
        open_detector(other, path)
    with pytest.raises(ModelError, match="was taught on detector 'projection'"):
        open_detector(None, path)


def test_stream_equals_whole_and_fork_goes_on(profile):
    features = hops()
    whole = ProfileDetector(ProjectionDetector(), profile).process(features)
    stream = ProfileDetector(ProjectionDetector(), profile)
    parts = [stream.process(features[i : i + 1]).presence.copy() for i in range(60)]
    fork = stream.fork()
    parts.append(stream.process(features[60:61]).presence.copy())
    parts.append(stream.process(features[61:]).presence)
    # Float32 products in another order.
    np.testing.assert_allclose(np.concatenate(parts), whole.presence, atol=2e-5)
    np.testing.assert_allclose(fork.process(features[60:]).presence, whole.presence[60:], atol=2e-5)
    stream.reset()
    np.testing.assert_allclose(stream.process(features).presence, whole.presence, atol=2e-5)


def test_the_head_is_the_one_that_was_fitted(profile):
    """Projections and folded means give what the plain formula gives."""
    features = hops(80)
    embedding = ProjectionDetector().process(features).embedding
    x = profile.shape.inputs(features, embedding)
    scores = x @ profile.coefficients + profile.bias
    found = ProfileDetector(ProjectionDetector(), profile).process(features).presence[:, 0]
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-scores)), atol=2e-4)


def test_the_level_of_a_sound_does_not_change_its_presence(profile):
    detector = ProfileDetector(ProjectionDetector(), profile)
    a = detector.process(hops(50)).presence.copy()
    detector.reset()
    b = detector.process(hops(50) - np.float32(2.0)).presence
    np.testing.assert_allclose(a, b, atol=1e-4)


def test_the_profile_takes_the_place_of_any_target(path, profile):
    for target in ("speech", "music", "low tones"):
        gate = open_gate(
            GateSettings(target=target), sample_rate=RATE, model=ProjectionDetector(), profile=path
        )
        assert gate.presence_threshold == pytest.approx(profile.presence_threshold)
        gate.process(bursts("low", 1.0, 3)[:, None])
        assert gate.meters.hold_ms == pytest.approx(profile.hold_ms)
        assert gate.meters.attack_ms == pytest.approx(profile.attack_ms)


def test_recent_is_the_last_two_seconds(profile):
    detector = ProfileDetector(ProjectionDetector(), profile, remember=True)
    features = hops(WINDOW_HOPS + 75)
    for i in range(50):
        detector.process(features[i : i + 1])
    np.testing.assert_array_equal(detector.recent()[0], features[:50])
    detector.process(features[50:230])
    for i in range(230, len(features)):
        detector.process(features[i : i + 1])
    np.testing.assert_array_equal(detector.recent()[0], features[-WINDOW_HOPS:])


def run(gate, samples, changes=None):
    out = []
    for start in range(0, len(samples), 100):
        if changes:
            changes.pop(0)()
        out.append(gate.process(samples[start : start + 100, None]))
    return np.concatenate(out)[:, 0]


def test_a_wrong_opening_is_unlearned_in_the_background_and_undone(profile, tmp_path):
    detector = ProfileDetector(ProjectionDetector(), profile, remember=True)
    gate = GateProcessor(sample_rate=RATE, detector=detector)
    changes, said = [], []

    def take():
        def change():
            detector.swap(prepared)
            gate.settings = gate.settings

        changes.append(change)

    def apply(made):
        nonlocal prepared
        prepared = made
        take()

    prepared = None
    corrector = Corrector(detector, apply, said.append)
    with pytest.raises(Exception, match="nothing has been heard yet"):
        corrector.wrong(opened=True)
    sound = bursts("low", 2.0, 31)
    first = run(gate, sound)
    assert np.sum(first**2) > 0.5 * np.sum(sound**2)
    corrector.wrong(opened=True)
    corrector.wait()
    assert said == ["learned: opened wrongly"]
    second = run(gate, bursts("low", 2.0, 31), changes)
    # The examples still say the opposite; the last word counts, but not alone.
    assert np.sum(second**2) < 0.5 * np.sum(first**2)
    corrector.save(tmp_path / "better.gate.yaml")
    saved = load_profile(tmp_path / "better.gate.yaml")
    assert saved.memory[-1].name == "correction 1 (opened wrongly)"
    assert not np.array_equal(saved.coefficients, profile.coefficients)
    corrector.undo()
    corrector.wait()
    run(gate, np.zeros(8000, np.float32), changes)
    third = run(gate, bursts("low", 2.0, 31))
    assert np.sum(third**2) > 0.5 * np.sum(sound**2)
    np.testing.assert_array_equal(detector.profile.coefficients, profile.coefficients)
    with pytest.raises(Exception, match="no correction to undo"):
        corrector.undo()
    corrector.close()


def test_a_swap_does_not_click(profile):
    """Between two blocks of a steady sound the gain goes on from where it is."""
    detector = ProfileDetector(ProjectionDetector(), profile, remember=True)
    settings = GateSettings(attack_ms=5.0, release_ms=50.0)
    gate = GateProcessor(settings, sample_rate=RATE, detector=detector)
    never = replace(profile, bias=profile.bias - 100.0)
    gains = []
    gate.on_gains = lambda lane, gain: gains.append(gain.copy())
    time = np.arange(RATE) / RATE
    tone = sum(np.sin(2 * np.pi * 300 * k * time) / k for k in (1, 2, 3)).astype(np.float32) * 0.1
    gate.process_many(tone[:8000, None])
    detector.swap(detector.prepare(never))
    gate.settings = gate.settings
    gate.process_many(tone[8000:, None])
    gain = np.concatenate(gains)
    assert gain[7999] > 0.9 and gain[-1] < 0.01
    # The steepest step of a 50 ms release from 1 is 1 - exp(-1 / (0.05 * 16000)) = 0.00125.
    assert np.abs(np.diff(gain[7000:])).max() < 0.0013


def test_a_correction_leaves_alone_what_was_right(profile):
    detector = ProfileDetector(ProjectionDetector(), profile, remember=True)
    gate = GateProcessor(sample_rate=RATE, detector=detector)
    gate.process(np.concatenate([bursts("high", 1.0, 5), bursts("low", 1.0, 6)])[:, None])
    correction = correction_of(detector, True, "c")
    presence = detector.recent_presence()
    changed = correction.label == SHUT
    assert changed.any()
    assert presence[changed].min() >= profile.presence_threshold - profile.presence_hysteresis
    assert not changed[:80].any()  # the part with the other sound was shut already


def test_the_live_key_labels_learns_saves_and_undoes(profile, tmp_path):
    from realtime.live.audio_path import AudioPath
    from realtime.live.correct import LiveCorrections
    from realtime.live.detector_budget import BudgetedDetector
    from realtime.live.shared_state import SharedState

    state = SharedState()
    try:
        taught = ProfileDetector(ProjectionDetector(), profile, remember=True)
        gate = open_gate(sample_rate=RATE, model=BudgetedDetector(taught, 10.0))
        path = AudioPath(gate, state, in_columns=[0], out_columns=[0])
        target = tmp_path / "mine.gate.yaml"
        corrections = LiveCorrections(state, lambda: str(target))
        corrections.attach(path)

        def play(samples):
            out = np.zeros((100, 1), np.float32)
            total = 0.0
            for start in range(0, len(samples), 100):
                path.process(np.ascontiguousarray(samples[start : start + 100, None]), out)
                total += float(np.sum(out**2))
            return total

        before = play(bursts("low", 2.0, 31))
        corrections.wrong()
        corrections._corrector.wait()
        assert list(corrections.lines) == [
            "learning: opened wrongly", "learned: opened wrongly", f"saved: {target}",
        ]  # fmt: skip
        assert load_profile(target).memory[-1].name == "correction 1 (opened wrongly)"
        assert play(bursts("low", 2.0, 31)) < 0.6 * before
        corrections.undo()
        corrections._corrector.wait()
        play(np.zeros(8000, np.float32))
        # Not to the bit: the decimator and the running means have heard more by now.
        assert play(bursts("low", 2.0, 31)) == pytest.approx(before, rel=0.05)
        assert len(load_profile(target).memory) == len(profile.memory)
        assert state.callback_errors == 0
    finally:
        state.close()


def test_a_gate_without_a_profile_cannot_be_corrected():
    from types import SimpleNamespace

    from gate.errors import GateError
    from realtime.live.correct import LiveCorrections
    from realtime.live.shared_state import SharedState

    state = SharedState()
    try:
        corrections = LiveCorrections(state, lambda: None)
        gate = open_gate(sample_rate=RATE, model=ProjectionDetector())
        corrections.attach(SimpleNamespace(gate=gate, changes=[]))
        with pytest.raises(GateError, match="only a profile that keeps its examples"):
            corrections.wrong()
    finally:
        state.close()
