"""What a command line names: folders, formats, conversions, bitrates, labels."""

import json
import os

import numpy as np
import pytest
import soundfile
from fakes import sound
from refusals import refuses

from gate.errors import AudioFileError
from realtime.batch.cli import main
from realtime.files import AUDIO_SUFFIXES, AudioReader, expand_inputs
from realtime.labels import LabelFile

GATE = ["--model", "none", "--threshold-db", "-60"]


def run(*arguments):
    return main([*map(str, arguments), *GATE])


def names(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.*") if p.is_file())


@pytest.mark.parametrize("more", [[], ["--resume"], ["--jobs", "2"]])
@pytest.mark.parametrize("inside", ["gated", "link/gated"])
def test_outputs_inside_the_input_folder_are_no_inputs(tmp_path, monkeypatch, capsys, more, inside):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "takes").mkdir()
    (tmp_path / "link").symlink_to("takes")
    sound(tmp_path / "takes" / "a.wav")
    out = f"takes/{inside}" if inside == "gated" else inside
    for k in range(3):
        again = ["--overwrite"] if k and not more else more
        assert run("takes", "-o", out, *again, "--quiet") == (0 if again != ["--jobs", "2"] or not k
                                                              else 1)  # fmt: skip
    found = [name for name in names(tmp_path / "takes") if not name.rpartition("/")[2][0] == "."]
    assert found == ["a.wav", "gated/a.wav"]
    assert run("takes/**/*.wav", "-o", out, "--overwrite") == 0
    assert "outputs go there; what lies in it is left out" in capsys.readouterr().err
    assert [n for n in names(tmp_path / "takes") if n.endswith(".wav")] == found


def test_the_outputs_of_another_run_are_left_out_unless_named(tmp_path, capsys):
    takes = tmp_path / "takes"
    takes.mkdir()
    sound(takes / "a.wav")
    assert run(takes, "-o", takes / "gated", "--resume") == 0
    assert run(takes, "-o", tmp_path / "other") == 0
    assert names(tmp_path / "other") == ["a.wav"]
    assert f"{takes / 'gated'}: outputs go there" in capsys.readouterr().err
    assert run(takes / "gated", "-o", tmp_path / "second") == 0
    assert names(tmp_path / "second") == ["a.wav"]


@pytest.mark.parametrize("out", ["gated", "sub/gated", "link/gated"])
def test_outputs_inside_the_input_folder_are_none_of_a_run_to_elsewhere(tmp_path, capsys, out):
    takes = tmp_path / "takes"
    for folder in (takes / "sub", tmp_path / "far"):
        folder.mkdir(parents=True)
    (takes / "link").symlink_to(tmp_path / "far")
    sound(takes / "a.wav")
    assert run(takes, "-o", takes / out) == 0
    for k, pattern in enumerate((takes, takes / "**" / "*.wav")):
        assert run(pattern, "-o", takes / f"gated{k}") == 0
        assert f"{takes / out}: outputs go there" in capsys.readouterr().err
        assert names(takes / f"gated{k}") == [".gate-batch.jsonl", "a.wav"]
    assert run(takes / out / "*.wav", "-o", tmp_path / "named") == 0
    assert names(tmp_path / "named") == ["a.wav"]


def test_an_empty_name_is_not_the_folder_one_is_in(tmp_path, monkeypatch, capsys):
    """As an unset variable of a shell gives it."""
    monkeypatch.chdir(tmp_path)
    sound(tmp_path / "a.wav")
    refuses(main, ["", "-o", "out", *GATE], 1, "an input without a name", capsys)
    assert names(tmp_path) == ["a.wav"]


def test_nothing_but_folders_that_cannot_be_read(tmp_path, monkeypatch, capsys):
    (tmp_path / "locked").mkdir()
    refused = PermissionError(13, "Permission denied")
    monkeypatch.setattr(os, "scandir", lambda path: (_ for _ in ()).throw(refused))
    assert run(tmp_path / "locked", "-o", tmp_path / "out", "--resume") == 1
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch, capsys):
    takes = tmp_path / "takes"
    (takes / "locked").mkdir(parents=True)
    sound(takes / "a.wav")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    report = tmp_path / "r.json"
    assert run(takes, "-o", tmp_path / "out", "--report", report) == 1
    assert f"error: {takes / 'locked'}: folder: Permission denied" in capsys.readouterr().err
    assert names(tmp_path / "out") == ["a.wav"]
    failed = json.loads(report.read_text())["failed"]
    assert [f["file"] for f in failed] == [str(takes / "locked")]


def test_folders_take_what_single_files_take_and_name_the_rest(tmp_path, capsys):
    takes = tmp_path / "takes"
    takes.mkdir()
    kinds = {"wav": "WAV", "flac": "FLAC", "ogg": "OGG", "mp3": "MP3", "aiff": "AIFF",
             "caf": "CAF", "au": "AU", "w64": "W64", "voc": "VOC"}  # fmt: skip
    for suffix, container in kinds.items():
        sound(takes / f"a.{suffix}", format=container)
    sound(takes / "take1", format="WAV")  # no suffix at all
    sound(takes / "b.tmp", format="FLAC")
    (takes / "notes.txt").write_text("RIFF")
    (takes / "x.m4a").write_bytes(b"")
    (takes / "round").symlink_to(takes)
    (takes / "gone.wav").symlink_to("nowhere")
    found = expand_inputs([str(takes)])
    want = {f"a.{suffix}" for suffix in kinds} | {"take1", "b.tmp", "gone.wav"}
    assert {str(name) for name in found.files.values()} == want
    assert found.notes == [f"{takes}: 1 file in .m4a left out: that format cannot be read"]
    assert run(takes, "-o", tmp_path / "out") == 1
    assert {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").iterdir()} == (
        want - {"gone.wav"}
    )
    assert "gone.wav: No such file or directory" in capsys.readouterr().err
    for name in want - {"gone.wav"}:
        before, after = (soundfile.info(folder / name) for folder in (takes, tmp_path / "out"))
        assert (before.frames, before.format, before.subtype) == (
            after.frames, after.format, after.subtype
        ), name  # fmt: skip


@pytest.mark.parametrize("target", ["wav", "flac", "aiff", "ogg", "opus", "mp3", "caf", "w64"])
@pytest.mark.parametrize(("source", "subtype"),
                         [("a.wav", "PCM_16"), ("a.wav", "FLOAT"),
                          ("a.flac", "PCM_24"), ("a.mp3", None)])  # fmt: skip
def test_converts_to_what_the_name_says(tmp_path, source, subtype, target):
    path = sound(tmp_path / source, 48000, 1.0, subtype=subtype)
    out = tmp_path / f"b.{target}"
    assert run(path, "-o", out, "--quiet") == 0
    before, after = soundfile.info(path), soundfile.info(out)
    assert (before.frames, before.samplerate) == (after.frames, after.samplerate)
    same = target == source.rpartition(".")[2]
    assert (before.format == after.format) == same
    lossless = {"PCM_16": "PCM_16", "PCM_24": "PCM_24", "FLOAT": "FLOAT"}
    if subtype in lossless and target in ("wav", "aiff", "caf", "w64"):
        assert after.subtype == lossless[subtype]
        a, b = soundfile.read(path)[0], soundfile.read(out)[0]
        np.testing.assert_array_equal(a[4800:], b[4800:])


def test_folders_are_converted_with_format(tmp_path, capsys):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    sound(tmp_path / "in" / "a.wav", 48000)
    sound(tmp_path / "in" / "sub" / "b.flac", 44100)
    assert run(tmp_path / "in", "-o", tmp_path / "out", "--format", "flac") == 0
    assert names(tmp_path / "out") == ["a.flac", "sub/b.flac"]
    assert run(tmp_path / "in", "-o", tmp_path / "opus", "--format", "opus") == 1
    assert "sample_rate=44100: Opus takes 8000, 12000" in capsys.readouterr().err
    assert names(tmp_path / "opus") == ["a.opus"]


def kbps(path):
    return path.stat().st_size * 8 / soundfile.info(path).duration / 1000


@pytest.mark.parametrize(
    ("name", "subtype", "options"),
    [("a.mp3", None, {"bitrate_mode": "CONSTANT", "compression_level": 0.0}),
     ("a.mp3", None, {"bitrate_mode": "CONSTANT", "compression_level": 0.6}),
     ("a.mp3", None, {"bitrate_mode": "VARIABLE", "compression_level": 0.2}),
     ("a.opus", "OPUS", {"compression_level": 0.2}), ("a.opus", "OPUS", {"compression_level": 0.8}),
     ("a.ogg", "VORBIS", {"compression_level": 0.1}),
     ("a.ogg", "VORBIS", {"compression_level": 0.7})],
)  # fmt: skip
def test_lossy_formats_keep_about_their_bitrate(tmp_path, name, subtype, options):
    noise = 0.1 * np.random.default_rng(0).standard_normal((48000 * 2, 2))
    container = {"a.mp3": "MP3"}.get(name, "OGG")
    soundfile.write(tmp_path / name, noise, 48000, format=container, subtype=subtype, **options)
    assert run(tmp_path / name, "-o", tmp_path / "out", "--quiet") == 0
    assert kbps(tmp_path / "out" / name) == pytest.approx(kbps(tmp_path / name), rel=0.15)
    sizes = []
    for quality in (1, 9):
        assert run(tmp_path / name, "-o", tmp_path / str(quality), "--quality", quality) == 0
        sizes.append((tmp_path / str(quality) / name).stat().st_size)
        assert soundfile.info(tmp_path / str(quality) / name).frames == 48000 * 2
    assert sizes[0] < 0.6 * sizes[1]


LABELS = [
    ("file,start_s,end_s\nx.wav,0,1\n", ["a.wav"], "names none of the inputs .it names 'x.wav'"),
    ("file,start_s,end_s\n", ["a.wav"], "names none of the inputs"),
    ("0.1\t0.2\tvoice\n", ["a.wav", "b.wav"], "can be one's only, not that of 2 inputs"),
    ("start_s,end_s\n0.1,0.2\n", ["a.wav", "b.wav"], "can be one's only, not that of 2 inputs"),
    ("", ["a.wav"], "labels nothing"),
    ("500\t501\tvoice\n", ["a.wav"], "begin at 500.0 s, beyond the end at 0.3 s"),
    ("file,start_s,end_s\na.wav,9,10\n", ["a.wav"], "begin at 9.0 s, beyond the end"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "inputs", "message"), LABELS)
def test_labels_that_cannot_be_the_inputs(tmp_path, monkeypatch, capsys, text, inputs, message):
    monkeypatch.chdir(tmp_path)
    for name in inputs:
        sound(tmp_path / name)
    (tmp_path / "labels.txt").write_text(text)
    more = ["-o", "out", "--report", "r.json", "--labels", "labels.txt", *GATE]
    refuses(main, [*inputs, *more], 1, message, capsys)
    assert not list(tmp_path.glob("out/*.wav"))


def test_two_files_of_one_label(tmp_path):
    (tmp_path / "l.csv").write_text("file,start_s,end_s\na.wav,0,0.1\n")
    labels = LabelFile(tmp_path / "l.csv")
    with pytest.raises(AudioFileError, match=r"'a\.wav' is .*x/a\.wav and .*y/a\.wav"):
        labels.check_inputs([tmp_path / "x" / "a.wav", tmp_path / "y" / "a.wav"])


def test_labels_for_some_of_the_inputs(tmp_path, capsys):
    for name in ("a.wav", "b.wav"):
        sound(tmp_path / name, seconds=1.0)
    (tmp_path / "l.csv").write_text("file,start_s,end_s\na.wav,0.1,2.5\n")
    report = tmp_path / "r.json"
    assert run(tmp_path / "a.wav", tmp_path / "b.wav", "-o", tmp_path / "out", "--report", report,
               "--labels", tmp_path / "l.csv") == 0  # fmt: skip
    first, second = json.loads(report.read_text())["files"]
    assert "measures" in first and "measures" not in second
    assert "labels go on to 2.5 s, the end is at 1.0 s" in first["notes"][0]
    assert "does not name it: no measures" in second["notes"][0]
    assert capsys.readouterr().err.count("\n") == 2


def test_the_report_tells_the_true_length(tmp_path):
    data = sound(tmp_path / "a.wav", seconds=2.0).read_bytes()
    (tmp_path / "a.wav").write_bytes(data[: len(data) // 2])
    report = tmp_path / "r.json"
    assert run(tmp_path / "a.wav", "-o", tmp_path / "b.wav", "--report", report) == 1
    assert run(tmp_path / "a.wav", "-o", tmp_path / "b.wav", "--report", report, "--overwrite",
               "--allow-truncated") == 0  # fmt: skip
    found = json.loads(report.read_text())["files"][0]
    assert found["seconds"] == pytest.approx(1.0, abs=0.01)
    assert found["notes"][0].startswith("truncated: ")


def test_every_suffix_has_one_family():
    assert len(AUDIO_SUFFIXES) == len(set(AUDIO_SUFFIXES))
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in AUDIO_SUFFIXES)


def test_what_is_no_file_is_told(tmp_path):
    for path, message in ((tmp_path, "is a folder"), ("/dev/null", "is no file")):
        with pytest.raises(AudioFileError, match=message):
            AudioReader(path)
