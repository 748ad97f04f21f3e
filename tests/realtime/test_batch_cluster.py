"""`gate-batch` over several processes, some of which die."""

import json
import os
import re
import signal
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile
from fakes import speech_and_noise
from refusals import refuses
from tiny_model import tiny_model

from realtime.batch.cli import main

N_FILES = 8
DEADLY = "2.wav"


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Eight files of 30 s, the deadly one of two minutes, and what one process makes of them."""
    folder = tmp_path_factory.mktemp("sources")
    tiny_model(folder / "tiny.onnx")
    (folder / "in").mkdir()
    block = np.tile(speech_and_noise(48000, 2.0), (15, 1))
    for k in range(N_FILES):
        sound = np.roll(block, 1000 * k, axis=0)
        if f"{k}.wav" == DEADLY:  # long enough to be caught at whatever else the machine does
            sound = np.tile(sound, (4, 1))
        soundfile.write(folder / "in" / f"{k}.wav", sound, 48000)
    assert run(folder, folder / "alone", "--quiet") == 0
    return folder


@pytest.fixture(scope="module")
def cluster():
    """Two workers on loopback, with two threads each: a death hits up to two files."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=2, host="127.0.0.1", dashboard_address=":0"
    ) as found:
        yield found


def run(sources, out, *more):
    return main([str(sources / "in"), "-o", str(out), "--model", str(sources / "tiny.onnx"),
                 *map(str, more)])  # fmt: skip


def outputs(folder):
    return {p.name: p.read_bytes() for p in folder.glob("*.wav")}


@contextmanager
def killing(out, name, times):
    """Kill the processes that gate files of a name; yields the list of those killed."""
    killed, stop = [], threading.Event()
    partial = re.compile(rf"\.{name}\.[0-9a-f]{{12}}\.(\d+)-\w+\.partial")

    def watch():
        seen = set()
        while not stop.wait(0.002) and len(killed) < times:
            for found in filter(None, map(partial.fullmatch, os.listdir(out))):
                if found[0] not in seen:
                    seen.add(found[0])
                    os.kill(int(found[1]), signal.SIGKILL)
                    killed.append(int(found[1]))
                    break

    out.mkdir()
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--backend", "dask"], "backend=dask needs --scheduler"),
        (["--backend", "dask", "--scheduler", "foo"], "scheduler=foo must be tcp://HOST:PORT"),
        (["--scheduler", "tcp://127.0.0.1:1"], "needs --backend dask"),
    ],
)
def test_what_cannot_work_is_one_line(sources, tmp_path, capsys, options, message):
    refuses(main, [sources / "in", "-o", tmp_path / "out", *options], 2, message, capsys)


def test_a_worker_dies_and_nothing_is_lost_or_written_twice(sources, cluster, tmp_path, capsys):
    out = tmp_path / "out"
    with killing(out, r"\d\.wav", times=1) as killed:
        code = run(sources, out, "--backend", "dask", "--scheduler", cluster.scheduler_address)
    assert len(killed) == 1, "no worker was caught at work"
    assert code == 0
    said = re.findall(r"^(\d)\.wav -> ", capsys.readouterr().out, re.M)
    assert sorted(said) == sorted(map(str, range(N_FILES)))
    assert outputs(out) == outputs(sources / "alone")
    assert not list(out.glob(".*.partial"))


@pytest.mark.parametrize("backend", ["dask", "this machine"])
def test_a_file_that_kills_its_workers_costs_itself_only(
    sources, cluster, tmp_path, capsys, backend
):
    out, report = tmp_path / "out", tmp_path / "report.json"
    dask = ["--backend", "dask", "--scheduler", cluster.scheduler_address]
    with killing(out, re.escape(DEADLY), times=10) as killed:
        more = dask if backend == "dask" else ["--jobs", 2]
        assert run(sources, out, *more, "--report", report) == 1
    assert len(killed) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{DEADLY}: the " in error and "that gated it died, twice" in error
    alone = outputs(sources / "alone")
    del alone[DEADLY]
    assert outputs(out) == alone
    assert not list(out.glob(".*.partial"))
    tree = json.loads(report.read_text())
    assert len(tree["files"]) == N_FILES - 1
    assert [os.path.basename(entry["file"]) for entry in tree["failed"]] == [DEADLY]


def test_a_cluster_without_workers_is_one_line(sources, tmp_path, capsys, monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr("realtime.batch.cluster._CONNECT_S", 1.0)
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=":0") as empty:
        address = empty.scheduler_address
        assert run(sources, tmp_path / "out", "--backend", "dask", "--scheduler", address) == 1
    assert f"scheduler={address}: has no workers" in capsys.readouterr().err
    assert run(sources, tmp_path / "out", "--backend", "dask", "--scheduler", address) == 1
    assert f"scheduler={address}: nothing answers there" in capsys.readouterr().err
