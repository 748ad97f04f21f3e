"""Every program of `examples/` runs to its end and says what it should."""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

FOLDER = Path(__file__).parent.parent / "examples"
SAYS = {
    "change_while_running": "-50 dBFS: gain 0.0 dB, because open",
    "eight_microphones": "seconds open: 0.0 0.0 ",
    "gate_a_file": "gated.wav: open ",
    "level_gate": "before: -60.0 dB\nnoise: -",
    "live": "because",
    "own_detector": "300 Hz: is shut out\n5000 Hz: passes",
    "sidechain": "ducked.wav: music turned down",
    "teach": "snare.gate.yaml: opened ",
    "when_it_opened": " s\n",
    "whole_array": "403200 samples, ",
}


class Stream:
    """In place of a sound device: a second of noise, 100 samples at a time."""

    def __init__(self, callback, blocksize, channels, **_):
        self._blocks = np.random.default_rng(0).standard_normal((480, blocksize, channels))
        self._callback = callback

    def __enter__(self):
        for block in self._blocks.astype(np.float32):
            out = np.full_like(block, np.nan)
            self._callback(block, out, len(block), None, None)
            assert np.isfinite(out).all()

    def __exit__(self, *exc):
        pass


def test_none_is_forgotten():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(SAYS)
    listed = (FOLDER / "README.md").read_text()
    assert all(f"`{name}.py`" in listed for name in SAYS)


@pytest.mark.parametrize("name", SAYS)
def test_it_runs(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name])
    monkeypatch.setitem(sys.modules, "sounddevice", SimpleNamespace(Stream=Stream))
    monkeypatch.setattr("builtins.input", lambda text: "")
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    said = capsys.readouterr().out
    assert SAYS[name] in said.replace("reason=", "because"), said
