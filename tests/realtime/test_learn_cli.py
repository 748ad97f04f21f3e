"""`gate-learn` from the command line: every way in, every subcommand, every clear word."""

import json

import numpy as np
import pytest
import soundfile
from refusals import refuses
from teaching import RATE, ProjectionDetector, bursts

from realtime.learn import cli as learn_cli
from realtime.learn.profile import load_profile


@pytest.fixture(autouse=True)
def detector(monkeypatch):
    monkeypatch.setattr(learn_cli, "_detector", lambda model: ProjectionDetector())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    soundfile.write("low.wav", bursts("low", 6.0, 1), RATE)
    soundfile.write("high.wav", bursts("high", 6.0, 2), RATE)
    return tmp_path


def learn(*args):
    extra = []
    if "-o" in args and args[0] != "inspect":
        extra = ["--no-world", *([] if "--plot" in args else ["--no-plot"])]
    return learn_cli.main([*map(str, args), *extra])


def test_an_existing_profile_is_replaced_only_on_request(folder, capsys):
    args = ["--open", "low.wav", "--shut", "high.wav", "-o", "low.gate.yaml"]
    assert learn(*args) == 0
    before = (folder / "low.gate.yaml").read_bytes()
    assert learn(*args, "--name", "other") == 1
    assert "low.gate.yaml: exists already (--overwrite" in capsys.readouterr().err
    assert (folder / "low.gate.yaml").read_bytes() == before
    assert learn("update", "low.gate.yaml", "-o", "low.gate.yaml") == 1
    (folder / "low.gate.yaml").rename(folder / "kept.gate.yaml")
    assert learn(*args) == 1  # the examples beside it are still there
    assert "low.gate.npz: exists already" in capsys.readouterr().err
    assert learn(*args, "--name", "other", "--overwrite") == 0
    assert load_profile("low.gate.yaml").name == "other"


def test_the_world_counts_unless_it_is_refused(folder, capsys):
    args = ["--open", "low.wav", "--shut", "high.wav", "--no-plot", "-o"]
    assert learn_cli.main([*args, "with.gate.yaml"]) == 0
    said = capsys.readouterr().out
    assert "s of everyday sounds (heads that had not heard the kind)" in said
    assert load_profile("with.gate.yaml").world["seconds"] > 30
    # Against everyday sounds alone a gate can be taught with one side.
    assert learn_cli.main(["--open", "low.wav", "--no-plot", "-o", "one.gate.yaml"]) == 0
    assert "nothing to stay shut on but everyday sounds" in capsys.readouterr().err
    assert load_profile("one.gate.yaml").expected["balanced_accuracy"] > 0.8
    assert learn(*args, "without.gate.yaml") == 0
    assert "everyday" not in capsys.readouterr().out
    assert load_profile("without.gate.yaml").world == {}


def test_two_sides_make_a_profile_that_more_can_be_taught(folder, capsys):
    assert learn("--open", "low.wav", "--shut", "high.wav", "-o", "low.gate.yaml") == 0
    said = capsys.readouterr().out
    assert "opens on" in said and "% of low.wav" in said and "% of high.wav" in said
    assert "suggested: --threshold-db -" in said
    assert load_profile("low.gate.yaml").name == "low"

    assert learn("inspect", "low.gate.yaml") == 0
    said = capsys.readouterr().out
    assert "high.wav: 0 s open" in said

    assert learn("export-settings", "low.gate.yaml", "--json") == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["key_low_pass_hz"] < 4000 and -100 < numbers["threshold_db"] < 0
    assert learn("export-settings", "low.gate.yaml") == 0
    table = capsys.readouterr().out
    assert all(name in table for name in ("ReaGate", "OBS", "agate"))

    soundfile.write("mid.wav", bursts("mid", 4.0, 3), RATE)
    assert learn("update", "low.gate.yaml", "--open", "mid.wav", "-o", "more.gate.yaml") == 0
    assert [r.name for r in load_profile("more.gate.yaml").memory] == [
        "low.wav", "high.wav", "mid.wav",
    ]  # fmt: skip

    assert learn("--open", "mid.wav", "--shut", "high.wav", "-o", "mid.gate.yaml") == 0
    assert learn("merge", "low.gate.yaml", "mid.gate.yaml", "-o", "both.gate.yaml") == 0
    both = load_profile("both.gate.yaml")
    assert both.name == "low or mid"
    assert sorted(r.name for r in both.memory) == ["high.wav", "low.wav", "mid.wav"]


def test_labels_and_stems_teach_too(folder, capsys):
    low, high = bursts("low", 6.0, 1), bursts("high", 6.0, 2)
    soundfile.write("both.wav", np.concatenate([low, high, low[:RATE]]), RATE)
    (folder / "both.txt").write_text("0\t6\tvoice\n12\t13\tvoice\n")
    assert learn("--recording", "both.wav", "--labels", "both.txt", "-o", "l.gate.yaml") == 0
    assert load_profile("l.gate.yaml").expected["balanced_accuracy"] > 0.85
    pause = np.zeros(3 * RATE, np.float32)
    stem = np.concatenate([low[: 3 * RATE], pause, low[3 * RATE :], pause])
    soundfile.write("stem.wav", stem, RATE)
    mix = stem + np.concatenate([pause, high[: 3 * RATE], pause, high[3 * RATE :]])
    soundfile.write("mix.wav", mix, RATE)
    assert learn("--target-stem", "stem.wav", "--mix", "mix.wav", "-o", "s.gate.yaml") == 0
    assert load_profile("s.gate.yaml").expected["balanced_accuracy"] > 0.8


def test_a_picture_is_drawn(folder, capsys):
    args = ["--open", "low.wav", "--shut", "high.wav", "-o", "low.gate.yaml"]
    assert learn_cli.main([*args, "--plot", "low.png"]) == 0
    assert (folder / "low.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("args, code, match", [
    (["--open", "low.wav", "-o", "x.gate.yaml"], 2, "--shut is missing"),
    (["-o", "x.gate.yaml"], 2, "no examples"),
    (["--open", "low.wav", "--shut", "high.wav", "-o", "x.yaml"], 2, "must end with .gate.yaml"),
    (["--open", "low.wav", "--shut", "low.wav", "-o", "x.gate.yaml"], 2, "low.wav: is given with"),
    (["--open", "low.wav", "--shut", "copy.wav", "-o", "x.gate.yaml"], 1, "same sound is on both"),
    (["--open", "low.wav", "--shut", "silent.wav", "-o", "x.gate.yaml"], 1,
     "--shut: 0.0 s of sound must be at least 0.5 s"),
    (["--open", "short.wav", "--shut", "high.wav", "-o", "x.gate.yaml"], 1,
     "--open: 0.. s of sound must be at least 0.5 s"),
    (["--open", "none.wav", "--shut", "high.wav", "-o", "x.gate.yaml"], 1, "none.wav: No such"),
    (["--open", "slow.wav", "--shut", "high.wav", "-o", "x.gate.yaml"], 1,
     "sample_rate=4000 must be from 8000"),
    (["--recording", "low.wav", "-o", "x.gate.yaml"], 2, "need as many --labels"),
    (["--recording", "low.wav", "--labels", "all.txt", "-o", "x.gate.yaml"], 1, "labels all of"),
    (["--recording", "low.wav", "--labels", "none.txt", "-o", "x.gate.yaml"], 1, "labels nothing"),
    (["--target-stem", "low.wav", "-o", "x.gate.yaml"], 2, "1 --target-stem and 0 --mix"),
    (["inspect", "low.wav"], 1, "profile cannot be read|not a profile"),
    (["merge", "a.gate.yaml", "-o", "x.gate.yaml"], 2, "at least two profiles"),
])  # fmt: skip
def test_bad_teaching_is_one_line(folder, capsys, args, code, match):
    soundfile.write("copy.wav", bursts("low", 6.0, 1), RATE, subtype="PCM_24")
    soundfile.write("low.wav", bursts("low", 6.0, 1), RATE, subtype="PCM_24")
    soundfile.write("silent.wav", np.zeros(5 * RATE), RATE)
    soundfile.write("short.wav", bursts("low", 0.4, 1), RATE)
    soundfile.write("slow.wav", bursts("low", 6.0, 1), 4000)
    (folder / "all.txt").write_text("0\t99\t\n")
    (folder / "none.txt").write_text("")
    assert learn(*args) == code
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if "error:" in line]
    assert len(lines) == 1 and "Traceback" not in error
    import re

    assert re.search(match, lines[0]), lines


def test_where_it_can_go_on_it_goes_on_and_warns(folder, capsys):
    loud = np.clip(8.0 * bursts("low", 6.0, 1), -1, 1)
    high = bursts("high", 6.0, 2)
    soundfile.write("clipped.wav", np.stack([loud, loud], axis=1), RATE)
    soundfile.write("silent.wav", np.zeros(3 * RATE), RATE)
    soundfile.write("phase.wav", np.stack([high, -high], axis=1), RATE)
    args = ["--open", "clipped.wav", "--shut", "high.wav", "silent.wav"]
    assert learn(*args, "-o", "w.gate.yaml") == 0
    error = capsys.readouterr().err
    assert "samples are clipped" in error
    assert "silent.wav: is silent" in error and "left out" in error
    assert "clipped.wav: 2 channels, heard as one" in error
    # In opposite phase they are heard all the same.
    assert learn("--open", "low.wav", "--shut", "phase.wav", "-o", "p.gate.yaml") == 0
    assert load_profile("p.gate.yaml").expected["balanced_accuracy"] > 0.85


def test_what_is_on_both_sides_is_left_out(folder, capsys):
    shared = bursts("mid", 2.0, 9)
    soundfile.write("low.wav", np.concatenate([bursts("low", 6.0, 1), shared]), RATE)
    soundfile.write("high.wav", np.concatenate([bursts("high", 6.0, 2), shared]), RATE)
    assert learn("--open", "low.wav", "--shut", "high.wav", "-o", "w.gate.yaml") == 0
    assert "contradict each other and are left out" in capsys.readouterr().err
    labels = [r.label for r in load_profile("w.gate.yaml").memory]
    assert all((label == -1).sum() > 50 for label in labels)


@pytest.mark.parametrize(
    ("more", "message", "code"),
    [
        (["-o", "x.gate.yaml", "--plot", "pic.ogg"], "plot=pic.ogg must end in .png", 2),
        (["-o", "x.gate.yaml", "--plot", "/"], "plot=/ must end in .png", 2),
        (["-o", "x.gate.yaml", "--plot", "low.png"], "low.png: is the input", 1),
        (["-o", "folder.gate.yaml"], "folder.gate.yaml: is a folder", 1),
        (["-o", "there.gate.yaml"], "there.gate.npz: exists already", 1),
    ],
)
def test_outputs_that_cannot_be(folder, capsys, more, message, code):
    (folder / "folder.gate.yaml").mkdir()
    (folder / "there.gate.npz").write_bytes(b"mine")
    (folder / "low.png").symlink_to(folder / "low.wav")
    refuses(
        learn_cli.main, ["--open", "low.wav", "--shut", "high.wav", *more], code, message, capsys
    )
