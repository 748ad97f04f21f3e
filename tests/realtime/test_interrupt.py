"""A signal ends the commands as Ctrl-C does: nothing is left behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from waiting import until

from benchmarks.files.kills import descendants
from realtime.interrupt import Interrupted, Interrupts, check_interrupt
from realtime.options import run
from realtime.outputs import Replacement

SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")


@pytest.mark.parametrize("name", SIGNALS)
def test_the_first_signal_ends_the_work_and_clears_up(tmp_path, capsys, request, name):
    number = getattr(signal, name)
    before = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
    started = signal.signal(number, before)  # nohup, say, has it ignored
    request.addfinalizer(lambda: signal.signal(number, started))

    def work():
        output = Replacement(tmp_path / "a.wav")  # nobody holds it in a context
        output.file.write(b"half")
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        finally:
            os.kill(os.getpid(), number)  # impatience does not stop the clearing up
            time.sleep(0.01)

    assert run("gate-test", work) == 128 + number
    assert capsys.readouterr().err == "gate-test: interrupted\n"
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(number) is before


def test_a_signal_that_a_library_swallowed_is_raised_again():
    with Interrupts():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        except Interrupted:
            pass  # as a callback of C would
        with pytest.raises(Interrupted):
            check_interrupt()
    check_interrupt()


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts():
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
            check_interrupt()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="module")
def long_files(tmp_path_factory):
    """Two recordings of 20 minutes: the same sound again and again is quickly made."""
    folder = tmp_path_factory.mktemp("long")
    sound = 0.1 * np.random.default_rng(0).standard_normal(16000 * 20)
    for k in range(2):
        with soundfile.SoundFile(folder / f"{k}.wav", "w", 16000, 1) as file:
            for _ in range(60):
                file.write(sound)
    return folder


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="looks for processes in /proc")
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_no_file_and_no_worker_is_left(long_files, tmp_path, jobs, name):
    mark = f"interrupt-{tmp_path.name}"
    process = subprocess.Popen(
        [sys.executable, "-m", "realtime.batch.cli", str(long_files), "-o",
         str(tmp_path / "out"), "--model", "none", "--quiet", "--jobs", str(jobs)],
        env=os.environ | {"KILLER_MARK": mark}, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    until(lambda: list((tmp_path / "out").glob(".*.partial")), "is not under way")
    process.send_signal(getattr(signal, name))
    said = process.communicate(timeout=60)[1]
    assert b"Traceback" not in said, said
    until(lambda: not descendants(mark), lambda: descendants(mark), 30.0)
    if name == "SIGTERM":
        assert process.returncode == 143 and said.endswith(b"gate-batch: interrupted\n")
        assert [p.name for p in (tmp_path / "out").iterdir()] == []


_KILLED_WHILE_STARTING = """
import os, signal, sys
from joblib.externals.loky.process_executor import ProcessPoolExecutor
from realtime.batch.cli import main
start = ProcessPoolExecutor._adjust_process_count
def start_and_die(pool):
    start(pool)  # the pool's lock is held here
    os.kill(os.getpid(), signal.SIGKILL)
ProcessPoolExecutor._adjust_process_count = start_and_die
main(sys.argv[1:])
"""


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="looks for processes in /proc")
def test_a_worker_that_never_had_a_task_ends_with_its_owner(long_files, tmp_path):
    mark = f"starting-{tmp_path}"
    arguments = [str(long_files), "-o", str(tmp_path / "out"), "--model", "none", "--jobs", "2"]
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED_WHILE_STARTING, *arguments],
        env=os.environ | {"KILLER_MARK": mark}, start_new_session=True,
    )  # fmt: skip
    assert process.wait(timeout=60) == -signal.SIGKILL
    try:
        until(lambda: not descendants(mark), lambda: descendants(mark), 30.0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
