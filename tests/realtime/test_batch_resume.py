"""`gate-batch --resume`: whenever a run is killed, the next one ends where it would have."""

import os

import pytest
import soundfile
from fakes import speech_and_noise
from hypothesis import given, settings
from hypothesis import strategies as st

import realtime.batch.trace
import realtime.outputs
from realtime.batch.cli import main
from realtime.batch.resume import JOURNAL_NAME, Journal
from realtime.files import AudioWriter

NAMES = ("a.wav", "b.wav", "sub/c.wav")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    (folder / "in" / "sub").mkdir(parents=True)
    for k, name in enumerate(NAMES):
        soundfile.write(folder / "in" / name, speech_and_noise(16000, 0.5 + 0.1 * k), 16000)
    assert run(folder, folder / "whole") == 0
    return folder


def run(sources, out, *more):
    return main([str(sources / "in"), "-o", str(out), "--model", "none", "--threshold-db", "-35",
                 "--trace", "--quiet", *map(str, more)])  # fmt: skip


def files(folder):
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {name: p.read_bytes() for name, p in found.items() if name != JOURNAL_NAME}


def killed_run(sources, out, step, cut):
    """A run in a process of its own that ends, as by SIGKILL, at its step-th write or rename.

    A journal line that is being written then is cut off after `cut` characters."""
    pid = os.fork()
    if pid:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) in (0, 9)
        return
    left = [step]

    def die_at(function, before_dying=lambda *args: None):
        def wrapped(*args):
            if left[0] == 0:
                before_dying(*args)
                os._exit(9)
            left[0] -= 1
            return function(*args)

        return wrapped

    code = 1
    try:
        append = Journal._append
        Journal._append = die_at(append, lambda journal, line: append(journal, line[:cut]))
        realtime.outputs.os.replace = die_at(os.replace)
        AudioWriter.write = die_at(AudioWriter.write)
        realtime.batch.trace.TraceWriter.commit = die_at(realtime.batch.trace.TraceWriter.commit)
        code = run(sources, out, "--resume")
    finally:
        os._exit(code)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@settings(max_examples=30, deadline=None)
@given(kills=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 60)), max_size=4))
def test_killed_anywhere_any_number_of_times(sources, tmp_path_factory, kills):
    out = tmp_path_factory.mktemp("out") / "out"
    for step, cut in kills:
        killed_run(sources, out, step, cut)
        # What has its final name is whole, whenever it is looked at.
        whole = files(sources / "whole")
        assert all(
            whole[name] == held
            for name, held in files(out).items()
            if not name.endswith(".partial")
        )
    assert run(sources, out, "--resume") == 0
    assert files(out) == files(sources / "whole")
    stamps = {p: p.stat().st_mtime_ns for p in out.rglob("*.wav")}
    assert run(sources, out, "--resume") == 0
    assert stamps == {p: p.stat().st_mtime_ns for p in out.rglob("*.wav")}


def test_finished_files_are_skipped_and_only_those(sources, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(sources, out, "--resume") == 0
    stamps = {p.name: p.stat().st_mtime_ns for p in out.rglob("*.wav")}
    (out / "b.wav").unlink()
    assert run(sources, out, "--resume", "--overwrite") == 0
    after = {p.name: p.stat().st_mtime_ns for p in out.rglob("*.wav")}
    assert {name for name in after if after[name] != stamps[name]} == {"b.wav"}
    assert run(sources, out, "--resume", "--threshold-db", "-30") == 1
    error = capsys.readouterr().err
    assert error.count("exists already (--overwrite replaces it)") == len(NAMES)


def test_what_others_put_there_is_not_replaced(sources, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.wav").write_bytes(b"mine")
    assert run(sources, out, "--resume") == 1
    assert run(sources, out, "--resume") == 1
    assert "a.wav: exists already" in capsys.readouterr().err
    assert (out / "a.wav").read_bytes() == b"mine"
    (out / "sub" / "c.wav").write_bytes(b"edited since")
    assert run(sources, out, "--resume") == 1
    assert (out / "sub" / "c.wav").read_bytes() == b"edited since"


def test_a_failed_file_is_tried_again_and_leaves_no_claim(sources, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.wav").write_bytes(b"no sound")
    out = tmp_path / "out"
    assert run(tmp_path, out, "--resume") == 1
    (out / "a.wav").write_bytes(b"mine")
    good = (sources / "in" / "a.wav").read_bytes()
    (tmp_path / "in" / "a.wav").write_bytes(good)
    assert run(tmp_path, out, "--resume") == 1
    assert (out / "a.wav").read_bytes() == b"mine"
    (out / "a.wav").unlink()
    assert run(tmp_path, out, "--resume") == 0
