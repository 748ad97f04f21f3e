"""Fitting the ballistics beats the best fixed pair where there is something to learn."""

import numpy as np
import pytest
import torch

from benchmarks.quality.ballistics import interval
from gate.decision import EvidenceRule
from training.voice.ballistics import (
    Answers,
    BallisticsSettings,
    best_fixed,
    collect,
    fit_ballistics,
    fixed_losses,
    learned_losses,
)
from training.voice.gate_loss import GateLossSettings, UserSettings, key_level_db
from training.voice.network import VoiceNet, VoiceSettings

SETTINGS = VoiceSettings(gru_sizes=(8,), embedding_size=4)


def two_kinds_of_items(count, seed):
    """In one kind the voice dies away after the gate has shut; in the other noise begins at once.

    The first number of the embedding tells the kinds apart; the rest is noise.
    """
    generator = torch.Generator().manual_seed(seed)
    lingers = (torch.rand(count, 1, generator=generator) < 0.5).expand(-1, 250)
    opened = torch.tensor(([False] * 40 + [True] * 40) * 3 + [False] * 10).expand(count, -1)
    voice = opened.float()
    tail = torch.nn.functional.pad(voice, (12, 0))[:, :250]  # 0.12 s more
    voice = torch.where(lingers, torch.maximum(voice, tail), voice)
    embedding = torch.randn(count, 250, 4, generator=generator)
    embedding[..., 0] = 2.0 * lingers - 1.0
    noise = torch.where(lingers, 1e-4, 1.0) * (1.0 - voice)
    return Answers(
        embedding=embedding.half(),
        opened=opened,
        s_level_db=torch.full((count, 250), -20.0),
        s_fine=voice.repeat_interleave(4, dim=1),
        n_fine=noise.repeat_interleave(4, dim=1),
        user=UserSettings(torch.full((count,), -60.0), torch.full((count,), -40.0)),
    )


def test_fit_learns_what_no_fixed_pair_can():
    torch.manual_seed(0)
    net = VoiceNet(SETTINGS)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    settings = BallisticsSettings(
        attack_s=(0.002, 0.05),
        release_s=(0.002, 0.3),
        grid_s=((0.002,), (0.005, 0.02, 0.05, 0.1)),
        steps=80,
        batch_size=16,
        learning_rate=0.05,
    )
    train, dev = two_kinds_of_items(32, 0), two_kinds_of_items(16, 1)
    found = fit_ballistics(net, train, dev, settings)
    assert found["learned"] < found["fixed"] - 0.01
    assert float(learned_losses(net, dev, settings.gate).mean()) == pytest.approx(found["learned"])
    with torch.no_grad():
        release = net.read(torch.tensor([[-1.0, 0, 0, 0], [1.0, 0, 0, 0]]))["ballistics"][:, 2]
    assert release[0] < 0.03 < 0.08 < release[1]
    # Nothing but the three rows has moved.
    for name, value in net.state_dict().items():
        rows = slice(0, -3) if name.startswith("heads.") else slice(None)
        assert torch.equal(value[rows], before[name][rows]), name
    assert net.settings.release_s == settings.release_s


def test_best_fixed_is_the_best_of_the_grid():
    answers, settings = two_kinds_of_items(16, 2), GateLossSettings()
    grid = ((0.0005, 0.02), (0.005, 0.05, 0.1))
    times, loss = best_fixed(answers, settings, grid)
    others = [float(fixed_losses(answers, a, r, settings).mean()) for a in grid[0] for r in grid[1]]
    assert loss == pytest.approx(min(others))
    assert float(fixed_losses(answers, *times, settings).mean()) == pytest.approx(loss)


def test_collect_keeps_items_with_voice_only():
    torch.manual_seed(0)
    net = VoiceNet(SETTINGS)
    s_fine = torch.rand(6, 80)
    s_fine[2] = 0.0
    power = torch.rand(6, 20, 64)
    batch = {
        "features": torch.randn(6, 20, 64),
        "band_power": power,
        "s_band_power": 0.5 * power,
        "s_fine": s_fine,
        "n_fine": torch.rand(6, 80),
    }
    answers = collect(net, [batch, batch], GateLossSettings(rule=EvidenceRule(0.0)))
    assert len(answers) == 10
    assert torch.equal(answers.s_fine[:5], s_fine[[0, 1, 3, 4, 5]])
    with torch.no_grad():
        outputs = net(batch["features"][:1])
    # Present always, so what is loud enough opens.
    level = key_level_db(outputs["key_logits"].sigmoid(), power[:1])
    assert torch.equal(answers.opened[:1], level > answers.user.threshold_db[0])
    torch.testing.assert_close(
        net.read(answers.embedding[:1].float())["ballistics"], outputs["ballistics"], rtol=0.02,
        atol=0,
    )  # fmt: skip
    picked = answers.pick(torch.tensor([3, 1]))
    assert torch.equal(picked.user.threshold_db, answers.user.threshold_db[[3, 1]])


def test_interval_draws_clusters_whole():
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(40), 5)
    values = np.repeat(rng.standard_normal(40), 5)
    mean, low, high = interval(values, clusters)
    assert mean == pytest.approx(values.mean())
    # Five copies of one value are one observation: the interval is that of 40 values.
    half = 1.96 * values.std() / np.sqrt(40)
    assert high - low == pytest.approx(2 * half, rel=0.1)
    assert interval(np.full(200, 0.3), clusters) == pytest.approx((0.3, 0.3, 0.3))
