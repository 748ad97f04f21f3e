"""Writes the C++ of one detector hop from its ONNX file: ``generate_detector.py IN.onnx OUT.cpp``.

Only what streaming detectors use is known here, for one hop of one channel, where every tensor is
a row of floats; anything else is refused by name. Weights of the large products are stored in the
order in which `dense` (kernels.hpp) reads them.
"""

import argparse
import hashlib
import json
import math
import sys
from pathlib import Path

import numpy as np
import onnx
from cpp_arrays import TILE, CppArrays
from onnx import numpy_helper

_FEW = 16  # products with fewer outputs are not packed
_UNARY = {"Log": "std::log({0})", "Relu": "({0} < 0.0f ? 0.0f : {0})"}
_BINARY = {"Add": "{0} + {1}", "Sub": "{0} - {1}", "Mul": "{0} * {1}", "Pow": "std::pow({0}, {1})"}
_MANY = {"Exp": "exp_many", "Sigmoid": "sigmoid_many", "Tanh": "tanh_many"}
_SAME = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity")


class UnsupportedError(Exception):
    """The graph holds what this generator does not know."""


class Generator:
    """Translates a graph node by node.

    Parameters
    ----------
    model : onnx.ModelProto
        With inputs ``features`` and ``state``, and ``ears`` where it has other ears too.
    """

    def __init__(self, model):
        self.graph = model.graph
        self.constants = {i.name: numpy_helper.to_array(i) for i in self.graph.initializer}
        self.sizes = {name: array.size for name, array in self.constants.items()}
        for value in self.graph.input:
            dimensions = value.type.tensor_type.shape.dim
            # A dynamic one is 1: one hop, one channel.
            self.sizes[value.name] = math.prod(d.dim_value or 1 for d in dimensions)
        self.shapes = set()
        self.places = {value.name: value.name for value in self.graph.input}
        if not {"features", "state"} <= set(self.places) <= {"features", "ears", "state"}:
            raise UnsupportedError(f"inputs {', '.join(self.places)} are not known")
        self.arrays, self.early, self.steps = CppArrays(), [], []
        self.work_size = 0

    def translate(self):
        """Fill `arrays` (definitions), `steps` (statements) and `early` (those without sound)."""
        for node in self.graph.node:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            handler = getattr(self, f"_{node.op_type.lower()}", None)
            reshapes = node.op_type in _SAME
            if node.op_type == "Shape" or (self.shapes & set(node.input) and not reshapes):
                self.shapes.update(node.output)  # shape arithmetic: settled by one hop, one channel
            elif reshapes:
                self.places[node.output[0]] = self.place(node.input[0])
                self.sizes[node.output[0]] = self.sizes[node.input[0]]
            elif node.op_type in _MANY:
                n, out = self._result(node, self.sizes[node.input[0]])
                source = self.place(node.input[0])
                self.steps.append(f"{_MANY[node.op_type]}({source}, {n}, {out});")
            elif node.op_type in _UNARY:
                self._loop(node, _UNARY[node.op_type])
            elif node.op_type in _BINARY:
                self._loop(node, _BINARY[node.op_type])
            elif handler is not None:
                handler(node, attributes)
            else:
                raise UnsupportedError(f"operator {node.op_type} is not known")

    def place(self, name):
        """C++ expression of a tensor's first element's address."""
        if name not in self.places:
            self.places[name] = self.arrays.array(self.constants[name])
        return self.places[name]

    def offset(self, name):
        """Where in the work space an output of the graph begins."""
        place = self.places[name]
        if not place.startswith("work + "):
            raise UnsupportedError(f"output {name} must be computed")
        return sum(int(part) for part in place.removeprefix("work + ").split(" + "))

    def _take(self, size):
        """Address of new work space, whole tiles."""
        at = self.work_size
        self.work_size += -(-size // TILE) * TILE
        return f"work + {at}"

    def _result(self, node, size):
        """Size and address of a node's only output."""
        self.sizes[node.output[0]] = size
        self.places[node.output[0]] = self._take(size)
        return size, self.places[node.output[0]]

    def _loop(self, node, formula):
        n, out = self._result(node, max(self.sizes[name] for name in node.input))
        operands = []
        for name in node.input:
            size = self.sizes[name]
            if size not in (1, n):
                raise UnsupportedError(f"{node.op_type} of {size} and {n} elements is not known")
            operands.append(f"({self.place(name)})[{'i' if size == n else 0}]")
        self.steps.append(
            f"for (int i = 0; i < {n}; ++i) ({out})[i] = {formula.format(*operands)};"
        )

    def _clip(self, node, _):
        low, high = (float(self.constants[name].item()) for name in node.input[1:3])
        n, out = self._result(node, self.sizes[node.input[0]])
        source = self.place(node.input[0])
        # Written so that a NaN stays one.
        self.steps.append(
            f"for (int i = 0; i < {n}; ++i) ({out})[i] = "
            f"std::min(std::max(({source})[i], {low!r}f), {high!r}f);"
        )

    def _leakyrelu(self, node, attributes):
        slope = f"{attributes.get('alpha', 0.01):.9g}f"
        self._loop(node, "({0} < 0.0f ? {0} * " + slope + " : {0})")

    def _split(self, node, _):
        at = 0
        for name, size in zip(node.output, self.constants[node.input[1]].tolist(), strict=True):
            self.places[name] = f"{self.place(node.input[0])} + {at}"
            self.sizes[name] = size
            at += size

    def _concat(self, node, _):
        _, out = self._result(node, sum(self.sizes[name] for name in node.input))
        at = 0
        for name in node.input:
            size, source = self.sizes[name], self.place(name)
            self.steps.append(f"std::copy({source}, {source} + {size}, {out} + {at});")
            at += size

    def _product(self, node, weights, bias):
        """`weights` as (outputs, inputs)."""
        n_out, n_in = weights.shape
        _, out = self._result(node, n_out)
        source = self.place(node.input[0])
        if n_in != self.sizes[node.input[0]]:
            raise UnsupportedError(f"{node.op_type} of {weights.shape} must fit one row")
        if n_out < _FEW:
            w, b = self.arrays.array(weights), self.arrays.array(bias)
            self.steps.append(f"dense_rows({w}, {b}, {source}, {n_in}, {n_out}, {out});")
        else:
            w, b = self.arrays.packed(weights), self.arrays.padded(bias)
            self.steps.append(f"dense({w}, {b}, {source}, {n_in}, {n_out}, {out});")

    def _matmul(self, node, _):
        weights = self.constants[node.input[1]].T
        self._product(node, weights, np.zeros(len(weights)))

    def _gemm(self, node, attributes):
        if attributes.get("transA") or {attributes.get(k, 1.0) for k in ("alpha", "beta")} != {1.0}:
            raise UnsupportedError("Gemm with transA, alpha or beta is not known")
        weights = self.constants[node.input[1]]
        weights = weights if attributes.get("transB") else weights.T
        self._product(node, weights, self.constants[node.input[2]].reshape(-1))

    def _recurrent(self, node, attributes, known):
        if {k: v for k, v in attributes.items() if k != "hidden_size"} != known:
            raise UnsupportedError(f"{node.op_type} with {attributes} is not known")
        if len(node.input) != 6 or node.input[4]:
            raise UnsupportedError(f"{node.op_type} must have an initial state and no lengths")
        w, r, b = (self.constants[name][0] for name in node.input[1:4])
        n = attributes["hidden_size"]
        out = self._take(n)
        for name in node.output:
            self.places[name], self.sizes[name] = out, n
        return w, r, b, n, self.place(node.input[0]), self.place(node.input[5]), out

    def _gru(self, node, attributes):
        w, r, b, n, x, h, out = self._recurrent(node, attributes, {"linear_before_reset": 1})
        n_in = w.shape[1]
        scratch, recurrent = self._take(3 * n), self._take(3 * n)
        w, r = self.arrays.packed(w), self.arrays.packed(r)
        b = [self.arrays.padded(half) for half in (b[: 3 * n], b[3 * n :])]
        if h == "state" or h.startswith("state + "):
            self.early.append(f"dense({r}, {b[1]}, {h}, {n}, {3 * n}, {recurrent});")
        else:
            raise UnsupportedError("GRU must start from the state")
        self.steps.append(
            f"gru_step({w}, {b[0]}, {recurrent}, {x}, {n_in}, {h}, {n}, {scratch}, {out});"
        )

    def _rnn(self, node, attributes):
        w, r, b, n, x, h, out = self._recurrent(node, attributes, {"activations": [b"Relu"]})
        arrays = ", ".join(self.arrays.array(a) for a in (w, r, b[:n] + b[n:]))
        self.steps.append(f"rnn_relu_step({arrays}, {x}, {w.shape[1]}, {h}, {n}, {out});")


def _text(value):
    return json.dumps(str(value))  # a JSON string of ASCII is a C++ string


def _rule(target, thresholds, decision):
    """Initialiser of a target's `DecisionRule`; defaults are those of gate/decision.py."""
    if target not in thresholds and target not in decision:
        return "{false, 0.0, 0.0, 0.0, 0.0, 0.0}"
    told = decision.get(target, {"threshold": thresholds.get(target)})
    numbers = [told.get("threshold", 0.5), 0.0, told.get("open_cost", 2.0)]
    numbers += [told.get("shut_cost", 3.0), told.get("shut_margin", 0.0)]
    return f"{{true, {', '.join(repr(float(n)) for n in numbers)}}}"


def generate(path):
    """The C++ source, as a string.

    Parameters
    ----------
    path : Path
        An ONNX detector of the kind ``hop``.

    Raises
    ------
    UnsupportedError
        For a graph or metadata that cannot be translated.
    """
    model = onnx.load(str(path))
    meta = {p.key: p.value for p in model.metadata_props}
    if meta.get("format") != "exemplar-gate-detector" or meta.get("format_version") not in "12":
        raise UnsupportedError("metadata format must be exemplar-gate-detector, version 1 or 2")
    generator = Generator(model)
    generator.translate()
    classes = json.loads(meta["classes"])
    thresholds = json.loads(meta["presence_threshold"])
    hysteresis = json.loads(meta["presence_hysteresis"])
    decision = json.loads(meta.get("decision", "{}"))
    targets = []
    for name, members in json.loads(meta["targets"]).items():
        columns = ", ".join(str(classes.index(member)) for member in members)
        targets.append(
            f"    {{{_text(name)}, {len(members)}, {{{columns}}}, "
            f"{thresholds.get(name, 0.5)!r}, {hysteresis.get(name, 0.0)!r}, "
            f"{_rule(name, thresholds, decision)}}},"
        )
    outputs = ("embedding", "presence", "key", "ballistics", "state_out")
    numbers = [generator.sizes["features"], len(classes), generator.sizes["embedding"]]
    numbers += [generator.sizes["state"], generator.sizes.get("ears", 0), len(targets)]
    places = [generator.work_size, *(generator.offset(name) for name in outputs)]
    return "\n".join(
        [
            f"// Generated from {path.name} by generate_detector.py; not to be edited.",
            "#include <algorithm>",
            "#include <cmath>",
            '#include "detector.hpp"',
            '#include "detector_ops.hpp"',
            "namespace gate {",
            "namespace {",
            *generator.arrays.definitions,
            "const Target targets[] = {",
            *targets,
            "};",
            "}  // namespace",
            "const DetectorInfo detector_info = {",
            f"    {_text(meta.get('name', path.stem))},",
            f"    {_text(hashlib.sha256(path.read_bytes()).hexdigest())},",
            f"    {float(meta['log_offset'])!r}, {', '.join(map(str, numbers))}, targets,",
            f"    {', '.join(map(str, places))}}};",
            "void detector_prepare(const float* state, float* work) {",
            *(f"  {step}" for step in generator.early),
            "}",
            "void detector_step(const float* features, [[maybe_unused]] const float* ears,",
            "                   const float* state, float* work) {",
            *(f"  {step}" for step in generator.steps),
            "}",
            "}  // namespace gate",
            "",
        ]
    )


def main(argv=None):
    """Command line."""
    parser = argparse.ArgumentParser(description="Write a detector's C++ from its ONNX file.")
    parser.add_argument("onnx", type=Path, help="the detector")
    parser.add_argument("output", type=Path, help="the C++ file to write")
    arguments = parser.parse_args(argv)
    try:
        text = generate(arguments.onnx)
    except (UnsupportedError, OSError, KeyError, ValueError) as error:
        print(f"generate_detector: {arguments.onnx}: {error}", file=sys.stderr)
        return 1
    arguments.output.write_text(text, encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main())
