"""What the gate asks of a detector.

The ONNX session, a taught profile around it and a five-line fake in a test are interchangeable
here. Two kinds of call, the same numbers: one hop in the stream, all hops of a file in batch.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from gate.decision import ClassicRule, EvidenceRule
from gate.errors import ConfigError
from gate.features import MelSettings

Samples = NDArray[np.float32]


class Detection(NamedTuple):
    """What a detector says of T hops.

    Attributes
    ----------
    embedding : ndarray, shape (T, 128)
    presence : ndarray, shape (T, n_classes)
        Probabilities, 0..1.
    key : ndarray, shape (T, n_mels)
        Key weights, 0..1.
    ballistics : ndarray, shape (T, 3)
        Attack, hold and release in seconds.
    """

    embedding: np.ndarray
    presence: np.ndarray
    key: np.ndarray
    ballistics: np.ndarray


@dataclass(frozen=True)
class DetectorInfo:
    """What a detector is, from its metadata.

    Attributes
    ----------
    name : str
    mel : MelSettings
        The features that it takes.
    classes : tuple of str
        The columns of `Detection.presence`.
    targets : dict
        Target name to the classes that count as it; their largest probability is its presence.
    presence_threshold, presence_hysteresis : dict
        Target name to the value chosen on dev data.
    decision : dict
        Target name to its `gate.decision.EvidenceRule`; a target that is not in it is decided by
        the classic rule.
    file_decision : dict
        The same for recordings read back from their end (``lookahead_ms: file``); a target that is
        not in it is decided as in the stream.
    ears : tuple of str
        Second ears that it listens to: the columns of its input `ears`.
    sha256 : str
        Of the file; ties a profile to its detector.
    metadata : dict
        Everything else that the file says of itself.
    """

    name: str
    classes: tuple
    mel: MelSettings = field(default_factory=MelSettings)
    targets: dict = field(default_factory=dict)
    presence_threshold: dict = field(default_factory=dict)
    presence_hysteresis: dict = field(default_factory=dict)
    decision: dict = field(default_factory=dict)
    file_decision: dict = field(default_factory=dict)
    ears: tuple = ()
    sha256: str = ""
    metadata: dict = field(default_factory=dict)

    def target_columns(self, target: str) -> list[int]:
        """Columns of `Detection.presence` that count as `target`.

        Raises
        ------
        ConfigError
            If the detector knows no such target.
        """
        names = self.targets.get(target, (target,))
        if any(name not in self.classes for name in names):
            known = ", ".join(dict.fromkeys([*self.targets, *self.classes]))
            raise ConfigError(f"target={target!r} is unknown to detector {self.name!r}: {known}")
        return [self.classes.index(name) for name in names]

    def rule(
        self,
        target: str,
        classic: bool = False,
        threshold: float | None = None,
        hysteresis: float | None = None,
        whole_file: bool = False,
    ) -> EvidenceRule | ClassicRule:
        """How presence of `target` decides.

        Parameters
        ----------
        target : str
        classic : bool
            Ask for the classic rule even where there is evidence: the hold is pinned.
        threshold, hysteresis : float, optional
            In place of the detector's own.
        whole_file : bool
            The recording is read back from its end.

        Returns
        -------
        gate.decision.EvidenceRule or gate.decision.ClassicRule
        """
        if not classic and target in self.decision:
            rule = self.decision[target]
            if whole_file:
                rule = self.file_decision.get(target, rule)
            return rule if threshold is None else replace(rule, threshold=threshold)
        if threshold is None:
            threshold = self.presence_threshold.get(target, 0.5)
        if hysteresis is None:
            hysteresis = self.presence_hysteresis.get(target, 0.0)
        return ClassicRule(threshold, hysteresis)


class Detector(Protocol):
    """A causal classifier of log-mel hops."""

    info: DetectorInfo

    def process(self, features: Samples) -> Detection:
        """Classify the next hops.

        Parameters
        ----------
        features : ndarray, shape (T, n_mels), float32
            Log-mel hops; T is 1 in the stream. May be reused by the caller afterwards.
        ears : ndarray, shape (T, k), float32, optional
            What each of `info.ears` says, 0 where it is silent; None: all silent. A detector
            whose info names none is called without.

        Returns
        -------
        Detection
            Arrays may be views that the next call overwrites.
        """

    def reset(self) -> None:
        """Go back to the initial state."""

    def fork(self) -> "Detector":
        """Another detector with the same weights and a copy of the present state."""


class NoDetector:
    """Hears the target always and everywhere: what remains is a classic level gate.

    Where the settings leave them to the detector, attack, hold and release are 2, 200, 100 ms.
    """

    def __init__(self):
        self.info = DetectorInfo(
            name="none",
            classes=("any",),
            targets={"speech": ("any",), "voice": ("any",)},
            presence_threshold={"speech": 0.5, "voice": 0.5},
            presence_hysteresis={"speech": 0.0, "voice": 0.0},
        )
        self._ballistics = np.array([2.0, 200.0, 100.0]) * 1e-3

    def process(self, features):
        """Say yes to every hop."""
        n_hops = len(features)
        return Detection(
            np.zeros((n_hops, 128), np.float32),
            np.ones((n_hops, 1), np.float32),
            np.ones((n_hops, self.info.mel.n_mels), np.float32),
            np.tile(self._ballistics, (n_hops, 1)),
        )

    def reset(self):
        """Nothing to forget."""

    def fork(self):
        """Stateless: itself."""
        return self
