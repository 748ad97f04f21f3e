"""Short runs of the fuzzer and of the killer loop; the long ones are in RESULTS."""

import sys

import pytest

from benchmarks.files.fuzz import Fuzzer
from benchmarks.files.kills import killer_loop


@pytest.mark.skipif(sys.platform == "win32", reason="needs an alarm")
def test_damaged_inputs_are_read_or_refused(tmp_path):
    fuzzer = Fuzzer(tmp_path, seed=7)
    for _ in range(400):
        fuzzer.run_one()
    names = {name for name, _ in fuzzer.counts}
    assert {"a.wav", "a.ogg", "config.yaml", "mine.gate.yaml", "packet"} <= names
    ends = {end for _, end in fuzzer.counts}
    assert ends == {"read", "refused"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
def test_killed_and_resumed(tmp_path):
    ends = killer_loop(tmp_path / "work", 3, seed=5, n_files=3, seconds=8.0, say=lambda line: None)
    assert sum(ends.values()) == 3
