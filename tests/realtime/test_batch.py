import csv
import json
import os
import stat
import sys

import numpy as np
import pytest
import soundfile
from fakes import sound, speech_and_noise
from refusals import refuses
from tiny_model import tiny_model

from realtime.batch.cli import main
from realtime.batch.trace import COLUMNS


@pytest.fixture
def model(tmp_path):
    return str(tiny_model(tmp_path / "tiny.onnx"))


def talk(path, rate=48000, seconds=1.5, **more):
    return sound(path, rate, seconds, **more)


LEVEL = {"presence_threshold": 0.0, "threshold_db": -35.0, "key": "off", "attack_ms": 1.0,
         "hold_ms": 20.0, "release_ms": 5.0}  # fmt: skip


def level_gate(model):
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in LEVEL.items()]
    return ["--model", model, *flags, "--quiet"]


def run(*args):
    return main([str(arg) for arg in args])


def test_files_are_decided_with_all_of_them_in_view(tmp_path, model):
    """By default the gate opens before a word, as with `--lookahead-ms file`; 0 takes it back."""
    source = talk(tmp_path / "a.wav", rate=16000, seconds=2.0, subtype="FLOAT")
    (tmp_path / "auto.yaml").write_text("gate: {lookahead_ms: auto}\n")
    ways = {
        "default": (), "file": ("--lookahead-ms", "file"), "0": ("--lookahead-ms", "0"),
        "auto": ("--lookahead-ms", "auto"), "config": ("--config", tmp_path / "auto.yaml"),
    }  # fmt: skip
    wet = {}
    for name, more in ways.items():
        run(source, "-o", tmp_path / f"{name}.wav", *level_gate(model), *more)
        wet[name] = soundfile.read(tmp_path / f"{name}.wav")[0].tobytes()
    assert wet["default"] == wet["file"] == wet["auto"] == wet["config"] != wet["0"]


def test_equals_the_streaming_gate(tmp_path, model):
    from gate.settings import GateSettings
    from realtime import open_gate

    source = talk(tmp_path / "a.wav", rate=44100, seconds=7.0, subtype="FLOAT")
    run(source, "-o", tmp_path / "b.wav", *level_gate(model), "--lookahead-ms", "0")
    dry, rate = soundfile.read(source, dtype="float32", always_2d=True)
    wet, _ = soundfile.read(tmp_path / "b.wav", dtype="float32", always_2d=True)
    gate = open_gate(GateSettings(**LEVEL), sample_rate=rate, model=model)
    want = np.concatenate([gate.process(dry[i : i + 100]) for i in range(0, len(dry), 100)])
    np.testing.assert_allclose(wet, want, atol=2e-6)


def test_trace_report_and_labels(tmp_path, model):
    source = talk(tmp_path / "a.wav", seconds=2.0)
    labels = tmp_path / "labels.csv"
    labels.write_text("file,start_s,end_s\na.wav,0.25,0.5\na.wav,0.95,1.2\na.wav,1.65,1.9\n")
    code = run(source, "-o", tmp_path / "out", *level_gate(model), "--trace", "--report",
               tmp_path / "r.json", "--labels", labels)  # fmt: skip
    assert code == 0
    with (tmp_path / "out" / "a.wav.trace.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert 195 <= len(rows) <= 200
    assert {row["open"] for row in rows} == {"0", "1"}
    report = json.loads((tmp_path / "r.json").read_text())["files"][0]
    assert report["opens_a_minute"] == pytest.approx(90, abs=1)
    assert report["open_percent"] == pytest.approx(41, abs=4)
    assert report["measures"]["balanced_accuracy"] > 0.85
    assert report["measures"]["onset_p50_ms"] < 25
    assert report["median_open"]["hold_ms"] == 20


def test_plot_is_a_picture(tmp_path, model):
    source = talk(tmp_path / "a.wav", seconds=2.0)
    assert run(source, "-o", tmp_path / "out", *level_gate(model), "--plot") == 0
    data = (tmp_path / "out" / "a.wav.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) > 20_000


def test_folders_keep_names_and_a_bad_file_does_not_stop_the_rest(tmp_path, model, capsys):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    talk(folder / "a.wav")
    talk(folder / "sub" / "b.wav")
    (folder / "bad.wav").write_bytes(b"nothing")
    for jobs in ("1", "2"):
        out = tmp_path / f"out{jobs}"
        code = run(folder, "-o", out, *level_gate(model), "--jobs", jobs, "--report",
                   tmp_path / f"r{jobs}.json")  # fmt: skip
        assert code == 1
        assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.wav")) == [
            "a.wav", "sub/b.wav"
        ]  # fmt: skip
        error = capsys.readouterr().err.strip()
        assert error.count("\n") == 0 and "bad.wav: not a readable audio file" in error
        report = json.loads((tmp_path / f"r{jobs}.json").read_text())
        assert len(report["files"]) == 2 and len(report["failed"]) == 1


def test_external_key_input(tmp_path, model):
    source, key = talk(tmp_path / "a.wav"), tmp_path / "key.wav"
    soundfile.write(key, np.zeros(100), 48000)
    run(source, "-o", tmp_path / "b.wav", *level_gate(model), "--key-input", key)
    wet, _ = soundfile.read(tmp_path / "b.wav")
    assert np.abs(wet).max() < 0.001


def test_nan_and_inf_become_silence_and_are_told(tmp_path, model, capsys):
    audio = speech_and_noise(48000, 1.0)
    audio[5000], audio[6000] = np.nan, np.inf
    soundfile.write(tmp_path / "a.wav", audio, 48000, subtype="FLOAT")
    arguments = [a for a in level_gate(model) if a != "--quiet"]
    assert run(tmp_path / "a.wav", "-o", tmp_path / "b.wav", *arguments) == 0
    assert "2 non-finite samples became silence" in capsys.readouterr().out
    wet, _ = soundfile.read(tmp_path / "b.wav")
    assert np.isfinite(wet).all()


def test_an_empty_but_valid_file_comes_out_empty(tmp_path, model):
    soundfile.write(tmp_path / "a.wav", np.zeros((0, 1)), 48000)
    assert run(tmp_path / "a.wav", "-o", tmp_path / "b.wav", *level_gate(model)) == 0
    assert soundfile.info(tmp_path / "b.wav").frames == 0


USAGE = [
    (["{in}", "-o", "{out}", "--threshold-db", "5"], "threshold_db=5 must be from -100 to 0"),
    (["{in}", "-o", "{tmp}/b.m4a"], r"b.m4a: \.m4a cannot be written; take one of wav, "),
    (["{in}", "-o", "{out}", "--quality", "11"], "quality=11 must be from 0 to 10"),
    (["{in}", "-o", ""], "output='' must be a folder or a file"),
    (["{in}", "{tmp}/other.wav", "-o", "{out}"], "is a file's name, but there are 2 inputs"),
    (["{in}", "-o", "{out}", "--labels", "{bad}"], "needs --report"),
    (["{in}", "-o", "{out}", "--threshold-db", "loud"], "'loud' must be a number or 'auto'"),
    (["{in}", "-o", "{out}", "--hold-ms", "long"], "'long' must be a number or 'learned'"),
    (["{in}", "-o", "{out}", "--key", "9-5"], "key.low_hz=9 must be below key.high_hz=5"),
    (["{in}", "-o", "{out}", "--mode", "shut"], "invalid choice: 'shut'"),
    (["{in}", "-o", "{out}", "--jobs", "0"], "jobs=0 must be from 1 to 64"),
    (["{in}", "-o", "{out}", "--config", "{tmp}/none.yaml"], "none.yaml: cannot be read"),
    (["{in}", "-o", "{out}", "--config", "{bad}"], "unknown setting 'treshold_db'"),
    (["{in}", "-o", "{out}", "--target", "dog"], "target='dog' is unknown to detector 'tiny'"),
    (["-o", "{out}"], "no input"),
    (["{in}"], "the following arguments are required: -o/--output"),
]
FAILURE = [
    (["{tmp}/none.wav", "-o", "{out}"], "none.wav: No such file or directory"),
    (["{tmp}/empty", "-o", "{out}"], "folder without audio files"),
    (["{tmp}/*.mp9", "-o", "{out}"], "matches no file"),
    (["{in}", "-o", "{out}", "--model", "{tmp}/none.onnx"], "none.onnx: no such detector file"),
    (["{in}", "-o", "{out}", "--model", "{bad}"], "no such detector file|not a readable ONNX"),
    (["{in}", "-o", "{out}", "--model", "vioce"], "'vioce' is neither a shipped detector"),
    (["{in}", "-o", "{out}", "--labels", "{tmp}/none.csv"], "none.csv: no such file"),
    (["{in}", "-o", "{in}/x.wav"], "in.wav: (Not a directory|File exists)"),
]


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [(a, m, 2) for a, m in USAGE] + [(a, m, 1) for a, m in FAILURE],
)
def test_mistakes_get_one_line_and_the_right_code(
    tmp_path, model, capsys, arguments, message, code
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.yaml").write_text("gate: {treshold_db: -4}")
    source = talk(tmp_path / "in.wav", seconds=0.2)
    names = {"in": source, "out": tmp_path / "out.wav", "tmp": tmp_path,
             "bad": tmp_path / "bad.yaml"}  # fmt: skip
    arguments = [a.format(**names) for a in arguments]
    if "--model" not in arguments:
        arguments += ["--model", model]
    refuses(main, [*arguments, "--quiet"], code, message, capsys)
    assert not (tmp_path / "out.wav").exists()
    assert not [p for p in tmp_path.rglob("*.partial")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write and read everywhere")
def test_permissions(tmp_path, model, capsys):
    source = talk(tmp_path / "a.wav")
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert run(source, "-o", locked / "b.wav", *level_gate(model)) == 1
    source.chmod(0)
    assert run(source, "-o", tmp_path / "b.wav", *level_gate(model)) == 1
    assert capsys.readouterr().err.count("Permission denied") == 2


def test_help_shows_units_and_ranges(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "dBFS the key level must exceed to open, -100 to 0" in text
    assert "ms to cover 63 % of the way to open, 0.05 to 500, or learned" in text


def test_memory_is_bounded_however_long_the_file(tmp_path, model):
    """Peak memory of a fresh process: ten minutes, 38 MB as samples, against one."""
    import subprocess

    if not sys.platform.startswith("linux"):
        pytest.skip("reads Linux's account of peak memory")
    code = (
        "import resource, sys; from realtime.batch.cli import main; "
        "assert main(sys.argv[1:]) == 0; "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    peaks = []
    for minutes in (1, 10):
        path = tmp_path / f"{minutes}.wav"
        block = speech_and_noise(16000, 60.0)
        with soundfile.SoundFile(path, "w", 16000, 1) as file:
            for _ in range(minutes):
                file.write(block)
        out = subprocess.run(
            [sys.executable, "-c", code, str(path), "-o", str(tmp_path / f"o{minutes}.wav"),
             *level_gate(model)], capture_output=True, text=True, check=True)  # fmt: skip
        peaks.append(int(out.stdout.split()[-1]))
    assert peaks[1] < peaks[0] + 20, peaks
