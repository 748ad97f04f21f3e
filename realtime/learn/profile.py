"""A profile: what `gate-learn` taught, in a file that people can read.

``NAME.gate.yaml`` holds the settings, the head and what is known about it; ``NAME.gate.npz``
beside it, if there is one, holds the examples as 8-bit log-mel, so that more can be taught
later and on another detector. No sound can be played from it, and no pickle is read.
"""

import base64
import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from gate.decision import EvidenceRule
from gate.errors import ConfigError, ModelError
from realtime.learn.head import HeadShape
from realtime.learn.memory import load_memory, pack_memory
from realtime.outputs import Replacement
from realtime.text_files import TextError, parse_yaml, read_utf8

FORMAT, VERSION = "exemplar-gate-profile", 2
OLD_VERSIONS = (1,)
"""Still read: 1 has no `decision`, so it decides by the classic rule."""

_NUMBERS = {
    "presence_threshold": (0.0, 1.0),
    "presence_hysteresis": (0.0, 1.0),
    "attack_ms": (0.05, 500.0),
    "hold_ms": (0.0, 5000.0),
    "release_ms": (1.0, 5000.0),
    "suggested_threshold_db": (-100.0, 0.0),
}


@dataclass(frozen=True)
class Profile:
    """A taught gate.

    Attributes
    ----------
    name : str
        What it opens on.
    detector, detector_sha256 : str
        Name and hash of the detector that it was taught on.
    shape : HeadShape
        What the head sees.
    coefficients : ndarray, shape (n (1 + k),), float32
    bias : float
    presence_threshold, presence_hysteresis : float
        0..1; with `hold_ms` for the classic rule, which a pinned hold brings back.
    attack_ms, hold_ms, release_ms : float
    rule : gate.decision.EvidenceRule, or None
        How the gate decides; None (profiles of version 1): by the classic rule.
    key : ndarray, shape (64,), float32, or None
        Fixed key weights; None leaves the key to the detector.
    suggested_threshold_db : float
        dBFS of the key level.
    classic : dict
        Settings for a gate without a detector.
    expected : dict
        What cross-validation says.
    taught_with : list of dict
        Name, seconds and side of the examples.
    memory : tuple of Recording
        The examples, where they are kept.
    penalty : float
        Of the head.
    world : dict
        ``seconds`` of everyday sounds that counted as shut, and ``left_out``: classes that did
        not, with how alike the wanted sound they are; empty where none counted.
    """

    name: str
    detector: str
    detector_sha256: str
    shape: HeadShape
    coefficients: np.ndarray
    bias: float
    presence_threshold: float
    attack_ms: float
    release_ms: float
    key: np.ndarray | None
    suggested_threshold_db: float
    presence_hysteresis: float = 0.1
    hold_ms: float = 70.0
    rule: EvidenceRule | None = None
    classic: dict = field(default_factory=dict)
    expected: dict = field(default_factory=dict)
    taught_with: list = field(default_factory=list)
    memory: tuple = ()
    penalty: float = 0.3
    world: dict = field(default_factory=dict)

    def check(self):
        """Return itself, or raise `ModelError` where a rule is broken."""
        for name, (low, high) in _NUMBERS.items():
            value = getattr(self, name)
            good = isinstance(value, int | float) and not isinstance(value, bool)
            if not good or not low <= value <= high:
                raise ModelError(f"{name}={value!r} must be from {low:g} to {high:g}")
        if not np.isfinite(self.coefficients).all() or not math.isfinite(self.bias):
            raise ModelError("head: every number must be finite")
        key = self.key
        if key is not None and (key.shape != (64,) or not ((key >= 0) & (key <= 1)).all()):
            raise ModelError("key must be 64 weights from 0 to 1")
        return self

    def embedding_size(self, n_mels):
        """Width of the embedding that the head takes.

        Raises
        ------
        ModelError
            If the head's numbers do not add up.
        """
        width, rest = divmod(self.coefficients.size, 1 + len(self.shape.taus_s))
        if rest or width <= n_mels:
            raise ModelError(f"head of {self.coefficients.size} numbers does not fit its shape")
        return width - n_mels


def memory_path(path):
    """Where the examples of a profile are kept: ``x.gate.yaml`` -> ``x.gate.npz``."""
    path = Path(path)
    return path.with_suffix(".npz")


def save_profile(profile, path, with_memory=True):
    """Write a profile, and its examples beside it.

    Raises
    ------
    AudioFileError
        If that is not possible.
    """
    import yaml

    key = profile.key
    tree = {
        "format": FORMAT,
        "format_version": VERSION,
        "name": profile.name,
        "detector": {"name": profile.detector, "sha256": profile.detector_sha256},
        "gate": {name: round(float(getattr(profile, name)), 4) for name in _NUMBERS},
        "decision": None if profile.rule is None else asdict(profile.rule),
        "key": None if key is None else [round(float(v), 3) for v in key],
        "expected": profile.expected,
        "classic_gate": profile.classic,
        "taught_with": profile.taught_with,
        "world": profile.world,
        "head": {
            "taus_s": [float(t) for t in profile.shape.taus_s],
            "penalty": float(profile.penalty),
            "bias": round(float(profile.bias), 6),
            "coefficients_float32_base64": _encode(profile.coefficients),
        },
    }
    head = "# A gate taught by example: see gate-learn inspect\n"
    text = yaml.safe_dump(tree, sort_keys=False, default_flow_style=None, width=100)
    beside = memory_path(path)
    # Both or none: a profile with the examples of another would be taught wrongly.
    with Replacement(path) as output, Replacement(beside) as memory:
        output.write((head + text).encode("utf-8", "surrogateescape"))
        if with_memory and profile.memory:
            memory.write(pack_memory(profile.memory))
            memory.commit()
        else:
            beside.unlink(missing_ok=True)
        output.commit()


def _encode(array):
    return base64.b64encode(np.asarray(array, "<f4").tobytes()).decode("ascii")


def load_profile(path, with_memory=True):
    """Read a profile, with its examples if they lie beside it.

    Parameters
    ----------
    path : str or Path
    with_memory : bool
        Read the examples, too; who only runs the gate needs none.

    Raises
    ------
    ModelError
        One line: the file and the rule that it breaks.
    """
    path = Path(path)
    try:
        text = read_utf8(path)
    except TextError as error:
        raise ModelError(f"{path}: profile {error}") from None
    try:
        tree = parse_yaml(text)
    except TextError:
        raise ModelError(f"{path}: not a profile (it is not YAML)") from None
    if not isinstance(tree, dict) or tree.get("format") != FORMAT:
        raise ModelError(f"{path}: not a profile made by gate-learn (format must be {FORMAT!r})")
    if tree.get("format_version") not in (VERSION, *OLD_VERSIONS):
        raise ModelError(
            f"{path}: format_version={tree.get('format_version')!r} must be at most {VERSION}; "
            "this program is older than the profile"
        )
    try:
        profile = _from_tree(tree)
        profile.check()
    except (ModelError, ConfigError) as error:
        raise ModelError(f"{path}: {error}") from None
    except KeyError as error:
        raise ModelError(f"{path}: {error.args[0]!r} is missing") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{path}: damaged ({error})") from None
    beside = memory_path(path)
    if with_memory and beside.is_file():
        profile = replace(profile, memory=load_memory(beside))
    return profile


def _from_tree(tree):
    head, key = tree["head"], tree["key"]
    rule = tree.get("decision")
    raw = base64.b64decode(head["coefficients_float32_base64"], validate=True)
    return Profile(
        name=str(tree["name"]),
        detector=str(tree["detector"]["name"]),
        detector_sha256=str(tree["detector"]["sha256"]),
        shape=HeadShape(tuple(float(t) for t in head["taus_s"])),
        coefficients=np.frombuffer(raw, "<f4").astype(np.float32),
        bias=float(head["bias"]),
        penalty=float(head["penalty"]),
        key=None if key is None else np.array(key, dtype=np.float32),
        classic=dict(tree["classic_gate"] or {}),
        expected=dict(tree["expected"] or {}),
        taught_with=list(tree["taught_with"] or []),
        rule=None if rule is None else EvidenceRule(**rule),
        world=dict(tree.get("world") or {}),
        **{name: tree["gate"][name] for name in _NUMBERS},
    )


def check_detector(profile, info, where="profile"):
    """Refuse a detector that the profile was not taught on.

    Parameters
    ----------
    profile : Profile
    info : gate.detector.DetectorInfo
    where : str
        The profile's file, for the message.

    Raises
    ------
    ModelError
    """
    if profile.detector_sha256 != info.sha256:
        refresh = " (gate-learn update does it without the recordings)" if profile.memory else ""
        raise ModelError(
            f"{where}: taught on detector {profile.detector!r} {profile.detector_sha256[:12]}, "
            f"this is {info.name!r} {info.sha256[:12] or 'without a file'}; teach it again{refresh}"
        )
