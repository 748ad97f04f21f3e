"""The little of ONNX's file format that the player needs: read weights, write a graph.

ONNX files are protocol buffers. What is read here has been checked by its hash before; what is
written goes to onnxruntime at once. The package `onnx` is the trainer's and is not needed.
"""

import struct

import numpy as np

from gate.errors import ModelError

_FLOAT, _INT64 = 1, 7
_KINDS = {np.dtype(np.float32): _FLOAT, np.dtype(np.int64): _INT64}
_IR_VERSION, _OPSET = 8, 17


def read_weights(model):
    """Float initializers of a serialized model: dict of name to float32 array.

    Raises
    ------
    ModelError
        If the bytes are not a model.
    """
    weights = {}
    try:
        for number, graph in _fields(model):
            if number != 7:
                continue
            for part, tensor in _fields(graph):
                if part == 5:
                    name, array = _tensor(tensor)
                    if array is not None:
                        weights[name] = array
    except (IndexError, ValueError, TypeError, struct.error):
        raise ModelError("not a readable ONNX model") from None
    return weights


def _fields(message):
    """Field numbers and values of a message: bytes for what has a length, int for the rest."""
    at, view = 0, memoryview(message)
    while at < len(view):
        key, at = _read_varint(view, at)
        kind = key & 7
        if kind == 0:
            value, at = _read_varint(view, at)
        elif kind == 2:
            length, at = _read_varint(view, at)
            if at + length > len(view):
                raise ValueError("cut off")
            value, at = view[at : at + length], at + length
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
            value, at = view[at : at + length], at + length
        else:
            raise ValueError("unknown wire type")
        yield key >> 3, value


def _read_varint(view, at):
    value = shift = 0
    while True:
        byte = view[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _tensor(message):
    """Name and array of a float tensor with raw data; (name, None) of any other."""
    shape, kind, name, raw = [], None, "", None
    for number, value in _fields(message):
        if number == 1:
            shape.append(value)
        elif number == 2:
            kind = value
        elif number == 8:
            name = bytes(value).decode()
        elif number == 9:
            raw = value
    if kind != _FLOAT or raw is None:
        return name, None
    return name, np.frombuffer(raw, "<f4").reshape(shape).astype(np.float32)


def write_model(nodes, inputs, outputs, weights):
    """A serialized model of one graph.

    Parameters
    ----------
    nodes : list of (op, inputs, outputs, attributes)
        In the order of computation; attributes a dict of int, list of int or str.
    inputs, outputs : dict of str to list
        Name to shape of the float32 tensors; a str in a shape is a free dimension.
    weights : dict of str to ndarray
        float32 and int64.
    """
    graph = b"".join(_part(1, _node(*node)) for node in nodes) + _part(2, b"graph")
    for name, array in weights.items():
        dims = b"".join(_number(1, n) for n in array.shape)
        graph += _part(5, dims + _number(2, _KINDS[array.dtype]) + _part(8, name.encode())
                       + _part(9, np.ascontiguousarray(array).tobytes()))  # fmt: skip
    for number, tensors in ((11, inputs), (12, outputs)):
        for name, shape in tensors.items():
            dims = b"".join(
                _part(1, _number(1, n) if isinstance(n, int) else _part(2, n.encode()))
                for n in shape
            )
            kind = _part(1, _number(1, _FLOAT) + _part(2, dims))
            graph += _part(number, _part(1, name.encode()) + _part(2, kind))
    return _number(1, _IR_VERSION) + _part(7, graph) + _part(8, _number(2, _OPSET))


def _node(op, inputs, outputs, attributes):
    message = b"".join(_part(1, name.encode()) for name in inputs)
    message += b"".join(_part(2, name.encode()) for name in outputs) + _part(4, op.encode())
    for name, value in attributes.items():
        if isinstance(value, str):
            body = _part(4, value.encode()) + _number(20, 3)
        elif isinstance(value, int):
            body = _number(3, value) + _number(20, 2)
        else:
            body = b"".join(_number(8, each) for each in value) + _number(20, 7)
        message += _part(5, _part(1, name.encode()) + body)
    return message


def _varint(value):
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field, value):
    return _varint(field << 3) + _varint(value)


def _part(field, body):
    return _varint(field << 3 | 2) + _varint(len(body)) + body
