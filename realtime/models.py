"""Finds the shipped detectors."""

from importlib.resources import files
from pathlib import Path

from gate.errors import ModelError


def model_names():
    """Names of the shipped detectors."""
    return sorted(p.name[:-5] for p in files("models").iterdir() if p.name.endswith(".onnx"))


def find_model(model):
    """Path of a detector given by its shipped name or by a path.

    Parameters
    ----------
    model : str or Path
        ``voice``, say, or the path of an ONNX file.

    Raises
    ------
    ModelError
        If there is no such file.
    """
    path = Path(model)
    if path.suffix == ".onnx" or path.parent != Path("."):
        if not path.is_file():
            raise ModelError(f"{model}: no such detector file")
        return path
    shipped = files("models") / f"{model}.onnx"
    if not shipped.is_file():
        names = ", ".join(model_names()) or "none"
        raise ModelError(f"model={str(model)!r} is neither a shipped detector ({names}) nor a file")
    return Path(str(shipped))


def sample_path():
    """Path of the sample recording that comes with the gate."""
    return Path(str(files("models") / "sample" / "talk.flac"))
