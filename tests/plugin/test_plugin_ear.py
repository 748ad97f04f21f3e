"""The second ear in C++ against onnxruntime on the same file, and how a build finds that file."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from plugin_build import MODEL, ROOT
from plugin_native import NativeEar
from plugin_signals import random_cuts

from gate.decimator import Decimator

PROBABILITY_TOLERANCE = 1e-5
VALUE_TOLERANCE = 5e-4
"""A logit of 9 is a probability of 0.99988: float32 leaves 2e-4 of a quarter of it to rounding."""


def _entry():
    """The ear in the detector's metadata."""
    meta = {p.key: p.value for p in onnx.load(str(MODEL)).metadata_props}
    return next((e for e in json.loads(meta.get("ears", "[]")) if e["name"] == "silero"), None)


@pytest.fixture(scope="module")
def entry():
    if _entry() is None:
        pytest.skip("the detector was trained without a second ear")
    return _entry()


@pytest.fixture(scope="module")
def network(entry):
    """Session of the ear's own file."""
    spec = importlib.util.find_spec(entry["package"].replace("-", "_"))
    if spec is None:
        pytest.skip(f"{entry['package']} is not installed")
    path = Path(next(iter(spec.submodule_search_locations))) / entry["file"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@pytest.fixture
def ear(core, entry):
    if core.gate_ear_column() < 0:
        pytest.skip("the plugin is built without the second ear")
    return NativeEar(core)


def _expected(network, entry, samples):
    """Value after every hop of 160 samples: the last whole chunk's, 0 before the first."""
    chunk, context = entry["chunk"], entry["context"]
    state, before = np.zeros((2, 1, 128), np.float32), np.zeros(context, np.float32)
    decay = np.exp(-chunk / 16000 / entry["level_tau_s"])
    total = weight = 0.0
    values = [0.0]
    for at in range(0, len(samples) - chunk + 1, chunk):
        heard = samples[at : at + chunk]
        mean_square = np.mean(heard.astype(np.float64) ** 2)
        total = decay * total + (1 - decay) * mean_square
        weight = decay * weight + (1 - decay)
        level = max(total / weight, mean_square / 10)
        gain = 10 ** (entry["level_dbfs"] / 20) / np.sqrt(level + 1e-9)
        window = np.concatenate([before, heard]) * np.float32(gain)
        before = heard[-context:]
        inputs = {"input": window[None], "state": state, "sr": np.array(16000, np.int64)}
        probability, state = network.run(None, inputs)
        p = float(probability[0, 0])
        values.append(np.clip(np.log(p / (1 - p)) * entry["scale"], -entry["clip"], entry["clip"]))
    n_hops = len(samples) // 160
    return np.array(values)[160 * (1 + np.arange(n_hops)) // chunk]


def _probability(values, entry):
    return 1 / (1 + np.exp(-values / entry["scale"]))


def _at_16k(talk):
    audio, rate = talk
    decimator = Decimator(rate)
    return decimator.process_many(audio[: decimator.hop_ends(900)[-1], 0]).ravel()


@pytest.mark.parametrize("gain_db", (0, -40, 24))
def test_ear_equals_onnxruntime(ear, network, entry, talk, gain_db):
    samples = _at_16k(talk) * np.float32(10 ** (gain_db / 20))
    samples = np.clip(samples, -16, 16)
    expected = _expected(network, entry, samples)
    ours = np.array(
        [ear.process(samples[at : at + 160]) for at in range(0, len(samples) - 159, 160)]
    )
    assert _probability(expected, entry).min() < 0.1 < 0.9 < _probability(expected, entry).max()
    assert np.abs(ours - expected).max() < VALUE_TOLERANCE
    difference = _probability(ours, entry) - _probability(expected, entry)
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
    assert "other.onnx: sha256" in text and len(text.splitlines()) == 1


def test_an_unknown_ear_is_refused_by_name(tmp_path):
    code, text, _ = _generate(tmp_path, [EAR | {"name": "firered"}])
    assert code == 1 and "firered" in text and len(text.splitlines()) == 1


@pytest.mark.parametrize("ears", ([], [EAR]))
def test_without_the_ear_nothing_is_looked_for(tmp_path, ears):
    options = ["--without"] if ears else []
    code, text, source = _generate(tmp_path, ears, *options)
    assert (code, text) == (0, "")
    assert "speech_ear = {-1}" in source
