"""Where the plugin is built, and building it."""

import fcntl
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "plugin"
MODEL = ROOT / "models" / "voice.onnx"
DPF = Path("/usr/share/dpf/CMakeLists.txt")


def make(target):
    """Run make, or skip with the reason why it cannot."""
    for tool in ("make", "cmake", "c++"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed: the plugin cannot be built")
    if importlib.util.find_spec("onnx") is None:
        pytest.skip("the package onnx is not installed: the detector's C++ cannot be generated")
    if not MODEL.is_file():
        pytest.skip("models/voice.onnx is not there")
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(BUILD / "tests.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test processes side by side build one after another
        done = subprocess.run(
            ["make", target, f"PYTHON={sys.executable}"], cwd=ROOT, capture_output=True, text=True
        )
    assert done.returncode == 0, (
        f"make {target} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    )
