"""What may be written, and how: never an input, never what is there, whole or not at all."""

import errno
import os
import shutil
import subprocess
import sys

import pytest
from fakes import sound
from refusals import refuses

from gate.errors import AudioFileError
from realtime import outputs
from realtime.batch.cli import main
from realtime.outputs import (
    OutputRules,
    Replacement,
    discard_partials,
    partial_name,
    partial_owner,
    printable,
    write_text,
)

GATE = ["--model", "none", "--threshold-db", "-40", "--quiet"]


def run(*arguments):
    return main([*map(str, arguments), *GATE])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three recordings, and other names of the first one."""
    for name in "abc":
        sound(tmp_path / f"{name}.wav")
    (tmp_path / "sub").mkdir()
    os.symlink(tmp_path / "a.wav", tmp_path / "link.wav")
    os.link(tmp_path / "a.wav", tmp_path / "hard.wav")
    os.symlink(tmp_path, tmp_path / "sub" / "up")
    monkeypatch.chdir(tmp_path)
    return tmp_path


OTHER_NAMES = ["a.wav", "./a.wav", "sub/../a.wav", "link.wav", "hard.wav", "sub/up/a.wav"]


@pytest.mark.parametrize("name", OTHER_NAMES)
@pytest.mark.parametrize("what", ["--report", "-o"])
def test_an_input_is_never_an_output(folder, capsys, name, what):
    before = (folder / "a.wav").read_bytes()
    more = ["-o", "gated/", "--report", name] if what == "--report" else ["-o", name]
    assert run("a.wav", *more, "--overwrite") == 1
    assert capsys.readouterr().err.count(": is the input") == 1
    assert (folder / "a.wav").read_bytes() == before
    assert not (folder / "gated").exists()


def test_what_else_is_read_is_no_output_either(folder, capsys):
    (folder / "labels.csv").write_text("file,start_s,end_s\na.wav,0.1,0.2\n")
    (folder / "settings.yaml").write_text("gate: {range_db: -40}\n")
    reads = {"--labels": "labels.csv", "--config": "settings.yaml", "--key-input": "b.wav"}
    for option, path in reads.items():
        more = [] if option == "--labels" else ["--labels", "labels.csv"]
        more += [option, path, "--report", path, "--overwrite"]
        assert run("a.wav", "-o", "x.wav", *more) == 1
        assert f"{path}: is the input" in capsys.readouterr().err


def test_nothing_that_is_there_is_replaced_unasked(folder, capsys):
    (folder / "notes.txt").write_text("mine")
    (folder / "x.wav.png").write_text("mine")
    (folder / "notes.txt.wav").write_text("mine")
    os.symlink("nowhere", folder / "dangling.json")
    for more in (["--report", "notes.txt"], ["--plot"], ["--report", "dangling.json"],
                 ["-o", "notes.txt.wav"]):  # fmt: skip
        assert run("a.wav", "-o", "x.wav", *more) == 1
        assert "exists already (--overwrite replaces it)" in capsys.readouterr().err
    assert (folder / "notes.txt.wav").read_text() == "mine"
    assert (folder / "notes.txt").read_text() == (folder / "x.wav.png").read_text() == "mine"
    assert not (folder / "x.wav").exists()
    assert run("a.wav", "-o", "x.wav", "--report", "notes.txt", "--overwrite") == 0
    assert (folder / "notes.txt").read_text().startswith("{")


def test_no_two_outputs_on_one_name(folder, capsys):
    assert run("a.wav", "-o", "x.wav", "--report", "x.wav") == 1
    assert "would be written twice" in capsys.readouterr().err
    assert run("a.wav", "-o", "x.wav", "--trace", "--report", "./x.wav.trace.csv") == 1
    assert "would be written twice" in capsys.readouterr().err
    more = ["--resume", "--report", "out/.gate-batch.jsonl", "--overwrite"]
    assert run("a.wav", "-o", "out", *more) == 1
    assert "would be written twice, as report and as journal" in capsys.readouterr().err
    sound(folder / "sub" / "a.wav")
    assert run("a.wav", "sub/a.wav", "-o", "out") == 2
    assert "would both become" in capsys.readouterr().err
    sound(folder / "sub" / "a.flac")
    assert run("sub/a.wav", "sub/a.flac", "-o", "out", "--format", "ogg") == 2
    assert "would both become" in capsys.readouterr().err


def test_names_that_differ_in_case_only(tmp_path, monkeypatch):
    rules = OutputRules()
    rules.claim(tmp_path / "a.wav")
    rules.claim(tmp_path / "A.wav")  # two files, where the file system tells them apart
    monkeypatch.setattr(outputs, "_ignores_case", lambda folder: True)
    rules = OutputRules()
    rules.claim(tmp_path / "ü.wav")
    with pytest.raises(AudioFileError, match="does not tell their names apart"):
        rules.claim(tmp_path / "U\u0308.WAV")
    monkeypatch.undo()
    assert outputs._ignores_case(tmp_path / "not" / "there") is (tmp_path / "X").exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["/", ".", "sub", "sub/"])
def test_a_folder_is_no_file(folder, capsys, name):
    more = ["-o", "x.wav", "--report", name, "--overwrite"]
    refuses(main, ["a.wav", *more, *GATE], 1, "is a folder; name a file for the report", capsys)


@pytest.mark.parametrize("n_bytes", [227, 228, 250, 255])
def test_names_up_to_the_longest(tmp_path, n_bytes):
    name = "ü" * ((n_bytes - 4) // 2) + "x" * (n_bytes % 2) + ".wav"
    assert len(os.fsencode(name)) == n_bytes
    sound(tmp_path / name)
    assert run(tmp_path / name, "-o", tmp_path / "out") == 0
    assert [p.name for p in (tmp_path / "out").iterdir()] == [name]


def test_a_side_file_whose_name_is_too_long_is_told(tmp_path, capsys):
    name = "x" * 246 + ".wav"
    sound(tmp_path / name)
    assert run(tmp_path / name, "-o", tmp_path / "out", "--trace") == 1
    assert "the name is too long, 255 bytes are possible" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    sound(tmp_path / "b.wav")  # is not stopped by it
    assert run(tmp_path, "-o", tmp_path / "out", "--trace") == 1
    assert capsys.readouterr().err.count("the name is too long") == 1
    assert (tmp_path / "out" / "b.wav").exists() and not (tmp_path / "out" / name).exists()


def test_partial_names_are_short_own_and_recognised(tmp_path):
    for name in ("a.wav", "x" * 255, "ü" * 127, "bad\udcff.wav"):
        first, second = partial_name(tmp_path / name), partial_name(tmp_path / name)
        assert first != second and len(os.fsencode(first.name)) < 255
        assert partial_owner(first.name, {"b.wav", name}) == name
        assert partial_owner(first.name, {"b.wav"}) is None
    assert partial_owner(".notes.partial", {"notes"}) is None


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    with Replacement(tmp_path / "sub" / "a.txt") as output:
        output.file.write(b"half")
        assert not (tmp_path / "sub" / "a.txt").exists()
    assert list((tmp_path / "sub").iterdir()) == []
    output = Replacement(tmp_path / "b.txt")
    discard_partials()
    assert [p.name for p in tmp_path.iterdir()] == ["sub"]
    write_text(tmp_path / "c.txt", "bad\udcff")
    assert (tmp_path / "c.txt").read_bytes() == b"bad\xff"
    (tmp_path / "c.txt").chmod(0o600)
    write_text(tmp_path / "c.txt", "new")
    assert (tmp_path / "c.txt").stat().st_mode & 0o777 == 0o600
    os.symlink(tmp_path / "c.txt", tmp_path / "link.txt")
    write_text(tmp_path / "link.txt", "through")
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "c.txt").read_text() == "through"
    write_text("/dev/null", "gone")
    assert not os.path.isfile("/dev/null")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff"])
@pytest.mark.parametrize("after", [0, 3000])
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, monkeypatch, capsys, name, after):
    """A disk that takes so many bytes more; the buffer of the file is made small."""
    source = sound(tmp_path / "in.wav", seconds=2.0)
    left = [after]

    class Full:
        def __init__(self, file):
            self._file = file

        def __getattr__(self, attribute):
            return getattr(self._file, attribute)

        def write(self, data):
            left[0] -= len(data)
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self._file.write(data)

    init = Replacement.__init__

    def full(self, path):
        init(self, path)
        self.file = Full(self.file)

    monkeypatch.setattr(Replacement, "__init__", full)
    assert run(source, "-o", tmp_path / "out" / name) == 1
    error = capsys.readouterr().err
    assert f"{name}: cannot be written (no space left on device)" in error
    assert error.count("\n") == 1 and list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("more", [[], ["--trace"], ["--jobs", "2"], ["--resume"]])
def test_a_disk_that_is_really_full(tmp_path, small_disk, capsys, more):
    small = small_disk("64k")
    if more == ["--resume"]:  # no room for the journal either
        (small / "fill").write_bytes(bytes(shutil.disk_usage(small).free))
    for name in "ab":
        sound(tmp_path / f"{name}.wav", seconds=5.0)
    assert run(tmp_path / "a.wav", tmp_path / "b.wav", "-o", small, *more) == 1
    assert capsys.readouterr().err.count("cannot be written (no space left on device)") == 2
    assert not list(small.glob("*.wav*")) and not list(small.glob(".*partial"))


def test_names_and_messages_print_as_one_line():
    assert printable("a\nb\x1b[2J\udcff.wav") == "a\\nb\\x1b[2J\\xff.wav"


ENCODINGS = [
    {"PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "C"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"PYTHONIOENCODING": "latin-1"},
]


@pytest.mark.parametrize("environment", ENCODINGS)
def test_any_name_on_any_terminal(tmp_path, environment):
    names = [b"bad\xff.wav", "ümläut.wav".encode(), b"new\nline.wav"]
    os.makedirs(tmp_path / "in")
    for name in names:
        sound(os.fsencode(tmp_path / "in") + b"/" + name)
    labels = tmp_path / "labels.csv"
    labels.write_bytes(b"file,start_s,end_s\nbad\xff.wav,0.1,0.2\n")
    done = subprocess.run(
        [sys.executable, "-m", "realtime.batch.cli", str(tmp_path / "in"), "-o",
         str(tmp_path / "out"), *GATE[:-1], "--trace", "--report", str(tmp_path / "r.json"),
         "--labels", str(labels)],
        env=os.environ | environment, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr
    assert done.stdout.count(b"\n") == 4 and b"bad\\xff.wav" in done.stdout
    assert set(names) < set(os.listdir(os.fsencode(tmp_path / "out")))
    import json

    report = json.loads((tmp_path / "r.json").read_bytes())
    found = {os.fsencode(file["file"]).rpartition(b"/")[2]: file for file in report["files"]}
    assert set(found) == set(names) and "measures" in found[b"bad\xff.wav"]


def test_a_report_that_cannot_be_written_is_told_first(folder, capsys):
    assert run("a.wav", "-o", "x.wav", "--report", "b.wav/r.json") == 1
    assert "b.wav: " in capsys.readouterr().err
    assert not (folder / "x.wav").exists()
    if os.path.exists("/dev/full"):
        assert run("a.wav", "-o", "x.wav", "--report", "/dev/full") == 1
        assert "/dev/full: cannot be written (no space left on device)" in capsys.readouterr().err
