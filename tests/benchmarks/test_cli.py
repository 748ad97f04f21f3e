"""`gate-bench` as a user calls it."""

import importlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from refusals import refuses
from small_corpus import make_corpus, words

from benchmarks.cli import _COMMANDS, main
from benchmarks.speed import instructions
from benchmarks.speed.instructions import differences, worse
from gate.errors import ConfigError
from gate.settings import GateSettings


def test_quality_on_a_user_s_own_folder(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        soundfile.write(tmp_path / f"{name}.wav", words(rng), 16000)
    (tmp_path / "labels.csv").write_text(
        "file,start_s,end_s\n"
        + "".join(f"{n}.wav,0.3,0.8\n{n}.wav,1.2,1.6\n" for n in ("one", "two"))
    )
    out = tmp_path / "out"
    out.mkdir()
    code = main(
        ["quality", "--labelled", str(tmp_path), "--peers", "level", "--no-ours",
         "--json", str(out / "r.json"), "--html", str(out / "r.html"),
         "--write", str(out / "R.md")]
    )  # fmt: skip
    assert code == 0
    text = capsys.readouterr().out
    assert "2 recording" in text
    assert "| always open | 0.500 / 0.0 / 0.00 / –, – |" in text
    assert f"--labelled {tmp_path} --peers level --no-ours --write`" in text
    assert str(out) not in text  # only what repeats the run is recorded
    (part,) = json.loads((out / "r.json").read_text())
    assert part["groups"]["recording"]["always open"]["fec"]["value"] == 0.0
    assert part["groups"]["recording"]["level -40/-46"]["balanced_accuracy"]["value"] > 0.7
    assert part["meta"]["versions"]["numpy"] == np.__version__
    assert (out / "r.html").read_text().count("<img") >= 1
    assert "Gating quality" in (out / "R.md").read_text()
    assert main(["report", str(out / "r.json"), "-o", str(out / "again.html")]) == 0
    assert "always open" in (out / "again.html").read_text()


def test_quality_on_mixtures(tmp_path, capsys):
    corpus = make_corpus(tmp_path)
    code = main(["quality", "--data", str(corpus), "--mixtures", "1", "--peers", "level",
                 "--no-ours", "--quiet"])  # fmt: skip
    assert code == 0
    text = capsys.readouterr().out
    for group in ("clean", "10 dB", "meeting", "noise", "human nonspeech"):
        assert f"#### {group}" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["quality", "--peers", "magic"], "peers='magic' must be all, fast, none or of: silero"),
        (["quality", "--jobs", "0"], "jobs=0 must be from 1 to 64"),
        (["quality", "--mixtures", "0"], "mixtures=0 must be from 1 to 1000"),
        (["quality", "--data", "/nowhere"], "data=/nowhere must be a folder with a MANIFEST.csv"),
        (["quality", "--labels", "x.csv"], "labels needs labelled"),
        (["latency", "--seconds", "0"], "seconds=0 must be from 1 to 600"),
        (["latency", "--html", "/nowhere/x.html"], "must be in a folder that exists"),
        (["latency", "--threshold-db", "7"], "threshold_db=7 must be from -100 to 0"),
    ],
)
def test_bad_options_are_one_line_and_exit_2(options, message, capsys):
    more = ["--no-ours"] if options[0] == "quality" else []
    more += [] if "--peers" in options or options[0] != "quality" else ["--peers", "none"]
    refuses(main, [*options, *more], 2, message, capsys)


def test_report_refuses_what_it_did_not_make(tmp_path, capsys):
    (tmp_path / "x.json").write_text('{"a": 1}')
    command = ["report", tmp_path / "x.json", "-o", tmp_path / "x.html"]
    refuses(main, command, 2, "must be a file made by gate-bench --json", capsys)


def test_the_latency_declared_is_the_latency_measured():
    from benchmarks.speed.latency import (
        algorithmic_latency,
        onset_latency,
        run_blocks,
        stage_times,
        words,
    )

    def config(**gate):
        level_gate = SimpleNamespace(model=None, profile=None, kind="python")
        return SimpleNamespace(gate=GateSettings(threshold_db=-45.0, **gate), engine=level_gate)

    assert algorithmic_latency(config(lookahead_ms=10.0), 48000) == (480, 480)
    run = run_blocks(config(), 48000, 100, 1.0)
    assert len(run.block_us) == pytest.approx(480, abs=2)
    assert run.percentiles()[0] <= run.percentiles()[3]
    assert run.deadline_us == pytest.approx(2083.3, abs=0.1)
    recordings, what = words("nowhere", "dev", 0, 1)
    assert "sample talk" in what
    shipped = SimpleNamespace(model="voice", profile=None, kind="python")
    tally = onset_latency(SimpleNamespace(gate=GateSettings(), engine=shipped), 48000, recordings)
    assert tally.n_segments == 4 and tally.n_missed == 0
    assert np.median(tally.onset_delays_s) < 0.2
    stages = stage_times(config(), 48000, 0.5)
    parts = sum(v for k, v in stages.items() if k != "total")
    assert parts == pytest.approx(stages["total"])


def counted(tool="valgrind", model="voice 1", **counts):
    return {"tool": tool, "machine": "m", "python": "3", "versions": {"numpy": "2"},
            "model": model, "seconds": 10, "counts": counts}  # fmt: skip


def test_instruction_counts_are_compared_by_case():
    base, now = counted(a=100, b=100), counted(model="voice 2", a=101, b=103, new=5)
    lines = worse(now, base)
    assert list(lines) == ["b"]
    assert lines["b"] == "b: 3.0 % more instructions than the baseline (allowed: 2 %)"
    assert differences(now, base) == ["model is voice 2; the baseline's: voice 1"]
    with pytest.raises(ConfigError, match="tool=perf must be the baseline's"):
        differences(counted("perf"), base)


def test_more_instructions_than_the_baseline_fail(monkeypatch, capsys, tmp_path):
    """The command, without the minutes of counting."""
    baseline = tmp_path / "baseline.json"
    baseline.write_text(json.dumps(counted(a=100)))
    monkeypatch.setattr(instructions, "tools", lambda: ["valgrind"])
    options = ["instructions", "--baseline", str(baseline)]
    monkeypatch.setattr(instructions, "measure_all", lambda *args: counted(model="new", a=101))
    assert main(options) == 0
    assert "Not the baseline's: model is new; the baseline's: voice 1." in capsys.readouterr().out
    monkeypatch.setattr(instructions, "measure_all", lambda *args: counted(a=150))
    assert main(options) == 1
    error = capsys.readouterr().err
    assert error == (
        "gate-bench: instructions: a: 50.0 % more instructions than the baseline (allowed: 2 %)\n"
    )
    baseline.write_text("{}")
    assert main(options) == 2
    assert "no baseline of this command ('tool' is missing)" in capsys.readouterr().err


def test_the_committed_baseline_has_every_case():
    found = instructions.read_baseline()
    assert set(found["counts"]) == set(instructions.CASES)
    assert all(count > 1e6 for count in found["counts"].values())


def test_a_cluster_of_one_and_of_two_does_the_same(monkeypatch, tmp_path):
    from benchmarks.speed.cluster import run_cluster
    from realtime.config import Config

    one, two = run_cluster(Config(), 3, 10.0, tmp_path)
    assert (one.workers, two.workers) == (1, 2)
    assert one.done == two.done == 3
    assert one.digest == two.digest
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_has_its_function(name):
    module, function, _ = _COMMANDS[name]
    assert callable(getattr(importlib.import_module(module), function))


def test_cold_start_counts_every_process(monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.speed.cold_start.cold_starts", lambda rounds: [0.5] * rounds)
    assert main(["cold-start", "--quick", "--quiet"]) == 0
    assert "| 3 | 0.50 | 0.50 |" in capsys.readouterr().out


def test_the_configuration_says_where_the_recordings_are(tmp_path, capsys):
    (tmp_path / "c.yaml").write_text(f"data:\n  voice: {tmp_path}/here\n")
    message = f"data={tmp_path}/here must be a folder with a MANIFEST.csv"
    refuses(main, ["learn", "--config", tmp_path / "c.yaml"], 2, message, capsys)


def test_misses_are_told_apart_and_set_against_the_floor():
    import time

    from benchmarks.speed.latency import Run, _paced_times

    late = np.array([50.0, 600.0, 700.0, 80.0])
    run = Run(
        192000, 100, True, True, False, np.array([40.0, 60.0, 650.0, 60.0]), late,
        np.array([False, False, True, False]), np.array([10.0, 10.0, 10.0, 10.0]),
    )  # fmt: skip
    assert (run.misses, run.misses_by_computing) == (2, 1)
    assert run.over_floor[0] == pytest.approx(6.0)
    # One block takes two periods and a half: it and what has to wait for it are late by computing.
    period, slow = 0.05, iter([0.0, 0.0, 0.125, 0.0, 0.0, 0.0, 0.0, 0.0])
    _, late, computed = _paced_times(lambda block: time.sleep(next(slow)), [None] * 8, period)
    assert not computed[:2].any()
    assert computed[2:4].all()
    assert (late[2:4] > 1e6 * period).any()
    assert not computed[6:].any()
