"""The second ear in C++ against onnxruntime on the same file, and how a build finds that file."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import helper
from plugin_build import MODEL, ROOT
from plugin_native import NativeEar
from plugin_signals import random_cuts
from silero_truth import package_says

from gate.decimator import Decimator
from realtime.ears import ear_specs
from realtime.onnx_session import metadata_of, open_session

PROBABILITY_TOLERANCE = 1e-5
VALUE_TOLERANCE = 5e-4
"""A logit of 9 is a probability of 0.99988: float32 leaves 2e-4 of a quarter of it to rounding."""


@pytest.fixture(scope="module")
def spec():
    """The ear in the detector's metadata."""
    told = metadata_of(open_session(MODEL)).get("ears", "[]")
    found = next((one for one in ear_specs(told) if one.name == "silero"), None)
    if found is None:
        pytest.skip("the detector was trained without a second ear")
    return found


@pytest.fixture
def ear(core, spec):
    if core.gate_ear_column() < 0:
        pytest.skip("the plugin is built without the second ear")
    return NativeEar(core)


def _probability(values, spec):
    return 1 / (1 + np.exp(-values / spec.scale))


def _at_16k(talk):
    audio, rate = talk
    decimator = Decimator(rate)
    return decimator.process_many(audio[: decimator.hop_ends(900)[-1], 0]).ravel()


@pytest.mark.parametrize("gain_db", (0, -40, 24))
def test_ear_equals_onnxruntime(ear, spec, talk, gain_db):
    samples = _at_16k(talk) * np.float32(10 ** (gain_db / 20))
    samples = np.clip(samples, -16, 16)
    expected = package_says(samples, spec)
    ours = np.array(
        [ear.process(samples[at : at + 160]) for at in range(0, len(samples) - 159, 160)]
    )
    assert _probability(expected, spec).min() < 0.1 < 0.9 < _probability(expected, spec).max()
    assert np.abs(ours - expected).max() < VALUE_TOLERANCE
    difference = _probability(ours, spec) - _probability(expected, spec)
    assert np.abs(difference).max() < PROBABILITY_TOLERANCE


def test_ear_hears_the_same_in_any_pieces_and_after_a_reset(ear, talk):
    samples = _at_16k(talk)[: 16000 * 4]
    ends = [512 * k for k in range(1, len(samples) // 512 + 1)]
    whole = [ear.process(samples[end - 512 : end]) for end in ends]
    assert np.ptp(whole) > 1.0
    for seed in (1, 2):
        ear.reset()
        values, at = {}, 0
        for cut in random_cuts(len(samples), seed, longest=700):
            values[cut.stop] = ear.process(samples[cut])
        for stop, value in values.items():
            at = stop // 512
            assert value == (whole[at - 1] if at else 0.0)


def test_ear_of_silence_is_finite_and_sure(ear):
    value = ear.process(np.zeros(16000 * 10, np.float32))
    assert value < -0.5
    assert np.isfinite(ear.process(np.full(16000, 16.0, np.float32)))


# How a build finds the ear's file


def _generate(folder, ears, *options):
    """Run generate_ear.py on a detector whose metadata names `ears`: (code, text, source)."""
    model = helper.make_model(helper.make_graph([], "empty", [], []))
    helper.set_model_props(model, {"ears": json.dumps(ears)})
    onnx.save(model, str(folder / "detector.onnx"))
    command = [sys.executable, ROOT / "plugin" / "generate_ear.py", folder / "detector.onnx"]
    done = subprocess.run(
        [*command, folder / "ear.cpp", *options], capture_output=True, text=True, timeout=120
    )
    source = folder / "ear.cpp"
    return done.returncode, done.stderr, source.read_text() if source.is_file() else ""


EAR = {
    "name": "silero", "package": "no-such-package", "version": "6.2.1.1", "file": "data/ear.onnx",
    "sha256": "00", "chunk": 512, "context": 64, "level_tau_s": 5.0, "level_dbfs": -25.0,
    "scale": 0.25, "clip": 2.25,
}  # fmt: skip


def test_a_missing_package_fails_the_build_in_one_line_with_both_ways_out(tmp_path):
    code, text, source = _generate(tmp_path, [EAR])
    assert code == 1 and not source
    assert len(text.splitlines()) == 1
    assert "no-such-package==6.2.1.1" in text and "-DGATE_SECOND_EAR=OFF" in text


def test_another_file_than_the_detectors_is_refused(tmp_path):
    (tmp_path / "other.onnx").write_bytes(b"something else")
    code, text, source = _generate(tmp_path, [EAR], "--file", tmp_path / "other.onnx")
    assert code == 1 and not source
    assert "other.onnx: is not the file" in text and len(text.splitlines()) == 1


def test_an_unknown_ear_is_refused_by_name(tmp_path):
    code, text, _ = _generate(tmp_path, [EAR | {"name": "firered"}])
    assert code == 1 and "firered" in text and len(text.splitlines()) == 1


@pytest.mark.parametrize("ears", ([], [EAR]))
def test_without_the_ear_nothing_is_looked_for(tmp_path, ears):
    options = ["--without"] if ears else []
    code, text, source = _generate(tmp_path, ears, *options)
    assert (code, text) == (0, "")
    assert "speech_ear = {-1}" in source
