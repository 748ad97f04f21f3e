"""The ONNX graph of a `VoiceNet`, built by hand.

One GRU node a layer and as few small nodes as there can be, since at one hop a call each node
costs about half a microsecond whatever it computes. The input scaling is folded into the first
weights, and the running level is an RNN node of two units whose activation passes positive
numbers unchanged, which makes it an exponential mean.

Many channels go through one call: the number of channels B is that of the state, (1, B, S), and
`features` are (T * B, 64), the channels of a hop one after another; so are `ears` (T * B, k),
where the network has ears, and the outputs.
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from training.voice.network import BALLISTICS

OUTPUTS = ("embedding", "presence", "key", "ballistics")
"""The graph's outputs beside ``state_out``."""


class _Graph:
    """Collects nodes and constants."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, name, array):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, operator, inputs, outputs, **attributes):
        outputs = [outputs] if isinstance(outputs, str) else list(outputs)
        name = next(output for output in outputs if output)
        node = helper.make_node(operator, list(inputs), outputs, name=name, **attributes)
        self.nodes.append(node)
        return outputs[0]


def _array(tensor):
    return tensor.detach().cpu().numpy().astype(np.float32)


def _gru_arrays(gru):
    """Torch GRU weights (gates r, z, n) as ONNX's (z, r, h): W, R, B."""

    def reorder(tensor):
        reset, update, new = _array(tensor).reshape(3, gru.hidden_size, -1)
        return np.concatenate([update, reset, new])

    bias = np.concatenate([reorder(gru.bias_ih_l0)[:, 0], reorder(gru.bias_hh_l0)[:, 0]])
    return reorder(gru.weight_ih_l0), reorder(gru.weight_hh_l0), bias


def build_graph(net):
    """ONNX graph of a `VoiceNet`.

    Parameters
    ----------
    net : VoiceNet
        Its weights are copied.

    Returns
    -------
    onnx.GraphProto
    """
    s = net.settings
    graph = _Graph()
    state_out = _add_level(graph, s)
    shift, scale = _array(net.input_mean), _array(net.input_scale)
    hidden = "normalised"
    if s.n_ears:
        hidden = _add_ears(graph, s, hidden)
        # Ears come as the metadata scales them: nothing to fold.
        shift = np.concatenate([shift, np.zeros(s.n_ears, np.float32)])
        scale = np.concatenate([scale, np.ones(s.n_ears, np.float32)])

    layers = []
    for i, gru in enumerate(net.grus):
        w, r, b = _gru_arrays(gru)
        if i == 0:  # fold (x - shift) * scale into the first layer
            w = w * scale
            b[: len(w)] -= w @ shift
        weights = [
            graph.constant(f"gru{i}_{name}", array[None])
            for name, array in (("w", w), ("r", r), ("b", b))
        ]
        layers.append(f"gru{i}")
        state_out.append(f"gru{i}_out")
        graph.add(
            "GRU",
            [hidden, *weights, "", f"gru{i}_in"],
            [f"gru{i}", f"gru{i}_out"],
            hidden_size=gru.hidden_size,
            linear_before_reset=1,
        )
        if i + 1 < len(net.grus):
            hidden = graph.add("Squeeze", [f"gru{i}", _axis(graph)], f"gru{i}_hops")
    graph.add("Concat", state_out, "state_out", axis=2)

    hidden = graph.add("Concat", layers, "layers", axis=3) if len(layers) > 1 else layers[0]
    rows = graph.constant("rows", np.array([-1, sum(s.gru_sizes)], dtype=np.int64))
    hidden = graph.add("Reshape", [hidden, rows], "layer_rows")
    hidden = _add_linear(graph, hidden, net.embed, "embed")
    graph.add("LeakyRelu", [hidden], "embedding", alpha=net.activation.negative_slope)

    hidden = _add_linear(graph, "embedding", net.heads, "heads")
    hidden = graph.add("Sigmoid", [hidden], "shares")
    widths = np.array([len(s.classes), s.n_mels, len(BALLISTICS)], dtype=np.int64)
    graph.add(
        "Split",
        [hidden, graph.constant("head_sizes", widths)],
        ["presence", "key", "ballistics_share"],
        axis=1,
    )
    ratio = graph.constant("ballistics_ratio", _array(net.ballistics_ratio))
    low = graph.constant("ballistics_low", _array(net.ballistics_low))
    graph.add("Pow", [ratio, "ballistics_share"], "ballistics_multiple")
    graph.add("Mul", ["ballistics_multiple", low], "ballistics")

    def value(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    state_shape = (1, "channels", s.state_size)
    out_widths = (s.embedding_size, len(s.classes), s.n_mels, len(BALLISTICS))
    return helper.make_graph(
        graph.nodes,
        "voice_detector",
        [
            value("features", "hops", s.n_mels),
            *([value("ears", "hops", s.n_ears)] if s.n_ears else []),
            value("state", *state_shape),
        ],
        [value(name, "hops", width) for name, width in zip(OUTPUTS, out_widths, strict=True)]
        + [value("state_out", *state_shape)],
        graph.constants,
    )


def _axis(graph):
    """The axis of a recurrent node's directions, made once."""
    if all(constant.name != "direction_axis" for constant in graph.constants):
        graph.constant("direction_axis", np.array([1], dtype=np.int64))
    return "direction_axis"


def _add_linear(graph, hidden, linear, name):
    weight = graph.constant(f"{name}_w", _array(linear.weight).T)
    bias = graph.constant(f"{name}_b", _array(linear.bias))
    return graph.add("Gemm", [hidden, weight, bias], f"{name}_linear")


def _add_level(graph, s):
    """From `features` and `state` to `normalised` (T, B, n_mels); returns the state parts out."""
    parts = ["level_in"] + [f"gru{i}_in" for i in range(len(s.gru_sizes))]
    sizes = graph.constant("state_sizes", np.array(s.state_sizes, dtype=np.int64))
    graph.add("Split", ["state", sizes], parts, axis=2)

    graph.add("Shape", ["state"], "n_channels", start=1, end=2)
    any_hops = graph.constant("any_hops", np.array([-1], dtype=np.int64))
    n_mels = graph.constant("n_mels", np.array([s.n_mels], dtype=np.int64))
    graph.add("Concat", [any_hops, "n_channels", n_mels], "layout", axis=0)
    graph.add("Reshape", ["features", "layout"], "hops")
    graph.add("Exp", ["hops"], "magnitude")
    # Two units, each h = decay h + (1 - decay) x: the mean magnitude, and ones, for the
    # normalisation of the first seconds after a reset.
    new = 1.0 - s.level_decay
    w = np.zeros((1, 2, s.n_mels), dtype=np.float32)
    w[0, 0] = new / s.n_mels
    r = (s.level_decay * np.eye(2, dtype=np.float32))[None]
    b = np.array([[0.0, new, 0.0, 0.0]], dtype=np.float32)
    weights = [
        graph.constant(f"level_{name}", array) for name, array in (("w", w), ("r", r), ("b", b))
    ]
    graph.add(
        "RNN",
        ["magnitude", *weights, "", "level_in"],
        ["level", "level_out"],
        hidden_size=2,
        activations=["Relu"],
    )
    graph.add("Log", ["level"], "log_level")
    graph.add("Squeeze", ["log_level", _axis(graph)], "log_level_hops")
    difference = graph.constant("level_difference", np.array([[-1.0], [1.0]], dtype=np.float32))
    graph.add("MatMul", ["log_level_hops", difference], "minus_log_level")
    graph.add("Add", ["hops", "minus_log_level"], "relative")
    low = graph.constant("clip_low", np.array(s.clip_low, dtype=np.float32))
    high = graph.constant("clip_high", np.array(s.clip_high, dtype=np.float32))
    graph.add("Clip", ["relative", low, high], "normalised")
    return ["level_out"]


def _add_ears(graph, s, hidden):
    """From `ears` and what the GRUs would hear to both side by side, (T, B, width + n_ears)."""
    n_ears = graph.constant("n_ears", np.array([s.n_ears], dtype=np.int64))
    graph.add("Concat", ["any_hops", "n_channels", n_ears], "ears_layout", axis=0)
    graph.add("Reshape", ["ears", "ears_layout"], "ear_hops")
    return graph.add("Concat", [hidden, "ear_hops"], "heard", axis=2)
