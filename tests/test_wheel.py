"""What `pip install exemplar-gate` downloads."""

import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

MAX_BYTES = 3_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    return Path(next(WheelBuilder(str(Path(__file__).parents[1])).build(directory=str(folder))))


def test_the_wheel_stays_small(wheel):
    assert wheel.stat().st_size <= MAX_BYTES


def test_the_wheel_has_what_the_commands_need(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for needed in (
        "models/voice.onnx", "models/audioset-speech.onnx", "models/sample/talk.flac",
        "realtime/page/static/index.html", "training/audioset/paper/table1.csv",
        "training/audioset/sweeps.yaml", "training/audioset/report.md", "benchmarks/cli.py",
    ):  # fmt: skip
        assert needed in names
    assert not any(name.endswith((".png", ".ogg")) for name in names)
