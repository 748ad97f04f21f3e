"""The second ear: Silero VAD from its package, in the stream, over files and side by side."""

import itertools
import json

import numpy as np
import pytest
import soundfile
from fakes import speech_and_noise
from silero_truth import package_says
from tiny_model import EARS, METADATA, tiny_model

from gate.errors import ModelError
from gate.settings import GateSettings
from realtime import open_gate
from realtime.bank import GateBank
from realtime.ears import EarSpec, SileroEar, ear_specs, find_ear_file, open_ears
from realtime.engine import open_detector
from realtime.models import sample_path
from realtime.onnx_bytes import read_weights
from realtime.onnx_detector import OnnxDetector

SPEC = EarSpec("silero")


@pytest.fixture(scope="module")
def talk():
    """Six seconds of the sample talk at 16 kHz, with keyboard and speech."""
    from gate.frontend import Frontend

    audio, rate = soundfile.read(sample_path(), dtype="float32", stop=6 * 48000)
    return Frontend(rate).process(audio).samples


def test_it_says_what_the_package_says(talk):
    want = package_says(talk.ravel(), SPEC)
    got = SileroEar(SPEC).process_many(talk)
    # Two units in the last place of a float32 probability near 1 are 1e-3 of its logit.
    np.testing.assert_allclose(got, want, atol=3e-4)
    assert want.min() < -1.0
    assert want.max() > 1.5
    assert (got[:3] == 0.0).all()
    assert got[3] != 0.0


def test_stream_equals_file_in_any_pieces(talk):
    talk = talk[:300]
    ear = SileroEar(SPEC)
    want = [ear.process(hop) for hop in talk]
    ear.reset()
    assert [ear.process(hop) for hop in talk] == want
    for cuts in ([0, 300], [0, 1, 2, 3, 4, 7, 100, 101, 300]):
        ear.reset()
        got = [ear.process_many(talk[a:b]) for a, b in itertools.pairwise(cuts)]
        np.testing.assert_allclose(np.concatenate(got), want, atol=1e-5)
    ear.reset()
    mixed = [*ear.process_many(talk[:101]), *(ear.process(hop) for hop in talk[101:200]),
             *ear.process_many(talk[200:])]  # fmt: skip
    np.testing.assert_allclose(mixed, want, atol=1e-5)


def test_a_fork_goes_its_own_way(talk):
    ear = SileroEar(SPEC)
    ear.process_many(talk[:150])
    other = ear.fork()
    silence = np.zeros(160, np.float32)
    apart = [other.process(silence) for _ in range(100)]
    ahead = ear.process_many(talk[150:250])
    fresh = SileroEar(SPEC)
    np.testing.assert_allclose(fresh.process_many(talk[:250])[150:], ahead, atol=1e-5)
    assert not np.allclose(apart, ahead, atol=0.1)


def test_several_channels_in_one_call(talk):
    talk = talk[100:249]  # ends in the middle of a chunk
    inputs = np.stack([talk, 0.01 * talk[::-1], np.zeros_like(talk)])
    ear = SileroEar(SPEC, channels=3)
    got = np.array([ear.process(inputs[:, t]).copy() for t in range(len(talk))])
    for channel in range(3):
        alone = SileroEar(SPEC).process_many(inputs[channel])
        np.testing.assert_allclose(got[:, channel], alone, atol=1e-4)
    ear.reset(1)
    after = ear.process(inputs[:, 0])
    assert after[1] == 0.0
    assert after[0] != 0.0


def test_it_is_deaf_to_level(talk):
    loud, soft = (SileroEar(SPEC).process_many(talk * np.float32(g)) for g in (1.0, 0.03))
    np.testing.assert_allclose(loud, soft, atol=0.05)


def test_a_file_that_is_missing_or_another_is_named():
    with pytest.raises(ModelError, match="package no-such-package is not installed"):
        find_ear_file("no-such-package", SPEC.file, SPEC.sha256)
    with pytest.raises(ModelError, match=r"data/none\.onnx: cannot be read"):
        find_ear_file(SPEC.package, "data/none.onnx", SPEC.sha256)
    with pytest.raises(ModelError, match="is not the file that the detector was trained with"):
        find_ear_file(SPEC.package, SPEC.file, "0" * 64)
    with pytest.raises(ModelError, match="ear 'whale' of chunks of 512 is unknown"):
        SileroEar(EarSpec("whale"))
    content = find_ear_file(SPEC.package, SPEC.file, SPEC.sha256).read_bytes()
    for damaged in (content[:5000], b"\xff" * 100, b"\x3a\xff\xff\xff\x0f"):
        with pytest.raises(ModelError, match="not a readable ONNX model"):
            read_weights(damaged)


def test_specs_come_from_the_metadata():
    told = [{"name": "silero", "scale": 0.5, "unknown": 1}, {"name": "other"}]
    first, second = ear_specs(json.dumps(told))
    assert (first.scale, first.clip, second.name) == (0.5, 2.25, "other")
    with pytest.raises(TypeError):
        ear_specs('[{"scale": 1}]')


# With a detector that listens.


@pytest.fixture
def listener(tmp_path):
    return tiny_model(tmp_path / "listens.onnx", EARS)


def presences(gate, audio, size=None):
    seen = []
    gate.on_hop = lambda lane, meters: seen.append(meters.presence)
    if size is None:
        gate.process_many(audio)
    else:
        for begin in range(0, len(audio), size):
            gate.process(audio[begin : begin + size])
    return np.array(seen)


@pytest.fixture(scope="module")
def audio():
    return soundfile.read(sample_path(), dtype="float32", stop=4 * 48000, always_2d=True)[0]


def test_the_gate_hears_with_it_in_stream_and_file(listener, audio):
    gate = open_gate(sample_rate=48000, model=listener)
    assert gate.ears_heard == ("silero",)
    assert gate.ears_silent == {}
    streamed = presences(gate, audio, 480)
    filed = presences(open_gate(sample_rate=48000, model=listener), audio)
    np.testing.assert_allclose(filed, streamed, atol=1e-5)
    assert streamed.min() < 0.3
    assert streamed.max() > 0.8
    assert gate.counters.ear_failures == 0


def test_switched_off_it_is_silent_and_the_gate_says_so(listener, audio):
    gate = open_gate(sample_rate=48000, model=listener, ears=[])
    assert gate.ears_heard == ()
    assert gate.ears_silent == {"silero": "switched off"}
    assert set(presences(gate, audio[:9600], 480)) == {0.5}
    assert gate.meters.ears == 0


def test_a_missing_package_is_no_reason_to_stop(tmp_path, audio):
    told = json.dumps([{"name": "silero", "package": "no-such-package"}])
    path = tiny_model(tmp_path / "elsewhere.onnx", EARS | {"ears": told})
    gate = open_gate(sample_rate=48000, model=path)
    assert gate.ears_silent == {"silero": "package no-such-package is not installed"}
    assert set(presences(gate, audio[:9600], 480)) == {0.5}


def test_a_detector_without_ears_is_not_asked(tmp_path):
    detector = open_detector(tiny_model(tmp_path / "deaf.onnx"))
    assert open_ears(detector.info) == ([], {})
    assert open_gate(sample_rate=48000, model=detector).ears_heard == ()


def test_input_and_metadata_must_agree(tmp_path):
    with pytest.raises(ModelError, match=r"inputs \['ears', 'features', 'state'\] must be"):
        OnnxDetector(tiny_model(tmp_path / "a.onnx", METADATA, n_ears=1))
    with pytest.raises(ModelError, match=r"ears of shape .* must be \(T, 1\)"):
        OnnxDetector(tiny_model(tmp_path / "b.onnx", EARS, n_ears=2))
    with pytest.raises(ModelError, match="metadata cannot be read"):
        OnnxDetector(tiny_model(tmp_path / "c.onnx", EARS | {"ears": '[{"scale": 2}]'}, n_ears=1))


def test_a_bank_asks_it_once_for_all(tmp_path, audio):
    model = tiny_model(tmp_path / "bank.onnx", EARS, state=(1, "C", 4))
    settings = GateSettings(presence_threshold=0.6)
    both = np.concatenate([audio, speech_and_noise(48000, 4.0)], axis=1)
    bank = GateBank(settings, sample_rate=48000, channels=2, model=model)
    got = np.concatenate([bank.process(both[k : k + 480]) for k in range(0, len(both), 480)])
    for channel in range(2):
        gate = open_gate(settings, sample_rate=48000, model=model)
        alone = gate.process(both[:, channel : channel + 1])
        np.testing.assert_allclose(got[:, channel], alone[:, 0], atol=1e-4)
    assert [lane.meters.ears for lane in bank.lanes] == [1, 1]
    silent = GateBank(settings, sample_rate=48000, channels=2, model=model, ears=[])
    silent.process(both[:4800])
    assert silent.ears_silent == {"silero": "switched off"}
