import threading

import numpy as np
import pytest
import torch
from fakes import FakeDetector

from gate.errors import ConfigError, ModelError
from gate.features import MelSettings, log_mel_spectrogram
from gate.processor import GateProcessor
from realtime import vggish_worker
from realtime.vggish_worker import VggishDetector
from training.audioset import vggish
from training.audioset.best_net import BestNet, BestNetSettings
from training.audioset.export import export_head


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vggish")
    torch.manual_seed(0)
    network = vggish.Vggish((2, 2, 4, 4, 4, 4), 8)
    model = vggish.VggishToBytes(network, 40 * torch.eye(128), torch.zeros(128))
    vggish.export_vggish(model, folder / "vggish.onnx")
    net = BestNet(BestNetSettings(width=8, rank=4, norm="none", n_classes=1)).eval()
    # An untrained head says nearly the same of everything: make its answers spread.
    with torch.no_grad():
        net.row.weight.mul_(30)
    export_head(
        net,
        folder / "audioset-speech.onnx",
        {"target": "Speech", "presence_threshold": 0.4, "presence_hysteresis": 0.1},
    )
    return folder / "vggish.onnx", folder / "audioset-speech.onnx"


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(0)
    n = 16000 * 4
    level = np.repeat(10.0 ** rng.uniform(-4, -0.5, 16), n // 16)
    return log_mel_spectrogram((level * rng.standard_normal(n)).astype(np.float32))


def expected_presence(files, features, detector):
    """By hand: every patch through VGGish, the last ten rows through the head, delayed."""
    sessions = [vggish_worker.open_session(path) for path in files]
    silence = np.full((96, 64), np.log(0.01))
    offset = 0.01 - MelSettings().log_offset
    mel = np.concatenate([silence, np.log(np.exp(features.astype(np.float64)) + offset)])
    presence, rows = FakeDetector().process(features).presence[:, 0].copy(), []
    step = 96 // detector.patch_hops
    for hop in range(96, len(features) + 1, detector.patch_hops):
        patch = mel[hop : hop + 96].astype(np.float32)
        rows.append(sessions[0].run(None, {"patches": patch[None]})[0][0])
        window = np.stack(rows[::-1][::step][:10][::-1])[None]
        answer = sessions[1].run(["per_second"], {"embeddings": window})[0][0, -1]
        presence[hop + detector.delay_hops - 1 :] = answer
    return presence


def test_presence_is_the_heads_and_the_rest_the_compact_detectors(files, features):
    detector = VggishDetector(FakeDetector(), *files)
    found, compact = detector.process(features), FakeDetector().process(features)
    for name in ("embedding", "key", "ballistics"):
        np.testing.assert_array_equal(getattr(found, name), getattr(compact, name))
    assert found.presence.shape == (len(features), 1)
    expected = expected_presence(files, features, detector)
    # float32 log and exp on one side, float64 on the other, may move a byte by one step.
    np.testing.assert_allclose(found.presence[:, 0], expected, atol=0.03)
    assert np.ptp(expected[96:]) > 0.1


def test_any_chunks_equal_one_call(files, features):
    whole = VggishDetector(FakeDetector(), *files).process(features).presence.copy()
    for sizes in ((2, 3), (50,), (97, 2, 200)):
        detector, parts, at = VggishDetector(FakeDetector(), *files), [], 0
        while at < len(features):
            size = sizes[len(parts) % len(sizes)]
            parts.append(detector.process(features[at : at + size]).presence.copy())
            at += size
        np.testing.assert_array_equal(np.concatenate(parts), whole)
        detector.reset()
        np.testing.assert_array_equal(detector.process(features).presence, whole)


def test_hop_by_hop_equals_one_call_where_the_thread_keeps_up(files, features):
    whole = VggishDetector(FakeDetector(), *files).process(features).presence.copy()
    detector, parts = VggishDetector(FakeDetector(), *files), []
    for hop in range(len(features)):
        # A call with one hop never waits; here the test does.
        if detector._pending is not None:
            detector._pending.exception(timeout=20)
        parts.append(detector.process(features[hop : hop + 1]).presence.copy())
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert detector.late_patches == detector.skipped_patches == 0


def test_a_fork_goes_on_from_the_same_state(files, features):
    detector = VggishDetector(FakeDetector(), *files)
    detector.process(features[:150])
    other = detector.fork()
    first = detector.process(features[150:]).presence.copy()
    np.testing.assert_array_equal(other.process(features[150:]).presence, first)


def test_a_slow_thread_never_blocks_the_stream_and_ends_in_an_error(files, features):
    detector = VggishDetector(FakeDetector(), *files)
    release = threading.Event()
    detector._hear = lambda patch, past: release.wait(20)
    with pytest.raises(ModelError, match="does not keep up"):
        for hop in range(len(features)):
            detector.process(features[hop : hop + 1])
    # The first patch is handed over at hop 96 and due 12 later; then 200 hops of patience.
    assert hop in range(290, 300)
    assert detector.late_patches == 1
    assert detector.skipped_patches == 8
    release.set()


def test_the_gate_fails_open_when_vggish_raises(files):
    detector = VggishDetector(FakeDetector(), *files)

    def broken(patch, past):
        raise RuntimeError("broken")

    detector._hear = broken
    gate = GateProcessor(sample_rate=16000, detector=detector)
    noise = np.random.default_rng(0).standard_normal((32000, 1)).astype(np.float32) * 0.1
    gate.process(noise)
    assert gate.counters.detector_failures >= 1


@pytest.mark.parametrize("options", [{"patch_hops": 25}, {"delay_hops": 30}, {"patch_hops": 0}])
def test_settings_are_checked(files, options):
    with pytest.raises(ConfigError, match="_hops="):
        VggishDetector(FakeDetector(), *files, **options)


def test_missing_weights_say_where_they_come_from(tmp_path):
    with pytest.raises(ModelError, match=r"vggish-10086976\.pth.*gate-train import-vggish"):
        vggish_worker.find_vggish(tmp_path / "none.onnx")


def test_another_file_is_refused(files):
    with pytest.raises(ModelError, match="format="):
        VggishDetector(FakeDetector(), files[1], files[1])
