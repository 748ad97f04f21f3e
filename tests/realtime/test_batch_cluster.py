"""`gate-batch` over several processes, some of which die; and taken up again."""

import os
import re
import signal
import threading
import time

import numpy as np
import pytest
import soundfile
from fakes import speech_and_noise
from tiny_model import tiny_model

from realtime.batch.cli import main

N_FILES = 8


@pytest.fixture
def folder(tmp_path):
    tiny_model(tmp_path / "tiny.onnx")
    (tmp_path / "in").mkdir()
    block = np.tile(speech_and_noise(48000, 2.0), (15, 1))
    for k in range(N_FILES):
        soundfile.write(tmp_path / "in" / f"{k}.wav", np.roll(block, 1000 * k, axis=0), 48000)
    return tmp_path


def run(folder, out, *more):
    return main([str(folder / "in"), "-o", str(folder / out), "--model",
                 str(folder / "tiny.onnx"), *map(str, more)])  # fmt: skip


def outputs(folder, out):
    return {p.name: p.read_bytes() for p in (folder / out).glob("*.wav")}


def test_resume_skips_what_is_finished_and_only_that(folder, capsys):
    assert run(folder, "out", "--resume") == 0
    stamps = {p.name: p.stat().st_mtime_ns for p in (folder / "out").glob("*.wav")}
    (folder / "out" / "3.wav").unlink()
    with (folder / "out" / ".gate-batch.jsonl").open("a") as file:
        file.write('{"output": "4.w')  # a run killed while it wrote
    capsys.readouterr()
    assert run(folder, "out", "--resume") == 0
    assert "7 of 8 files were finished before" in capsys.readouterr().out
    after = {p.name: p.stat().st_mtime_ns for p in (folder / "out").glob("*.wav")}
    assert {name for name in after if after[name] != stamps[name]} == {"3.wav"}
    assert run(folder, "out", "--resume", "--quiet") == 0
    assert run(folder, "out", "--resume", "--threshold-db", "-30", "--overwrite") == 0
    assert "finished before" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--backend", "dask"], 2, "backend=dask needs --scheduler"),
        (["--backend", "dask", "--scheduler", "foo"], 2, "scheduler=foo must be tcp://HOST:PORT"),
        (["--scheduler", "tcp://127.0.0.1:1"], 2, "needs --backend dask"),
    ],
)
def test_what_cannot_work_is_one_line(folder, capsys, options, code, message):
    assert run(folder, "out", *options) == code
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_worker_of_a_cluster_dies_and_nothing_is_lost_or_written_twice(folder, capsys):
    pytest.importorskip("distributed", reason="distributed (extra [cluster]) is not installed")
    from distributed import LocalCluster

    assert run(folder, "alone", "--quiet") == 0
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = root
    try:
        cluster = LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        )
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    killed = []

    def kill_one():
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            found = list((folder / "out").glob(".*.partial")) if (folder / "out").exists() else []
            for path in found:
                pid = int(re.search(r"\.(\d+)-\w+\.partial$", path.name)[1])
                os.kill(pid, signal.SIGKILL)
                killed.append(path.name)
                return
            time.sleep(0.002)

    with cluster:
        thread = threading.Thread(target=kill_one)
        thread.start()
        code = run(folder, "out", "--backend", "dask", "--scheduler", cluster.scheduler_address)
        thread.join()
    assert killed, "no worker was caught at work"
    assert code == 0
    said = re.findall(r"^(\d)\.wav -> ", capsys.readouterr().out, re.M)
    assert sorted(said) == sorted(map(str, range(N_FILES)))
    assert outputs(folder, "out") == outputs(folder, "alone")
