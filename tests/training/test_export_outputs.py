"""`gate-train` writes where `realtime.outputs` lets it: never an input, never unasked."""

from types import SimpleNamespace

import pytest

from gate.errors import AudioFileError
from training.audioset import export as audioset_export
from training.cli import main


@pytest.fixture
def run_folder(tmp_path):
    """A run whose network is not read before the names are looked at."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "calibrated.pt").write_bytes(b"a network")
    for name in ("voice.onnx", "other.npz", "mine.world.npz", "world.md", "start.onnx", "pic.png"):
        (tmp_path / name).write_bytes(b"mine")
    return tmp_path


@pytest.mark.parametrize(("command", "message"), [
    ("voice export -o voice.onnx", "voice.onnx: exists already (--overwrite replaces it)"),
    ("voice export -o other.onnx", "other.npz: exists already"),
    ("voice export -o run/calibrated.pt --overwrite", "calibrated.pt: is the input"),
    ("voice export -o new.npz", "new.npz: would be written twice"),
    ("voice build -o voice.onnx", "voice.onnx: exists already"),
    ("voice build --start start.onnx -o start.onnx --overwrite", "start.onnx: is the input"),
    ("voice world -o mine.onnx", "mine.world.npz: exists already"),
    ("voice world -o world.npz", "world.md: exists already"),
    ("audioset --plot pic.png", "pic.png: exists already"),
    ("audioset --plot pic.ogg", "plot=pic.ogg must end with .png"),
])  # fmt: skip
def test_what_is_there_stays(run_folder, monkeypatch, capsys, command, message):
    monkeypatch.chdir(run_folder)
    more = ["--run", "run", "--data", "none"] if command.startswith("voice") else []
    before = {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()}
    assert main([*command.split(), *more]) in (1, 2)
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert {p: p.read_bytes() for p in run_folder.rglob("*") if p.is_file()} == before


def test_the_head_of_before_stays(run_folder, monkeypatch):
    (run_folder / "best").mkdir()
    (run_folder / f"{audioset_export.NAME}.md").write_text("mine")
    monkeypatch.setattr("training.audioset.best.read_best", lambda args: {"target": "Speech"})
    monkeypatch.setattr("training.audioset.best.load_head", lambda folder: None)
    with pytest.raises(AudioFileError, match="md: exists already"):
        args = SimpleNamespace(runs=run_folder, models=run_folder, overwrite=False)
        audioset_export.export_best(args)
