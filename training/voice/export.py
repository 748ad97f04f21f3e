"""Writes a `VoiceNet` as one ONNX file with metadata, and checks it before it is kept."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper

from gate.decision import EvidenceRule
from gate.errors import ConfigError, ModelError
from gate.features import MelSettings, log_mel_spectrogram
from realtime.onnx_session import open_session
from realtime.outputs import write_arrays, write_bytes
from training.voice.graph import OUTPUTS, build_graph

FORMAT = "exemplar-gate-detector"
FORMAT_VERSION = "2"
OPSET = 17
IR_VERSION = 9
MAX_DIFFERENCE = 1e-4
"""Largest difference allowed between torch and ONNX, stream and sequence; time constants are
compared relative to their value. float32 rounding through the GRUs stays below 1e-5."""


_PLAIN = ("name", "licence", "training_data")


@dataclass(frozen=True)
class DetectorCard:
    """What the file says about itself, beside the network.

    Attributes
    ----------
    name : str
        Of the detector.
    targets : dict of str to list of str
        Target -> the classes of which any counts.
    presence_threshold, presence_hysteresis : dict of str to float
        A value a target, chosen on dev data.
    decision : dict of str to dict
        How each target is decided on, the fields of `gate.decision.EvidenceRule`.
    file_decision : dict of str to dict
        The same for recordings read back from their end.
    ears : list of dict
        What the network hears beside the bands (`realtime.ears`), one each.
    licence, training_data : str
        Of the weights; what they were trained on.
    """

    name: str
    targets: dict
    presence_threshold: dict
    presence_hysteresis: dict
    decision: dict
    file_decision: dict
    ears: list
    licence: str
    training_data: str

    def check(self, classes, n_ears):
        """Raise `ConfigError` unless targets, thresholds, ears and the network agree."""
        if len(self.ears) != n_ears:
            raise ConfigError(f"ears={self.ears} must be {n_ears}, as many as the network has")
        for name in ("decision", "file_decision", "presence_threshold", "presence_hysteresis"):
            values = getattr(self, name)
            if set(values) != set(self.targets):
                raise ConfigError(
                    f"{name}={values} must have one value for each of {sorted(self.targets)}"
                )
            for target, value in values.items():
                if isinstance(value, dict):
                    EvidenceRule(**value)
                elif not 0.0 <= value <= 1.0:
                    raise ConfigError(f"{name}[{target!r}]={value} must be from 0 to 1")
        for target, members in self.targets.items():
            unknown = sorted(set(members) - set(classes))
            if unknown or not members:
                raise ConfigError(
                    f"targets[{target!r}]={members} must name classes of {list(classes)}"
                )


def metadata(net, card, mel):
    """The strings stored in the file, dict of str to str."""
    s = net.settings
    card.check(s.classes, s.n_ears)
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "kind": "hop",
        "name": card.name,
        **{name: repr(value) for name, value in asdict(mel).items()},
        "classes": json.dumps(list(s.classes)),
        **{name: json.dumps(value) for name, value in vars(card).items() if name not in _PLAIN},
        "parameters": str(net.count_parameters()),
        "licence": card.licence,
        "training_data": card.training_data,
    }


def build_model(net, card, mel=MelSettings()):
    """The whole ONNX model of a `VoiceNet`, checked for form only."""
    if mel.n_mels != net.settings.n_mels:
        raise ConfigError(f"n_mels={mel.n_mels} must equal the network's {net.settings.n_mels}")
    model = helper.make_model(
        build_graph(net),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="exemplar-gate",
    )
    helper.set_model_props(model, metadata(net, card, mel))
    onnx.checker.check_model(model, full_check=True)
    return model


def example_features(n_hops=300, seed=0):
    """Log-mel of seeded sound, (n_hops, n_mels): bursts of tones and noise, then silence."""
    mel = MelSettings()
    rng = np.random.default_rng(seed)
    n = n_hops * mel.hop_length
    t = np.arange(n) / mel.sample_rate
    pitch = 150 + 60 * np.sin(2 * np.pi * 0.7 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / mel.sample_rate
    tones = sum(np.sin(k * phase) / k for k in range(1, 20))
    length = mel.sample_rate // 8
    on = np.repeat(rng.random(n // length + 1) > 0.4, length)[:n]
    samples = 0.1 * tones * on + 0.003 * rng.standard_normal(n)
    samples[-n // 10 :] = 0.0
    return log_mel_spectrogram(samples, mel)


def example_ears(n_hops, n_ears, seed=0):
    """What ears might say, (n_hops, n_ears): held for three hops, within the usual clip."""
    rng = np.random.default_rng([seed, 1])
    said = rng.uniform(-2.25, 2.25, (-(-n_hops // 3), n_ears)).astype(np.float32)
    return np.ascontiguousarray(np.repeat(said, 3, axis=0)[:n_hops])


def run_sequence(session, inputs, state):
    """All outputs of a sequence in one call: dict of arrays, with ``state``.

    `inputs` are the rows of the sequence by name: ``features`` and, where there are ears,
    ``ears``.
    """
    names = [*OUTPUTS, "state_out"]
    values = session.run(names, {**inputs, "state": state})
    return dict(zip([*OUTPUTS, "state"], values, strict=True))


def run_stream(session, inputs, state):
    """The same one hop a call."""
    hops = []
    for hop in range(len(inputs["features"])):
        rows = {name: value[hop : hop + 1] for name, value in inputs.items()}
        hops.append(run_sequence(session, rows, state))
        state = hops[-1]["state"]
    outputs = {name: np.concatenate([hop[name] for hop in hops]) for name in OUTPUTS}
    return {**outputs, "state": state}


@torch.no_grad()
def run_torch(net, inputs):
    """The same from the network itself."""
    training = net.training
    tensors = {name: torch.from_numpy(value)[None] for name, value in inputs.items()}
    outputs = net.eval()(**tensors)
    net.train(training)
    return {
        "embedding": outputs["embedding"][0].numpy(),
        "presence": outputs["presence_logits"].sigmoid()[0].numpy(),
        "key": outputs["key_logits"].sigmoid()[0].numpy(),
        "ballistics": outputs["ballistics"][0].numpy(),
        "state": outputs["state"].numpy(),
    }


def largest_difference(outputs, reference):
    """Worst deviation over all outputs; ballistics relative to their value.

    Returns
    -------
    name : str
    difference : float
    """
    worst = {}
    for name, expected in reference.items():
        deviation = np.abs(outputs[name] - expected)
        if name == "ballistics":
            deviation = deviation / expected
        worst[name] = float(np.max(np.nan_to_num(deviation, nan=np.inf)))
    name = max(worst, key=worst.get)
    return name, worst[name]


def check_session(session, net, inputs):
    """Compare torch, sequence, stream and channels side by side.

    Returns
    -------
    dict of str to (str, float)
        Comparison -> the output that differs most, and by how much.
    """
    state = np.zeros((1, 1, net.settings.state_size), dtype=np.float32)
    sequence = run_sequence(session, inputs, state)
    channels = session.run(
        [*OUTPUTS, "state_out"],
        {
            name: np.stack([value - np.float32(1.0), value], axis=1).reshape(-1, value.shape[1])
            for name, value in inputs.items()
        }
        | {"state": np.repeat(state, 2, axis=1)},
    )
    second = {name: rows[1::2] for name, rows in zip(OUTPUTS, channels, strict=False)}
    second["state"] = channels[-1][:, 1:]
    return {
        "ONNX against torch": largest_difference(sequence, run_torch(net, inputs)),
        "stream against sequence": largest_difference(run_stream(session, inputs, state), sequence),
        "one of two channels against alone": largest_difference(second, sequence),
    }


def export_voice(net, path, card):
    """Write ``path`` (.onnx) and its reference ``path`` (.npz); refuse on any miss.

    Parameters
    ----------
    net : VoiceNet
    path : path
        Of the ONNX file; the reference input and output go beside it.
    card : DetectorCard
        What the metadata says beside the network's settings.

    Returns
    -------
    dict of str to (str, float)
        Of `check_session`.

    Raises
    ------
    ModelError
        If torch and ONNX, or stream and sequence, differ by more than `MAX_DIFFERENCE`; no
        file is written then.
    """
    path = Path(path)
    features = example_features()
    inputs = {"features": np.ascontiguousarray(features, dtype=np.float32)}
    if net.settings.n_ears:
        inputs["ears"] = example_ears(len(features), net.settings.n_ears)
    model = build_model(net, card).SerializeToString()
    session = open_session(model)
    report = check_session(session, net, inputs)
    for what, (name, difference) in report.items():
        if not difference <= MAX_DIFFERENCE:
            raise ModelError(
                f"export refused: {what}: {name} differs by {difference:.2g}, "
                f"must be at most {MAX_DIFFERENCE:g}"
            )
    state = np.zeros((1, 1, net.settings.state_size), dtype=np.float32)
    outputs = run_sequence(session, inputs, state)
    write_bytes(path, model)
    arrays = {name: outputs[name] for name in OUTPUTS}
    write_arrays(path.with_suffix(".npz"), **inputs, **arrays)
    return report
