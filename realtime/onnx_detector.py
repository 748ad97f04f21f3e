"""A detector from an ONNX file (contract: docs/design.md), on onnxruntime with one thread."""

import hashlib
import json
from dataclasses import fields
from pathlib import Path

import numpy as np

from gate.decision import EvidenceRule
from gate.detector import Detection, DetectorInfo
from gate.errors import ConfigError, ModelError
from gate.features import MelSettings
from realtime.ears import ear_specs
from realtime.onnx_session import metadata_of, open_session

FORMAT = "exemplar-gate-detector"
FORMAT_VERSIONS = ("1", "2")

_MEL_FIELDS = {f.name: f.type for f in fields(MelSettings)}
_OUTPUTS = ("embedding", "presence", "key", "ballistics")


class OnnxDetector:
    """Runs a hop detector.

    Parameters
    ----------
    path : str or Path
        The ONNX file.
    session : onnxruntime.InferenceSession, optional
        The file's, if it is open already.
    channels : int
        How many to hear side by side: `process` then takes one hop of each, and `reset` may
        be told which of them to forget.

    Raises
    ------
    ModelError
        If the file is missing, damaged, or breaks the contract: one line that says which rule.

    Notes
    -----
    `ears` and `ears_silent` are filled in by `realtime.engine.open_detector`: the second ears that
    a gate around this detector takes over, and why others are not heard.

    State: the network's. Latency: 0, it is causal. One hop runs on preallocated bindings: two
    sets, so that the state written by one call is read in place by the next.
    """

    def __init__(self, path, session=None, channels=1):
        self._path = Path(path)
        self._session = session or open_session(self._path)
        self.info = _read_info(self._path, self._session)
        inputs = {i.name: i for i in self._session.get_inputs()}
        # A named dimension counts the channels of a detector that can take several at once.
        shape = inputs["state"].shape
        self._channel_axis = next((k for k, n in enumerate(shape) if not isinstance(n, int)), None)
        if channels > 1 and self._channel_axis is None:
            raise ModelError(f"{path}: state of shape {shape} has no axis of channels")
        self._state_shape = [n if isinstance(n, int) else channels for n in shape]
        self._channels = channels
        self.ears, self.ears_silent = [], dict.fromkeys(self.info.ears, "not opened")
        self._bind()
        self.reset()

    def _bind(self):
        """Buffers and bindings for calls with one hop."""
        import onnxruntime as ort

        info, n_mels = self.info, self.info.mel.n_mels
        self._states = [np.zeros(self._state_shape, np.float32) for _ in range(2)]
        self._features = np.zeros((1, n_mels), np.float32)
        self._heard = np.zeros((1, len(info.ears)), np.float32)
        # No names are given to ballistics' columns in the file: attack, hold, release.
        shapes = {
            "embedding": (1, self._width("embedding")),
            "presence": (1, len(info.classes)),
            "key": (1, n_mels),
            "ballistics": (1, 3),
        }
        self._results = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        self._detection = Detection(**self._results)
        value = ort.OrtValue.ortvalue_from_numpy  # shares the array's memory on the CPU
        shared = {name: value(array) for name, array in self._results.items()}
        features, heard = value(self._features), None
        if info.ears:
            heard = value(self._heard)
        states = [value(state) for state in self._states]
        self._bindings = []
        for turn in range(2):
            binding = self._session.io_binding()
            binding.bind_ortvalue_input("features", features)
            binding.bind_ortvalue_input("state", states[turn])
            if info.ears:
                binding.bind_ortvalue_input("ears", heard)
            for name, result in shared.items():
                binding.bind_ortvalue_output(name, result)
            binding.bind_ortvalue_output("state_out", states[1 - turn])
            self._bindings.append(binding)
        self._keep = (shared, features, heard, states)
        self._turn = 0

    def _width(self, output):
        return next(o.shape[-1] for o in self._session.get_outputs() if o.name == output)

    def process(self, features, ears=None):
        """Classify the next hops; see `gate.detector.Detector.process`."""
        if len(features) != 1 or self._channels > 1:
            return self._process_many(features, ears)
        self._features[:] = features
        if self.info.ears:
            self._heard[:] = 0.0 if ears is None else ears
        # The inner session's call spares a layer of Python; the public one does the same.
        self._session.run_with_iobinding(self._bindings[self._turn])
        self._turn = 1 - self._turn
        return self._detection

    def _process_many(self, features, ears):
        state = self._states[self._turn]
        given = {"features": np.ascontiguousarray(features, dtype=np.float32), "state": state}
        if self.info.ears:
            given["ears"] = heard_or_silence(ears, len(features), len(self.info.ears))
        *found, state_out = self._session.run([*_OUTPUTS, "state_out"], given)
        state[...] = state_out
        return Detection(*found)

    def reset(self, channel=None):
        """All-zero state."""
        for state in self._states:
            if channel is not None and self._channel_axis is not None:
                state = np.moveaxis(state, self._channel_axis, 0)[channel]
            state[...] = 0.0

    def fork(self):
        """Another detector on the same session with a copy of the present state."""
        other = object.__new__(OnnxDetector)
        other.__dict__.update(self.__dict__)
        other._bind()
        other._states[0][...] = self._states[self._turn]
        return other


def heard_or_silence(ears, n_rows, n_ears):
    """What the ears said as an input (n_rows, n_ears); None is silence."""
    if ears is None:
        return np.zeros((n_rows, n_ears), np.float32)
    return np.ascontiguousarray(ears, dtype=np.float32)


def _read_info(path, session):
    """`DetectorInfo` of a session that keeps the contract; `ModelError` otherwise."""

    def refuse(rule):
        raise ModelError(f"{path}: {rule}")

    meta = metadata_of(session)
    if meta.get("format") != FORMAT:
        refuse(f"metadata format={meta.get('format')!r} must be {FORMAT!r}")
    if meta.get("format_version") not in FORMAT_VERSIONS:
        refuse(f"format_version={meta.get('format_version')!r} must be 1 or 2")
    if meta.get("kind") != "hop":
        refuse(f"metadata kind={meta.get('kind')!r} must be 'hop'")
    try:
        mel = MelSettings(
            **{
                name: (int if kind is int else float)(meta[name])
                for name, kind in _MEL_FIELDS.items()
            }
        )
        classes = tuple(json.loads(meta["classes"]))
        targets = {k: tuple(v) for k, v in json.loads(meta.get("targets", "{}")).items()}
        thresholds = {k: float(v) for k, v in json.loads(meta["presence_threshold"]).items()}
        hysteresis = {k: float(v) for k, v in json.loads(meta["presence_hysteresis"]).items()}
        decision = _rules(meta.get("decision"))
        file_decision = _rules(meta.get("file_decision"))
        ears = tuple(spec.name for spec in ear_specs(meta.get("ears", "[]")))
    except ConfigError as error:
        refuse(f"metadata {error}")
    except KeyError as error:
        refuse(f"metadata {error.args[0]!r} is missing")
    except (ValueError, TypeError, AttributeError) as error:
        refuse(f"metadata cannot be read ({error})")
    _check_shapes(session, mel, classes, ears, refuse)
    known = {"format", "format_version", "kind", "name", "classes", "targets"} | set(_MEL_FIELDS)
    return DetectorInfo(
        name=meta.get("name", path.stem),
        classes=classes,
        mel=mel,
        targets=targets,
        presence_threshold=thresholds,
        presence_hysteresis=hysteresis,
        # A file that tells no rule of a target decides by evidence at its presence threshold.
        decision={name: EvidenceRule(value) for name, value in thresholds.items()} | decision,
        file_decision=file_decision,
        ears=ears,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        metadata={k: v for k, v in meta.items() if k not in known},
    )


def _rules(text):
    """Evidence rules by target, of a metadata field that may be missing."""
    return {target: EvidenceRule(**values) for target, values in json.loads(text or "{}").items()}


def _check_shapes(session, mel, classes, ears, refuse):
    frontend = MelSettings(log_offset=mel.log_offset)
    if mel != frontend:
        refuse(f"frontend {mel} must be {frontend}")
    inputs = {i.name: i for i in session.get_inputs()}
    outputs = {o.name: o for o in session.get_outputs()}
    asked = {"features", "state", "ears"} if ears else {"features", "state"}
    if set(inputs) != asked:
        refuse(f"inputs {sorted(inputs)} must be {', '.join(sorted(asked))}")
    missing = {*_OUTPUTS, "state_out"} - set(outputs)
    if missing:
        refuse(f"output {sorted(missing)[0]!r} is missing")
    widths = {"features": mel.n_mels, "presence": len(classes), "key": mel.n_mels, "ballistics": 3}
    if ears:
        widths["ears"] = len(ears)
    for name, width in widths.items():
        shape = (inputs | outputs)[name].shape
        if len(shape) != 2 or shape[1] != width:
            refuse(f"{name} of shape {shape} must be (T, {width})")
    if sum(not isinstance(n, int) for n in inputs["state"].shape) > 1:
        refuse(f"state of shape {inputs['state'].shape} must be fixed but for the channels")
