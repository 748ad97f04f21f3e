"""`gate-learn install`: a profile goes where the plugin and gate-live find it by name."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from realtime.learn import cli
from realtime.learn.head import HeadShape
from realtime.learn.profile import Profile, load_profile, memory_path, save_profile
from realtime.learn.profile_folder import listed_profiles, profile_folder
from realtime.models import find_model


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def profile():
    shipped = hashlib.sha256(find_model("voice").read_bytes()).hexdigest()
    return Profile(
        name="hens", detector="voice", detector_sha256=shipped, shape=HeadShape((0.1,)),
        coefficients=np.ones(2 * 192, np.float32), bias=0.0, presence_threshold=0.5,
        attack_ms=2.0, release_ms=50.0, key=None, suggested_threshold_db=-50.0,
    )  # fmt: skip


@pytest.fixture
def path(profile, tmp_path):
    save_profile(profile, tmp_path / "hens.gate.yaml")
    return tmp_path / "hens.gate.yaml"


def test_it_is_copied_whole_and_listed(path, capsys):
    memory_path(path).write_bytes(b"no examples")
    assert cli.main(["install", str(path)]) != 0  # damaged: nothing is written
    assert "hens.gate.npz" in capsys.readouterr().err
    assert not profile_folder().exists()
    memory_path(path).unlink()
    assert cli.main(["install", str(path)]) == 0
    said = capsys.readouterr()
    target = profile_folder() / "hens.gate.yaml"
    assert said.out == f"installed: {target}\n"
    assert target.read_bytes() == path.read_bytes()
    assert listed_profiles() == [("hens", str(target))]


def test_the_examples_come_along(lesson, tmp_path):
    """So that the installed profile can be taught more."""
    save_profile(lesson.profile, tmp_path / "low.gate.yaml")
    assert cli.main(["install", "low.gate.yaml"]) == 0
    installed = load_profile(profile_folder() / "low.gate.yaml")
    fingerprints = [recording.fingerprint for recording in lesson.profile.memory]
    assert [recording.fingerprint for recording in installed.memory] == fingerprints


def test_another_name(path):
    assert cli.main(["install", "hens.gate.yaml", "--name", "my hens"]) == 0
    assert [name for name, _ in listed_profiles()] == ["my hens"]


@pytest.mark.parametrize("name", ("../evil", "a/b", "", ".hidden"))
def test_a_name_that_is_none_is_refused(path, name, tmp_path, capsys):
    assert cli.main(["install", str(path), "--name", name]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hens.gate.yaml"]


def test_what_is_there_stays_unless_told(path, profile, capsys):
    assert cli.main(["install", str(path)]) == 0
    before = (profile_folder() / "hens.gate.yaml").read_bytes()
    save_profile(replace(profile, bias=1.0), path)
    assert cli.main(["install", str(path)]) != 0
    assert "exists already" in capsys.readouterr().err
    assert (profile_folder() / "hens.gate.yaml").read_bytes() == before
    (profile_folder() / "hens.gate.npz").write_bytes(b"examples of the old one")
    assert cli.main(["install", str(path), "--overwrite"]) == 0
    assert load_profile(profile_folder() / "hens.gate.yaml").bias == 1.0
    assert not (profile_folder() / "hens.gate.npz").exists()


def test_installing_the_installed_one_loses_nothing(path):
    assert cli.main(["install", str(path)]) == 0
    target = profile_folder() / "hens.gate.yaml"
    before = target.read_bytes()
    assert cli.main(["install", str(target), "--overwrite"]) != 0
    assert target.read_bytes() == before


def test_one_of_another_detector_is_installed_with_a_warning(path, profile, capsys):
    save_profile(replace(profile, detector="mine", detector_sha256="0" * 64), path)
    assert cli.main(["install", str(path)]) == 0
    said = capsys.readouterr()
    assert "taught on detector 'mine'" in said.err and "gate-learn update" in said.err


@pytest.mark.parametrize("text", ("", "format: no\n", "format: exemplar-gate-profile\n"))
def test_what_is_no_profile_is_refused(path, text, capsys):
    path.write_text(text)
    assert cli.main(["install", str(path)]) != 0
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not profile_folder().exists()
