"""The metric: directions in which kinds of sound differ, learned from the training split.

A few seconds of examples show how these examples differ from each other, not how the next bark
will differ from them. What hundreds of speakers and kinds of sound have in common in that respect
comes with the detector, in ``NAME.metric.npz``: a linear map of the head's inputs to coordinates
that stand beside those found in the examples themselves. The head of a profile stays linear in
its inputs, and costs the same.

It belongs to one detector; with any other, teaching does without.
"""

import functools
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from gate.errors import ModelError
from realtime.learn.head import Basis, HeadShape
from realtime.learn.stored import read_arrays
from realtime.outputs import write_arrays

FORMAT, VERSION = "exemplar-gate-metric", 1
_MOST_RANK, _MOST_INPUTS = 512, 8192
_STEPS = 127  # of an 8-bit number


@dataclass(frozen=True)
class Metric:
    """Coordinates for heads on one detector.

    Attributes
    ----------
    basis : Basis
    shape : HeadShape
        The inputs that the basis takes.
    detector_sha256 : str
        Of the detector whose embedding they hold.
    """

    basis: Basis
    shape: HeadShape
    detector_sha256: str

    @property
    def n_own(self):
        """How many of the inputs, the first ones, the usual head sees."""
        blocks = 1 + len(self.shape.taus_s)
        return len(self.basis.mean) // blocks * (1 + len(HeadShape().taus_s))


def save_metric(path, metric):
    """Write a metric, its directions as 8-bit numbers; the file is replaced whole."""
    directions = metric.basis.directions
    scale = np.maximum(np.abs(directions).max(axis=0), 1e-12).astype(np.float32) / _STEPS
    write_arrays(
        path, format=np.array(FORMAT), version=np.array(VERSION),
        detector_sha256=np.array(metric.detector_sha256),
        taus_s=np.array(metric.shape.taus_s), mean=metric.basis.mean.astype(np.float32),
        directions=np.round(directions / scale).astype(np.int8), scale=scale,
    )  # fmt: skip


def load_metric(path):
    """Read a metric.

    Raises
    ------
    ModelError
        One line: the file and the rule that it breaks.
    """
    names = ("format", "version", "detector_sha256", "taus_s", "mean", "directions", "scale")
    a = read_arrays(path, names, "metric")
    if str(a["format"]) != FORMAT or a["version"].tolist() != VERSION:
        raise ModelError(f"{path}: not a metric of version {VERSION}")
    mean, directions, scale, taus = a["mean"], a["directions"], a["scale"], a["taus_s"]
    n = mean.size
    if mean.dtype != np.float32 or mean.shape != (n,) or not 0 < n <= _MOST_INPUTS:
        raise ModelError(f"{path}: mean must be float32 of at most {_MOST_INPUTS} numbers")
    rank = directions.shape[-1] if directions.ndim == 2 else 0
    if directions.dtype != np.int8 or directions.shape != (n, rank) or rank > _MOST_RANK:
        raise ModelError(f"{path}: directions must be int8 ({n}, at most {_MOST_RANK})")
    if scale.dtype != np.float32 or scale.shape != (rank,):
        raise ModelError(f"{path}: scale must be float32, one a direction")
    own = HeadShape().taus_s
    numbers = taus.ndim == 1 and taus.dtype.kind == "f" and (taus > 0).all()
    begins = numbers and tuple(taus[: len(own)].tolist()) == own
    if not begins or not len(taus) <= 8 or n % (1 + len(taus)):
        raise ModelError(f"{path}: taus_s must be up to 8 times from {own} on, that divide {n}")
    if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
        raise ModelError(f"{path}: every number must be finite")
    shape = HeadShape(tuple(taus.tolist()))
    return Metric(Basis(mean, directions * scale), shape, str(a["detector_sha256"]))


@functools.cache
def _shipped():
    path = Path(str(files("models") / "voice.metric.npz"))
    return load_metric(path) if path.is_file() else None


def metric_for(info, shape=None):
    """The shipped metric where it belongs to a detector, else None.

    Parameters
    ----------
    info : gate.detector.DetectorInfo
    shape : HeadShape, optional
        Inputs that it must take.
    """
    metric = _shipped()
    if metric is None or not info.sha256 or metric.detector_sha256 != info.sha256:
        return None
    return metric if shape in (None, metric.shape) else None
