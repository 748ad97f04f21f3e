"""Writes the head as ``models/audioset-speech.onnx`` with card and reference."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from gate.errors import ConfigError, ModelError
from realtime.onnx_session import open_session
from realtime.outputs import OutputRules, write_arrays, write_bytes, write_text
from training.audioset.layers import scale_bytes
from training.onnx_write import to_onnx

NAME = "audioset-speech"
FORMAT = "exemplar-gate-embedding-head"
MAX_DIFFERENCE = 1e-4
"""Largest difference of a probability between torch and ONNX: float32 rounding stays below 1e-5."""


class Head(nn.Module):
    """A network over bytes: ``embeddings`` (N, T, 128) to ``clip`` (N,), ``per_second`` (N, T)."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, embeddings):  # noqa: D102
        x = scale_bytes(embeddings)
        mask = torch.ones_like(x[..., 0]) > 0
        clip, rows = self.net(x, mask)
        return torch.sigmoid(clip[:, 0]), torch.sigmoid(rows)


def reference_input(seed=0):
    """Seeded bytes (3, 10, 128), half of them at the ends of the range as in real embeddings."""
    rng = np.random.default_rng(seed)
    values = rng.normal(127.5, 90.0, (3, 10, 128))
    return np.clip(values, 0, 255).astype(np.uint8)


def pack_matrices(graph):
    """Store matrices that were rounded to a byte a weight as such, times a scale an output.

    A reader folds cast and product when it opens the file; other matrices of `graph`, an
    onnx.ModelProto, stay as they are.
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes, scales = [], []
    for tensor in graph.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) != 2:
            continue
        name, values = tensor.name, numpy_helper.to_array(tensor)
        steps_name, float_name, scale_name = (f"{name}.{x}" for x in ("steps", "float", "scale"))
        for axis in (0, 1):
            scale = np.abs(values).max(axis, keepdims=True) / np.float32(127) + np.float32(1e-30)
            steps = np.round(values / scale)
            if np.allclose(steps * scale, values, rtol=1e-5, atol=0):
                tensor.CopyFrom(numpy_helper.from_array(steps.astype(np.int8), steps_name))
                scales.append(numpy_helper.from_array(scale, scale_name))
                nodes += [
                    helper.make_node("Cast", [steps_name], [float_name], to=TensorProto.FLOAT),
                    helper.make_node("Mul", [float_name, scale_name], [name]),
                ]
                break
    graph.graph.initializer.extend(scales)
    for node in reversed(nodes):
        graph.graph.node.insert(0, node)


def write_checked(path, graph, model, inputs, max_difference):
    """Write an ONNX graph that was made of `model`; returns its session.

    Raises
    ------
    ModelError
        If an output differs by more than `max_difference` for any of the arrays `inputs`; nothing
        is written then.
    """
    content = graph.SerializeToString()
    session = open_session(content)
    for x in inputs:
        with torch.no_grad():
            expected = model(torch.from_numpy(x))
        expected = expected if isinstance(expected, tuple) else (expected,)
        got = session.run(None, {graph.graph.input[0].name: x})
        pairs = zip(expected, got, strict=True)
        worst = max(np.abs(a.numpy().astype(float) - b).max() for a, b in pairs)
        if not worst <= max_difference:
            raise ModelError(f"{path}: ONNX and torch differ by {worst:.2g} for input {x.shape}")
    write_bytes(path, content)
    return session


def export_head(net, path, metadata):
    """Write one ONNX and its ``.npz`` reference, and hold ONNX to torch for several shapes.

    Parameters
    ----------
    net : torch.nn.Module
        ``forward(x, mask)`` to logits, as `BestNet`.
    path : path-like
        The ``.onnx``.
    metadata : dict
        Stored in the file, values as strings or JSON.
    """
    path = Path(path)
    head = Head(net).eval()
    axes = {"embeddings": {0: "n", 1: "rows"}, "clip": {0: "n"}, "per_second": {0: "n", 1: "rows"}}
    metadata = {"format": FORMAT, "format_version": "1", "name": path.stem} | metadata
    x = reference_input()
    graph = to_onnx(head, torch.from_numpy(x), "embeddings", list(axes)[1:], axes, metadata)
    pack_matrices(graph)
    shapes = (3, 10), (1, 1), (2, 4), (1, 60)
    inputs = [np.resize(reference_input(n * rows), (n, rows, 128)) for n, rows in shapes]
    session = write_checked(path, graph, head, inputs, MAX_DIFFERENCE)
    clip, rows = session.run(None, {"embeddings": x})
    write_arrays(path.with_suffix(".npz"), embeddings=x, clip=clip, per_second=rows)


def export_best(args):
    """Export the head that `train_best` left under ``RUNS/best``; writes the card too.

    Raises
    ------
    AudioFileError
        If one of the three files is there already and `args.overwrite` is not set.
    """
    from training.audioset.best import load_head, read_best

    record, folder = read_best(args), Path(args.runs) / "best"
    if not record or not folder.is_dir():
        raise ConfigError(f"runs={args.runs} must hold a best model: run --best first")
    path = Path(args.models) / f"{NAME}.onnx"
    rules = OutputRules([folder], args.overwrite)
    for suffix in (".onnx", ".npz", ".md"):
        rules.check(path.with_suffix(suffix))
    net = load_head(folder)
    thresholds = record["thresholds"]
    metadata = {
        "target": record["target"],
        "presence_threshold": thresholds["presence"],
        "presence_hysteresis": 0.1,
        "accuracy_threshold": thresholds["accuracy"],
        "f1_threshold": thresholds["f1"],
        "licence": "MIT; trained on the AudioSet embeddings (Google, CC BY 4.0)",
        "training_data": "AudioSet released embeddings, balanced train part",
    }
    export_head(net, path, metadata)
    card = template(
        "card",
        parameters=sum(p.numel() for p in net.parameters()),
        megabytes=path.stat().st_size / 1e6,
        width=net.settings.width,
        scorings=template("scorings").strip(),
        row=" | ".join(f"{value:.4f}" for value in record["eval"].values()),
        **({"note": ""} | record),
    )
    write_text(path.with_suffix(".md"), card)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, with {NAME}.npz and {NAME}.md")


def template(name, **values):
    """Text of a Markdown file beside this one, its fields filled."""
    text = (Path(__file__).parent / f"{name}.md").read_text(encoding="utf-8")
    return text.format(**values)
