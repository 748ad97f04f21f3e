"""Metadata of an ONNX file: names to JSON values."""

import json


def set_metadata(graph, values):
    """Store `values` in an `onnx.ModelProto`; strings as they are, the rest as JSON."""
    del graph.metadata_props[:]
    for name, value in values.items():
        entry = graph.metadata_props.add()
        entry.key = name
        entry.value = value if isinstance(value, str) else json.dumps(value)
