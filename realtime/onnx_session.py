"""Opens ONNX files: one place, one thread each, nothing spinning while there is no sound."""

import os
from pathlib import Path

from gate.errors import ModelError


def open_session(model):
    """An onnxruntime session of one thread.

    Parameters
    ----------
    model : path-like or bytes
        A file, or a model as it would stand in one.

    Raises
    ------
    ModelError
        If the file is missing or not a readable model.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:  # pragma: no cover - it is a dependency of the player
        raise ModelError(f"onnxruntime cannot be loaded: {error}") from None
    named = isinstance(model, str | os.PathLike)
    if named and not Path(model).is_file():
        raise ModelError(f"{model}: no such detector file")
    ort.set_default_logger_severity(4)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = False  # one small graph: plain allocation is faster
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    source = str(model) if named else model
    try:
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        name = model if named else "the model"
        raise ModelError(f"{name}: not a readable ONNX model ({reason[:120]})") from None


def metadata_of(session):
    """The metadata of a session's model as a dict of strings."""
    return dict(session.get_modelmeta().custom_metadata_map)
