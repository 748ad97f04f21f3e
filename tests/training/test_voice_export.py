"""The exported detector is what the network is, and a wrong one is never written."""

import dataclasses
import json

import numpy as np
import pytest
import torch

import training.voice.graph as voice_graph
from gate.errors import ConfigError, ModelError
from gate.features import MelSettings
from realtime.onnx_session import open_session
from training.voice.export import (
    DetectorCard,
    build_model,
    example_ears,
    example_features,
    export_voice,
    run_sequence,
    run_stream,
    run_torch,
)
from training.voice.graph import OUTPUTS
from training.voice.network import VoiceNet, VoiceSettings

CARD = DetectorCard(
    name="voice",
    targets={"speech": ["speech"], "voice": ["speech", "sung"]},
    presence_threshold={"speech": 0.5, "voice": 0.6},
    presence_hysteresis={"speech": 0.1, "voice": 0.2},
    decision={name: {"threshold": 0.4, "open_cost": 2.0} for name in ("speech", "voice")},
    file_decision={name: {"threshold": 0.4, "open_cost": 8.0} for name in ("speech", "voice")},
    ears=[],
    licence="MIT",
    training_data="none",
)
EARS = dataclasses.replace(CARD, ears=[{"name": "silero"}, {"name": "another"}])
TRUNKS = {
    "default": VoiceSettings(),
    "one layer": VoiceSettings(gru_sizes=(32,)),
    "two unlike layers": VoiceSettings(gru_sizes=(32, 48)),
    "two ears": VoiceSettings(gru_sizes=(32, 32), n_ears=2),
}


def card_of(net):
    return EARS if net.settings.n_ears else CARD


def inputs_of(net, n_hops, seed=0):
    inputs = {"features": example_features(n_hops=n_hops, seed=seed)}
    if net.settings.n_ears:
        inputs["ears"] = example_ears(n_hops, net.settings.n_ears, seed)
    return inputs


def make_net(settings=TRUNKS["one layer"]):
    """Random, and nothing left at a value that would hide a mistake."""
    torch.manual_seed(1)
    net = VoiceNet(settings)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.dim() == 1:
                parameter.uniform_(-0.3, 0.3)
        net.heads.weight.normal_(std=0.3)
        net.input_mean.uniform_(-2.0, -1.0)
        net.input_scale.uniform_(0.4, 0.8)
    return net


@pytest.mark.parametrize("trunk", TRUNKS)
def test_export_keeps_every_output(trunk, tmp_path):
    net = make_net(TRUNKS[trunk])
    path = tmp_path / "made" / "voice.onnx"
    report = export_voice(net, path, card_of(net))
    assert len(report) == 3
    # Rounding of float32 through two GRUs; the limit for refusing is ten times that.
    assert max(difference for _, difference in report.values()) < 1e-5

    # Independently of the export's own checks: the written file against the network.
    inputs = inputs_of(net, 150, seed=5)
    session = open_session(path)
    state = np.zeros((1, 1, net.settings.state_size), dtype=np.float32)
    sequence = run_sequence(session, inputs, state)
    expected = run_torch(net, inputs)
    for name in (*OUTPUTS, "state"):
        np.testing.assert_allclose(sequence[name], expected[name], atol=2e-5, rtol=2e-5)
    streamed = run_stream(session, inputs, state)
    for name in (*OUTPUTS, "state"):
        np.testing.assert_allclose(streamed[name], sequence[name], atol=2e-5, rtol=2e-5)
    assert sequence["presence"].min() >= 0 and sequence["presence"].max() <= 1
    assert np.ptp(sequence["presence"]) > 0.1


def test_reference_file_repeats(tmp_path):
    path = tmp_path / "voice.onnx"
    export_voice(make_net(), path, CARD)
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as reference:
        assert set(reference) == {"features", *OUTPUTS}
        state = np.zeros((1, 1, make_net().settings.state_size), dtype=np.float32)
        outputs = run_sequence(open_session(path), {"features": reference["features"]}, state)
        for name in OUTPUTS:
            np.testing.assert_array_equal(outputs[name], reference[name])


@torch.no_grad()
def test_an_ear_tells_the_network_something():
    net = make_net(TRUNKS["two ears"]).eval()
    features = torch.from_numpy(example_features(n_hops=20))[None]
    silent = net(features)["presence_logits"]
    assert torch.equal(net(features, torch.zeros(1, 20, 2))["presence_logits"], silent)
    ears = torch.zeros(1, 20, 2)
    ears[:, 10:, 1] = 1.0
    heard = net(features, ears)["presence_logits"]
    assert torch.equal(heard[:, :10], silent[:, :10])
    assert (heard[:, 10:] - silent[:, 10:]).abs().min() > 1e-4


def test_metadata_says_how_to_run_it(tmp_path):
    path = tmp_path / "voice.onnx"
    net = make_net()
    export_voice(net, path, CARD)
    said = open_session(path).get_modelmeta().custom_metadata_map
    assert (said["format"], said["format_version"], said["kind"]) == (
        "exemplar-gate-detector",
        "2",
        "hop",
    )
    mel = MelSettings()
    for field in dataclasses.fields(mel):
        assert float(said[field.name]) == getattr(mel, field.name)
    assert json.loads(said["classes"]) == list(net.settings.classes)
    for field in ("targets", "presence_threshold", "presence_hysteresis", "decision", "ears"):
        assert json.loads(said[field]) == getattr(CARD, field)
    assert int(said["parameters"]) == net.count_parameters()


def test_a_miss_refuses_and_keeps_the_old_file(tmp_path, monkeypatch):
    net = make_net()
    path = tmp_path / "voice.onnx"
    path.write_bytes(b"the old one")
    honest = voice_graph._gru_arrays
    monkeypatch.setattr(
        voice_graph, "_gru_arrays", lambda gru: (honest(gru)[0] * 1.01, *honest(gru)[1:])
    )
    with pytest.raises(ModelError, match="export refused: ONNX against torch"):
        export_voice(net, path, CARD)
    assert path.read_bytes() == b"the old one"
    assert [p.name for p in tmp_path.iterdir()] == ["voice.onnx"]


def test_non_finite_weights_are_refused(tmp_path):
    net = make_net()
    with torch.no_grad():
        net.heads.bias[0] = float("nan")
    with pytest.raises(ModelError, match="export refused"):
        export_voice(net, tmp_path / "voice.onnx", CARD)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"targets": {"speech": ["talk"], "voice": ["sung"]}}, r"targets\['speech'\]=\['talk'\]"),
        ({"presence_threshold": {"speech": 0.5}}, "presence_threshold=.* must have one value"),
        (
            {"presence_hysteresis": {"speech": 0.5, "voice": 2.0}},
            r"presence_hysteresis\['voice'\]=2.0 must be from 0 to 1",
        ),
    ],
)
def test_bad_cards_are_named(wrong, message):
    with pytest.raises(ConfigError, match=message):
        build_model(make_net(), dataclasses.replace(CARD, **wrong))


def test_other_mel_settings_are_refused():
    with pytest.raises(ConfigError, match="n_mels=40 must equal the network's 64"):
        build_model(make_net(), CARD, MelSettings(n_mels=40))
