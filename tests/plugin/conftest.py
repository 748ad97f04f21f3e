"""Builds the plugin once for all of these tests, or says why it cannot."""

import sys
from pathlib import Path

import numpy as np
import pytest
from plugin_build import BUILD, DPF, MODEL, ROOT, make
from plugin_native import Core

sys.path.insert(0, str(Path(__file__).parents[1] / "realtime"))  # for its sound servers


@pytest.fixture(scope="session")
def plugins():
    """Folder with lv2/, vst3/ and clap/."""
    if not DPF.is_file():
        pytest.skip("dpf-source is not installed: the plugin's formats cannot be built")
    make("plugin")
    return BUILD / "dist"


@pytest.fixture(scope="session")
def tools(plugins):
    """Folder with the tests' own CLAP host."""
    if not (BUILD / "clap_host").is_file():
        pytest.skip("the CLAP host of the tests is for Linux")
    return BUILD


@pytest.fixture(scope="session")
def core():
    """The core library."""
    make("plugin" if DPF.is_file() else "plugin-core")
    return Core(next((BUILD / "lib").glob("libexemplar-gate-core.*")))


@pytest.fixture(scope="session")
def detector():
    """The same detector in the Python engine."""
    from realtime.onnx_detector import OnnxDetector

    if not MODEL.is_file():
        pytest.skip("models/voice.onnx is not there")
    return OnnxDetector(MODEL)


@pytest.fixture(scope="session")
def talk():
    """Nine seconds of the shipped recording: mono speech in noise, with its sample rate."""
    import soundfile

    path = ROOT / "models" / "sample" / "talk.flac"
    if not path.is_file():
        pytest.skip("models/sample/talk.flac is not there")
    samples, rate = soundfile.read(path, 9 * 48000, dtype="float32", always_2d=True)
    return np.ascontiguousarray(samples[:, :1]), rate
