"""A voice below the threshold is told, and `--threshold-db auto` finds one that opens for it."""

import json

import numpy as np
import pytest
import soundfile
from tiny_model import tiny_model

from realtime.batch.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twenty seconds of soft noise that the tiny detector takes for its target."""
    path = tmp_path_factory.mktemp("soft")
    tiny_model(path / "tiny.onnx")
    sound = 10 ** (-60 / 20) * np.random.default_rng(1).standard_normal(20 * 16000)
    soundfile.write(path / "soft.wav", sound, 16000, subtype="FLOAT")
    soundfile.write(path / "loud.wav", 100 * sound, 16000, subtype="FLOAT")
    soundfile.write(path / "short.wav", sound[: 5 * 16000], 16000, subtype="FLOAT")
    soundfile.write(path / "pair.wav", np.stack([sound, -sound], 1), 16000, subtype="FLOAT")
    return path


def run(folder, name, *more):
    return main([str(folder / name), "-o", str(folder / "out" / name), "--overwrite", "--model",
                 str(folder / "tiny.onnx"), "--presence-threshold", "0", "--key", "off",
                 "--attack-ms", "1",
                 *map(str, more)])  # fmt: skip


def test_the_hint_names_a_threshold_that_works(folder, capsys):
    assert run(folder, "soft.wav", "--threshold-db", "-40") == 0
    said = capsys.readouterr()
    assert "open 0 %" in said.out
    line = next(line for line in said.err.splitlines() if "stays below -40" in line)
    threshold = line.rpartition(" ")[2]
    assert -75 < float(threshold) < -60
    assert run(folder, "soft.wav", "--threshold-db", threshold) == 0
    said = capsys.readouterr()
    assert "open 100 %" in said.out and "stays below" not in said.err


@pytest.mark.parametrize("name", ["loud.wav", "short.wav"])
def test_no_hint_for_what_opens_or_is_short(folder, capsys, name):
    assert run(folder, name, "--threshold-db", "-40") == 0
    assert "stays below" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["soft.wav", "loud.wav", "short.wav"])
def test_auto_takes_the_threshold_from_the_file(folder, tmp_path, capsys, name):
    report = tmp_path / "r.json"
    assert run(folder, name, "--threshold-db", "auto", "--report", report) == 0
    said = capsys.readouterr()
    assert "open 100 %" in said.out
    found = json.loads(report.read_text())["files"][0]
    threshold = found["settings"]["threshold_db"]
    level = -60 if name != "loud.wav" else -20
    assert level - 15 < threshold < level
    assert f"threshold {threshold:g} dBFS, from" in found["notes"][0]


def test_auto_in_the_configuration_and_a_flag_beats_it(folder, tmp_path, capsys):
    (tmp_path / "auto.yaml").write_text("gate: {threshold_db: auto}\n")
    assert run(folder, "short.wav", "--config", tmp_path / "auto.yaml") == 0
    assert "open 100 %" in capsys.readouterr().out
    more = ["--config", tmp_path / "auto.yaml", "--threshold-db", "-40"]
    assert run(folder, "short.wav", *more) == 0
    assert "open 0 %" in capsys.readouterr().out


def test_auto_needs_a_detector(folder, capsys):
    assert run(folder, "soft.wav", "--model", "none", "--threshold-db", "auto") == 2
    assert "threshold_db=auto needs a detector" in capsys.readouterr().err


def test_opposite_phase_is_told_and_opens(folder, capsys):
    assert run(folder, "pair.wav", "--threshold-db", "-70") == 0
    said = capsys.readouterr()
    assert "open 100 %" in said.out
    assert "channels 1 and 2 are in opposite phase (correlation -1.00)" in said.err
    dry, gated = (soundfile.read(folder / sub / "pair.wav")[0] for sub in ("", "out"))
    np.testing.assert_allclose(gated[8000:], dry[8000:], atol=1e-7)


@pytest.mark.parametrize("name", ["soft.wav", "pair.wav"])
@pytest.mark.parametrize("more", [[], ["--lookahead-ms", "20"], ["--lookahead-ms", "file"]])
def test_bypass_passes_every_bit(folder, name, more):
    assert run(folder, name, "--bypass", "--threshold-db", "-10", *more) == 0
    dry, gated = (soundfile.read(folder / sub / name)[0] for sub in ("", "out"))
    np.testing.assert_array_equal(gated, dry)


def test_a_file_in_hindsight(folder, tmp_path, capsys):
    """The same length and place, and the gate is open before the sound begins."""
    sound = soundfile.read(folder / "loud.wav")[0][:48000].copy()
    sound[:24000] *= 1e-4
    soundfile.write(folder / "onset.wav", sound, 16000, subtype="FLOAT")
    more = ["--threshold-db", "-40", "--lookahead-ms", "file", "--trace"]
    assert run(folder, "onset.wav", *more) == 0
    gated = soundfile.read(folder / "out" / "onset.wav")[0]
    assert len(gated) == len(sound)
    np.testing.assert_allclose(gated[24100:], sound[24100:], rtol=1e-2, atol=1e-4)
    assert np.abs(gated[:20000]).max() < 1e-5
    head = (folder / "out" / "onset.wav.trace.csv").read_text().splitlines()[0]
    assert "evidence" in head.split(",")
