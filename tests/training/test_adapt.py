"""Adapting: the network is read back from its export, learns the examples, keeps the rest."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from teaching import examples

from gate.errors import ModelError
from realtime.learn.medley import split_folds
from realtime.learn.profile import load_profile
from realtime.learn.profile_detector import ProfileDetector
from realtime.learn.remarks import TeachingNotes
from realtime.learn.teach import teach
from realtime.onnx_detector import OnnxDetector
from training.adapt import AdaptSettings, adapt, fine_tune
from training.voice.export import DetectorCard, export_voice
from training.voice.imported import network_from_onnx
from training.voice.network import VoiceNet, VoiceSettings

QUICK = AdaptSettings(steps=12, batch_size=4, n_hops=100)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    net = VoiceNet(VoiceSettings(gru_sizes=(24, 16), embedding_size=32, level_tau_s=0.7))
    torch.nn.init.normal_(net.heads.weight, std=0.3)
    card = DetectorCard(
        "small", {"speech": ["speech"]}, {"speech": 0.5}, {"speech": 0.1}, {"speech": {}},
        file_decision={"speech": {}}, ears=[], licence="MIT", training_data="-",
    )  # fmt: skip
    path = tmp_path_factory.mktemp("adapt") / "small.onnx"
    export_voice(net, path, card)
    return path


def test_the_network_is_read_back_from_its_export(model):
    net = network_from_onnx(model)  # compares the outputs itself, too
    assert net.settings.gru_sizes == (24, 16)
    assert net.settings.level_tau_s == pytest.approx(0.7, rel=1e-3)
    assert net.settings.hold_s == pytest.approx((0.001, 1.0), rel=1e-3)
    features = np.random.default_rng(1).uniform(-9, 0, (60, 64)).astype(np.float32)
    with torch.no_grad():
        key = net(torch.from_numpy(features)[None])["key_logits"].sigmoid()[0].numpy()
    np.testing.assert_allclose(key, OnnxDetector(model).process(features).key, atol=1e-4)


def test_what_is_no_network_is_refused(tmp_path):
    from tiny_model import tiny_model

    with pytest.raises(ModelError, match="no network of this trainer"):
        network_from_onnx(tiny_model(tmp_path / "tiny.onnx"))


def test_fine_tuning_lowers_the_loss_and_leaves_the_original(model):
    net = network_from_onnx(model)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    recordings = examples(4.0)
    units = [unit for fold in split_folds(recordings) for unit in fold]
    losses = []
    fine_tune(net, recordings, units, replace(QUICK, steps=30), lambda *row: losses.append(row[1]))
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:3])
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_adapt_writes_a_detector_and_a_profile_for_it(model, tmp_path):
    profile = teach(examples(4.0), OnnxDetector(model), TeachingNotes(), "low").profile
    result = adapt(profile, model, tmp_path / "new.onnx", settings=QUICK)
    assert 0.5 < result["auc_adapted"] <= 1.0
    detector = OnnxDetector(tmp_path / "new.onnx")
    assert detector.info.name == "small-low"
    assert detector.info.presence_threshold == {"speech": 0.5}
    ProfileDetector(detector, load_profile(tmp_path / "new.gate.yaml"))
    with pytest.raises(ModelError, match="teach it again"):
        ProfileDetector(detector, profile)
