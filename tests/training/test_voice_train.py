"""Training loop, calibration and the command of the voice detector."""

import dataclasses

import numpy as np
import pytest
import torch

from gate.decision import ClassicRule, EvidenceRule
from gate.decision import evidence as gate_evidence
from gate.errors import ConfigError
from realtime.models import find_model
from realtime.onnx_detector import OnnxDetector
from training import cli
from training.voice.calibrate import Limits, choose_rule, fit_slope_offset, fold_in, reliability
from training.voice.checkpoints import average_checkpoints, load_average
from training.voice.evaluate import GateChoice, Heard, ask, gains, judge, sung_recordings
from training.voice.imported import network_from_onnx
from training.voice.losses import (
    decision_loss,
    evidence,
    key_loss,
    losses,
    presence_loss,
    soft_speech,
)
from training.voice.network import VoiceNet, VoiceSettings
from training.voice.pool import ItemPool
from training.voice.smoke import write_corpus
from training.voice.train import Trainer, TrainSettings

SMALL = VoiceSettings(gru_sizes=(8,), embedding_size=16, n_speakers=2, n_events=2)


def made_item(rng, speaks):
    """Speech is tilted noise that comes and goes; the rest is flat."""
    label = np.zeros(100)
    if speaks:
        label[20:60] = 1
    s = label[:, None] * np.linspace(2, 0.1, 64) ** 2 * rng.uniform(0.5, 1, (100, 64))
    n = 0.01 * rng.uniform(0.5, 1, (100, 64))
    classes = np.zeros((100, 5))
    classes[:, 0], classes[:, 4] = label, 1
    return {
        "features": np.log(np.sqrt(s + n)), "classes": classes, "classes_weight": classes * 0 + 1,
        "band_power": s + n, "s_band_power": s, "n_band_power": n,
        "s_fine": np.repeat(s.sum(axis=1), 4), "n_fine": np.repeat(n.sum(axis=1), 4),
        "speaker": 0 if speaks else -1, "event": 1,
    }  # fmt: skip


@pytest.fixture
def pool(tmp_path):
    rng, pool = np.random.default_rng(0), ItemPool(tmp_path / "pool", 100, 24)
    for k in range(24):
        pool.put(made_item(rng, k % 3 > 0))
    return pool


def test_a_teacher_softens_speech_alone():
    """Not items without speech, not what lingers after a word; its share is what it counts."""
    classes, teacher = torch.zeros(2, 100, 5), torch.full((2, 100), 0.25)
    classes[0, 20:40, 0] = 1.0
    soft = soft_speech(classes, teacher, 0.5)
    torch.testing.assert_close(soft[1], torch.zeros(100))
    torch.testing.assert_close(soft[0, 20:40], torch.full((20,), 0.625))
    torch.testing.assert_close(soft[0, 40:60], torch.zeros(20))
    torch.testing.assert_close(soft[0, :20], torch.full((20,), 0.125))
    torch.testing.assert_close(soft[0, 60:], torch.full((40,), 0.125))
    torch.testing.assert_close(soft_speech(classes, teacher, 0.0), classes[..., 0])


def test_a_pool_with_a_teacher_trains_on_what_it_says(tmp_path):
    rng, pool = np.random.default_rng(0), ItemPool(tmp_path / "pool", 100, 4, taught=True)
    for said in (0.0, 1.0, 0.5, 0.25):
        pool.put(made_item(rng, True) | {"teacher": np.full(100, said)})
    trainer = Trainer(pool, tmp_path / "run", SMALL, TrainSettings(batch_size=4, blur=None))
    slots, batch = trainer.draw()
    np.testing.assert_array_equal(batch["teacher"][:, 0], np.array([0, 1, 0.5, 0.25])[slots])
    found = [
        losses(trainer.net, batch, TrainSettings(teacher_share=share))["presence"].item()
        for share in (0.0, 1.0)
    ]
    del batch["teacher"]
    alone = losses(trainer.net, batch, TrainSettings(teacher_share=1.0))["presence"].item()
    assert found[0] == pytest.approx(alone) and found[1] != pytest.approx(alone, rel=0.01)


def test_training_learns_resumes_and_loads(pool, tmp_path):
    torch.manual_seed(0)
    settings = TrainSettings(
        minutes=100.0, batch_size=8, learning_rate=0.05, warmup_share=1e-9, blur=None
    )
    trainer = Trainer(pool, tmp_path, SMALL, settings)
    trainer.net.fit_input(trainer.draw()[1]["features"])
    before = trainer.train_step()
    for _ in range(24):
        after = trainer.train_step()
    assert after["presence"] < 0.6 * before["presence"]
    assert after["key"] < before["key"]
    trainer.save()
    other = Trainer(pool, tmp_path, SMALL, settings)
    assert other.resume() and other.step == 25
    for ours, theirs in zip(trainer.net.parameters(), other.net.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    features = torch.randn(1, 30, 64)
    net = load_average(trainer.checkpoint_path)
    with torch.no_grad():
        expected = trainer.average.eval()(features)["presence_logits"]
        assert torch.equal(net(features)["presence_logits"], expected)


def test_the_rate_rises_falls_and_follows_the_clock(pool, tmp_path):
    trainer = Trainer(pool, tmp_path, SMALL, TrainSettings(learning_rate=1.0, warmup_share=0.1))
    rates = [trainer._rate(done) for done in (0.0, 0.1, 0.55, 1.0)]
    assert rates == pytest.approx([0.05, 1.0, 0.505, 0.01])


def test_evidence_is_that_of_the_gate():
    generator = torch.Generator().manual_seed(2)
    logits = 4.0 * torch.randn(3, 300, generator=generator)
    rule = EvidenceRule(threshold=0.5, open_cost=2.0, shut_cost=3.5)
    found = evidence(logits, rule.open_cost, rule.shut_cost)
    expected = gate_evidence(torch.sigmoid(logits.double()).numpy(), rule)
    # The gate rounds logits to 2^-16 nats.
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-3)


def test_decision_loss_wants_early_sure_and_few():
    wanted = torch.zeros(1, 200)
    wanted[:, 50:120] = 1.0
    weight = torch.ones(1, 200)
    good = 6.0 * (2.0 * wanted - 1.0)
    late, chatter = good.clone(), good.clone()
    late[:, 50:60] = -6.0
    chatter[:, 10:200:20] *= -1.0
    decided, openings = decision_loss(good, wanted, weight, (2.0, 3.0))
    assert decision_loss(late, wanted, weight, (2.0, 3.0))[0] > 5 * decided
    assert decision_loss(chatter, wanted, weight, (2.0, 3.0))[1] > 3 * openings
    assert float(openings) == pytest.approx(1 / 199, rel=0.05)


def test_confident_false_alarms_cost_more_in_items_without_speech():
    settings = TrainSettings(unwanted_weight=2.0, confident_weight=2.0)
    logits, weight = torch.full((2, 10, 5), 3.0), torch.ones(2, 10, 5)
    classes = torch.zeros(2, 10, 5)
    classes[1, :5, 0] = 1.0
    logits[1, :, 0] = 0.0
    loss = presence_loss(logits, classes, weight, settings)[0][0]
    alone, mixed = np.log1p(np.exp(3.0)), np.log(2.0)
    extra = 2.0 + 2.0 / (1.0 + np.exp(-3.0))
    assert float(loss) == pytest.approx((extra * alone + mixed) / (extra + 1.0), rel=1e-4)


def test_the_true_key_has_the_right_level():
    item = {k: torch.tensor(np.array(v))[None].float() for k, v in
            made_item(np.random.default_rng(2), True).items()}  # fmt: skip
    item["key_hops"] = slice(None)
    share = item["s_band_power"] / (item["s_band_power"] + item["n_band_power"])
    _, level = key_loss(torch.logit(share, eps=1e-6), item)
    _, off = key_loss(torch.full_like(share, -2.0), item)
    assert float(level) < 1e-6 < float(off)


def test_calibration_finds_the_slope_and_folds_it_in():
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 3, 40000)
    labels = rng.random(40000) < 1 / (1 + np.exp(-(0.5 * logits - 1.0)))
    slope, offset = fit_slope_offset(logits, labels)
    # Standard errors are about 0.01 and 0.02.
    assert slope == pytest.approx(0.5, abs=0.04) and offset == pytest.approx(-1.0, abs=0.08)
    assert reliability(slope * logits + offset, labels)[1] < 0.02 < reliability(logits, labels)[1]
    net, features = VoiceNet(SMALL).eval(), torch.randn(1, 20, 64)
    with torch.no_grad():
        before = net(features)["presence_logits"].clone()
        fold_in(net, slope, offset)
        after = net(features)["presence_logits"]
    torch.testing.assert_close(after[..., 0], slope * before[..., 0] + offset)
    torch.testing.assert_close(after[..., 1:], before[..., 1:])


def test_limits_count_only_what_breaks_them():
    row = {
        "open_share": 0.0, "fec": 0.01, "opens_per_segment": 1.0,
        "onset_p50_ms": 10.0, "onset_p90_ms": 50.0,
    }  # fmt: skip
    assert Limits().excess({"clean": row, "noise": row}) == 0.0
    assert Limits().excess({"clean": {**row, "onset_p90_ms": 165.0}}) == pytest.approx(0.5)
    assert Limits().excess({"clean": {**row, "opens_per_segment": 1.8}}) == pytest.approx(0.2)
    assert Limits().excess({"clean": {**row, "fec": 0.03}}) == pytest.approx(0.2)
    assert Limits().excess({"noise": {**row, "open_share": 1.0}}) == 1.0


def heard(name, presence):
    n = len(presence)
    return Heard(
        name, "clean", name, n / 100, np.array([[0.2, 0.6]]), np.zeros((n, 64), np.float32),
        np.full((n, 64), 1e-3, np.float32), np.zeros((n, 0), np.float32),
        presence=np.repeat(presence[:, None], 5, axis=1).astype(np.float32),
        key=np.ones((n, 64), np.float32),
        ballistics=np.tile(np.array([0.001, 0.001, 0.005], np.float32), (n, 1)),
    )  # fmt: skip


def test_the_batched_gate_follows_the_presence_whatever_runs_beside_it():
    presence = np.zeros(100)
    presence[20:60] = 0.9
    one, longer = heard("one", presence), heard("longer", np.concatenate([presence, np.zeros(80)]))
    choice = GateChoice()
    alone = gains([one], choice)[0]
    beside = gains([longer, one], choice)[1]
    np.testing.assert_allclose(alone, beside, atol=1e-6)
    table = judge([one], choice).table()["clean"]
    # The decision acts one hop after the hop that it is about.
    assert table["onset_p50_ms"] == pytest.approx(10.0, abs=3.0)
    assert table["fec"] < 0.05 and table["nds"] == 0.0 and table["opens_per_minute"] == 60.0
    held = GateChoice(ClassicRule(0.5, 0.2), fixed=(None, 0.2, None))
    assert judge([one], held).table()["clean"]["over"] > table["over"] + 0.2
    # Read back from the end it opens with the first hop and shuts with the last.
    whole = judge([one], GateChoice(lookahead_ms=None)).table()["clean"]
    assert whole["fec"] < 0.02 and whole["over"] < 0.04  # 17 ms of release


def test_asking_side_by_side_is_asking_one_by_one():
    net, rng = VoiceNet(SMALL).eval(), np.random.default_rng(4)
    recordings = [heard(str(n), np.zeros(n)) for n in (40, 70)]
    for entry in recordings:
        entry.features = rng.normal(-3, 1, entry.features.shape).astype(np.float32)
    together = [(h.presence.copy(), h.key.copy()) for h in ask(net, recordings)]
    for (presence, key), entry in zip(together, ask(net, recordings, together=1), strict=True):
        np.testing.assert_allclose(presence, entry.presence, atol=1e-5)
        np.testing.assert_allclose(key, entry.key, atol=1e-5)


def test_the_mean_of_checkpoints_leaves_training_heads_out(tmp_path):
    nets = [VoiceNet(VoiceSettings(gru_sizes=(8,), n_speakers=2 + k)) for k in (0, 1)]
    paths = [tmp_path / f"{k}.pt" for k in (0, 1)]
    for path, net in zip(paths, nets, strict=True):
        torch.save({"network": net.settings.to_dict(), "average": net.state_dict()}, path)
    average_checkpoints(paths, tmp_path / "run" / "checkpoint.pt")
    mean = load_average(tmp_path / "run" / "checkpoint.pt")
    assert mean.speaker is None
    halfway = 0.5 * (nets[0].heads.weight + nets[1].heads.weight)
    torch.testing.assert_close(mean.heads.weight, halfway)


def test_training_may_begin_with_a_detector_that_had_no_ear(tmp_path):
    old = find_model("voice")
    settings = dataclasses.replace(network_from_onnx(old).settings, n_ears=1, n_speakers=3)
    trainer = Trainer(ItemPool(tmp_path / "pool", 100, 4, 1), tmp_path / "run", settings)
    trainer.start_from(old)
    features = torch.from_numpy(np.random.default_rng(0).normal(-4, 1, (1, 50, 64))).float()
    with torch.no_grad():
        begun = trainer.net.eval()(features)["presence_logits"].sigmoid()[0]
        heard = trainer.net(features, torch.ones(1, 50, 1))["presence_logits"].sigmoid()[0]
    detector = OnnxDetector(old)
    silent = (np.zeros((50, len(detector.info.ears)), np.float32),) if detector.info.ears else ()
    expected = detector.process(features[0].numpy(), *silent).presence
    np.testing.assert_allclose(begun, expected, atol=1e-4)
    assert 0 < float((heard - begun).abs().max()) < 0.5


def test_only_networks_of_one_shape_have_a_mean(tmp_path):
    for size in (8, 9):
        net = VoiceNet(VoiceSettings(gru_sizes=(size,)))
        torch.save(
            {"network": net.settings.to_dict(), "average": net.state_dict()},
            tmp_path / f"{size}.pt",
        )
    with pytest.raises(ConfigError, match=r"average=.*9\.pt must be a network of the shape"):
        average_checkpoints([tmp_path / "8.pt", tmp_path / "9.pt"], tmp_path / "mean.pt")


def test_a_mean_of_checkpoints_is_not_trained_on(tmp_path):
    net = VoiceNet(SMALL)
    torch.save({"network": net.settings.to_dict(), "average": net.state_dict()},
               tmp_path / "checkpoint.pt")  # fmt: skip
    trainer = Trainer(ItemPool(tmp_path / "pool", 100, 4), tmp_path, SMALL)
    with pytest.raises(ConfigError, match="mean of checkpoints"):
        trainer.resume()


def test_the_rule_that_opens_in_time_and_seldom_is_chosen():
    rng = np.random.default_rng(0)
    recordings = []
    for k in range(12):
        presence = np.full(100, 0.1)
        presence[20:60] = 0.85
        flicker = rng.choice(np.r_[0:20, 62:100], 12, replace=False)
        presence[flicker] = 0.7  # one hop alone: a patient gate does not mind
        recordings.append(heard(str(k), presence))
    grid = {"thresholds": (0.5,), "open_costs": (0.5, 1.25), "shut_costs": (2.0,)}
    found = choose_rule(recordings, grid, fixed=(0.001, None, 0.005))
    assert [entry[1].rule.open_cost for entry in found] == [1.25, 0.5]
    assert found[0][0] > found[1][0]


def test_sung_notes_carry_their_own_segments(tmp_path):
    write_corpus(tmp_path, 0)
    recordings = sung_recordings(tmp_path)
    assert recordings and {heard.group for heard in recordings} == {"sung"}
    for heard in recordings:
        assert len(heard.segments) and heard.segments[0, 0] >= 0.4
        assert heard.segments[-1, 1] <= heard.duration_s - 0.4


def test_smoke_runs_every_stage(capsys):
    assert cli.main(["voice", "--smoke"]) == 0
    printed = capsys.readouterr().out
    assert "stream against sequence" in printed and "every stage ran" in printed


@pytest.mark.parametrize(
    "argv, says",
    [
        (["voice"], "action=None must be"),
        (["voice", "train", "--minutes", "0"], "minutes=0.0 must be > 0"),
        (["voice", "average", "--of", "nowhere.pt"], "of=['nowhere.pt'] must name checkpoints"),
        (["voice", "calibrate", "--rule", "0.5", "70", "3"], "open_cost=70 must be from 0 to 64"),
        (
            ["voice", "export", "--run", "nowhere", "--overwrite"],
            "run=nowhere must hold calibrated.pt",
        ),
    ],
)
def test_bad_options_are_named(argv, says, capsys):
    assert cli.main(argv) == 2
    assert says in capsys.readouterr().err
