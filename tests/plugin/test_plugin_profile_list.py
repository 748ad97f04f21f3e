"""Profiles of the user as a parameter: listed by name, chosen, kept by the session."""

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pedalboard
import pytest
import soundfile
from plugin_native import NativeGate
from plugin_signals import bursts
from plugin_taught import taught_profile
from test_plugin_hosts import ClapHost, lv2_env  # noqa: F401 - a fixture
from waiting import require_programs

from gate.settings import GateSettings
from realtime.learn.profile import save_profile
from realtime.learn.profile_folder import profile_folder

RATE = 48000
SETTINGS = GateSettings(threshold_db=-60)
LABELS = ["None", "broken (refused: is not a profile)", "dogs",
          "foreign (refused: was taught on another detector)", "hens"]  # fmt: skip


@pytest.fixture(scope="module")
def sound():
    return bursts(RATE, seconds=2.0)


@pytest.fixture
def folder(detector, sound, tmp_path, monkeypatch):
    """The user's folder: two profiles that differ, one of another detector, one that is none."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    where = profile_folder()
    where.mkdir(parents=True)
    taught = taught_profile(detector, sound, None)
    save_profile(taught, where / "hens.gate.yaml")
    save_profile(replace(taught, bias=taught.bias - 1.0), where / "dogs.gate.yaml")
    save_profile(replace(taught, detector_sha256="0" * 64), where / "foreign.gate.yaml")
    (where / "broken.gate.yaml").write_text("format: something else\n")
    (where / ".hidden.gate.yaml").write_text("")
    (where / "folder.gate.yaml").mkdir()
    (where / "notes.txt").write_text("")
    return where


def _expected(core, sound, path=None):
    """What the core makes of it with a profile, or without."""
    gate = NativeGate(core, SETTINGS, sample_rate=RATE)
    if path is not None:
        assert gate.load_profile(path.read_text()) is None
        gate.reset()
    return gate.process(sound)


@pytest.fixture
def clap(plugins, tools, sound, tmp_path):
    host = ClapHost(plugins, tools, tmp_path)

    def run(*options):
        """Samples, value of the parameter, labels of its choices."""
        got, _, text = host(sound, *options, variant="mono", controls=False)
        lines = text.splitlines()
        labels = [line.split(" ", 3)[3] for line in lines if line.startswith("choice Profile ")]
        value = next(line for line in lines if line.startswith("parameter Profile = "))
        return got, int(value.rsplit(" ", 1)[1]), labels

    return run


def test_clap_lists_and_plays_them(core, clap, sound, folder):
    got, value, labels = clap("Threshold=-60", "Profile=4")
    assert (value, labels) == (4, LABELS)
    hens = _expected(core, sound, folder / "hens.gate.yaml")
    dogs = _expected(core, sound, folder / "dogs.gate.yaml")
    plain = _expected(core, sound)
    for one, other in ((hens, dogs), (hens, plain), (dogs, plain)):
        assert np.abs(one - other).max() > 0.01
    assert np.abs(got - hens).max() < 1e-6
    assert np.abs(clap("Threshold=-60", "Profile=2")[0] - dogs).max() < 1e-6
    for refused in (1, 3):  # the gate goes on as it is without
        assert np.abs(clap("Threshold=-60", f"Profile={refused}")[0] - plain).max() < 1e-6


def test_clap_keeps_the_choice_by_its_name(core, clap, sound, folder, tmp_path):
    state, again = tmp_path / "state", tmp_path / "again"
    hens = _expected(core, sound, folder / "hens.gate.yaml")
    plain = _expected(core, sound)
    clap("Threshold=-60", "Profile=4", "--save", state)
    assert np.abs(clap("--load", state)[0] - hens).max() < 1e-6
    # Others come before it in the list now.
    shutil.copy(folder / "dogs.gate.yaml", folder / "ants.gate.yaml")
    got, value, labels = clap("--load", state)
    assert labels[value] == "hens" and value == 5
    assert np.abs(got - hens).max() < 1e-6
    # It is gone: the gate goes on without it, and a session saved now still knows the name.
    (folder / "hens.gate.yaml").rename(tmp_path / "hens")
    got, value, _ = clap("--load", state, "--save", again)
    assert value == 0
    assert np.abs(got - plain).max() < 1e-6
    (tmp_path / "hens").rename(folder / "hens.gate.yaml")
    got, value, labels = clap("--load", again)
    assert labels[value] == "hens"
    assert np.abs(got - hens).max() < 1e-6


def test_an_empty_folder_says_how_to_fill_it(clap, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "nowhere"))
    _, value, labels = clap()
    assert (value, labels) == (0, ["None", "(gate-learn install adds some)"])


@pytest.mark.parametrize("data_home", (None, "relative"))
def test_the_folder_is_the_one_of_the_commands(clap, folder, tmp_path, monkeypatch, data_home):
    """Without XDG_DATA_HOME, or with one that is no absolute path: below the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", data_home or "")
    assert profile_folder() == tmp_path / "home/.local/share/exemplar-gate/profiles"
    shutil.copytree(folder, profile_folder())
    assert clap()[2] == LABELS


def test_vst3_lists_plays_and_keeps_them(core, plugins, sound, folder):
    path = str(plugins / "vst3" / "exemplar-gate-mono.vst3")
    plugin = pedalboard.load_plugin(path)
    assert list(plugin.parameters["profile"].valid_values) == LABELS
    plugin.profile = "hens"
    hens = _expected(core, sound, folder / "hens.gate.yaml")
    got = plugin.process(sound.T, RATE, buffer_size=333).T
    assert np.abs(got - hens).max() < 1e-6
    saved = plugin.raw_state
    shutil.copy(folder / "dogs.gate.yaml", folder / "ants.gate.yaml")
    later = pedalboard.load_plugin(path)
    later.raw_state = saved
    got = later.process(sound.T, RATE, buffer_size=333).T
    assert np.abs(got - hens).max() < 1e-6


def test_lv2_lists_and_plays_them(core, sound, folder, lv2_env, tmp_path):  # noqa: F811
    """In hosts that know dynamic manifests, as lilv does; elsewhere the port is a number."""
    require_programs(lv2info="lilv-utils", lv2apply="lilv-utils")
    env = lv2_env | {"XDG_DATA_HOME": str(folder.parents[1])}
    done = subprocess.run(
        ["lv2info", "urn:exemplar-gate:mono"], env=env, capture_output=True, text=True, check=True
    )
    (port,) = (p for p in done.stdout.split("\tPort ") if "Symbol:      profile\n" in p)
    for number, label in enumerate(LABELS):
        assert f'{number} = "{label}"' in port
    assert done.stderr == ""
    soundfile.write(tmp_path / "in.wav", sound, RATE, subtype="FLOAT")
    subprocess.run(
        ["lv2apply", "-i", tmp_path / "in.wav", "-o", tmp_path / "out.wav",
         "-c", "threshold_db", "-60", "-c", "profile", "4", "urn:exemplar-gate:mono"],
        env=env, check=True, capture_output=True,
    )  # fmt: skip
    got = soundfile.read(tmp_path / "out.wav", dtype="float32", always_2d=True)[0]
    hens = _expected(core, sound, folder / "hens.gate.yaml")
    assert np.abs(got[: len(hens)] - hens).max() < 1e-4
