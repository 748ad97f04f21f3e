"""From a torch module to an ONNX graph with metadata, quietly."""

import io
import json
import warnings


def to_onnx(module, example, input_name, output_names, dynamic_axes, metadata):
    """Trace a module of one input.

    Parameters
    ----------
    module : torch.nn.Module
        In eval mode.
    example : torch.Tensor
    input_name : str
    output_names : list of str
    dynamic_axes : dict
        Name -> {axis: name of the axis}.
    metadata : dict
        Stored in the file; strings as they are, the rest as JSON.

    Returns
    -------
    graph : onnx.ModelProto
    """
    import onnx
    import torch

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The tracing exporter is deprecated, but its graphs are smaller and need no onnxscript.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (example,),
            buffer,
            input_names=[input_name],
            output_names=output_names,
            dynamic_axes=dynamic_axes,
            opset_version=17,
            dynamo=False,
        )
    graph = onnx.load_from_string(buffer.getvalue())
    for name, value in metadata.items():
        entry = graph.metadata_props.add()
        entry.key = name
        entry.value = value if isinstance(value, str) else json.dumps(value)
    onnx.checker.check_model(graph)
    return graph
