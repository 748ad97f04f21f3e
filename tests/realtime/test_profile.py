"""A profile survives its file, refuses what it should, and streams what it gives at once."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import yaml
from refusals import one_line
from teaching import RATE, ProjectionDetector, bursts

from gate.errors import AudioFileError, ModelError
from gate.settings import GateSettings
from realtime.engine import open_detector, open_gate
from realtime.learn.memory import load_memory, pack_memory
from realtime.learn.profile import load_profile, memory_path, save_profile
from realtime.learn.profile_detector import ProfileDetector


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
    (tmp_path / "m.npz").write_bytes(pack_memory([replace(first, ears=said), second]))
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
    with one_line(ModelError, match):
        load_profile(path)


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


@pytest.mark.parametrize("room_kb", [0, 24])
def test_a_full_disk_leaves_profile_and_examples_as_they_were(profile, small_disk, room_kb):
    disk = small_disk("128k")
    path = disk / "low.gate.yaml"
    save_profile(replace(profile, memory=()), path)
    before = {p.name: p.read_bytes() for p in disk.iterdir()}
    room = shutil.disk_usage(disk).free - room_kb * 1024
    (disk / "fill").write_bytes(bytes(max(room, 0)))
    with pytest.raises(AudioFileError, match=r"low.gate.*: cannot be written .no space left"):
        save_profile(replace(profile, name="other"), path)
    (disk / "fill").unlink()
    assert {p.name: p.read_bytes() for p in disk.iterdir()} == before
