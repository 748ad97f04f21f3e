"""Finds the shipped detectors and the sample, by their place beside this package."""

from pathlib import Path

from gate.errors import ModelError

MODELS = Path(__file__).resolve().parent.parent / "models"
"""Not imported: a folder ``models`` of the user's would come first."""


def model_names():
    """Names of the shipped detectors."""
    return sorted(path.stem for path in MODELS.glob("*.onnx"))


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
    shipped = MODELS / f"{model}.onnx"
    if not shipped.is_file():
        names = ", ".join(model_names()) or "none"
        raise ModelError(f"model={str(model)!r} is neither a shipped detector ({names}) nor a file")
    return shipped


def sample_path():
    """Path of the sample recording that comes with the gate."""
    return MODELS / "sample" / "talk.flac"
