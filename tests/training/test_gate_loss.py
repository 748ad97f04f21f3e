"""The batched gate is the shipped gate, its gradients are right, and they lead somewhere."""

import dataclasses

import numpy as np
import pytest
import torch

from gate.decision import ClassicRule, EvidenceRule, open_hops, present_hops
from gate.envelope import Envelope
from gate.signal_metrics import LossWeights
from gate.signal_metrics import gated_signal_loss as reference_loss
from gate.units import db_to_gain
from training.voice.gate_loss import (
    GateLossSettings,
    UserSettings,
    decided,
    draw_user_settings,
    gate_gain,
    gate_loss,
    gated_signal_loss,
    key_level_db,
    linear_recurrence,
    split_by_threshold,
)

RATE = 16000
HOP, FRAME = 160, 40
SETTINGS = GateLossSettings()


def random_readings(count, n_hops, seed=0, dtype=torch.float32):
    """Presence and key level that come and go, ballistics that wander, a user's settings."""
    rng = np.random.default_rng(seed)
    wave = np.cumsum(rng.standard_normal((count, n_hops)), axis=1)
    wave = wave - wave.mean(axis=1, keepdims=True)
    presence = 1 / (1 + np.exp(-wave))
    level = -40 + 3 * wave + rng.standard_normal((count, n_hops))
    ballistics = np.exp(rng.standard_normal((count, n_hops, 3)) * 0.5) * [0.006, 0.06, 0.05]
    user = UserSettings(
        torch.from_numpy(rng.uniform(-45, -38, count)),
        torch.from_numpy(rng.uniform(-60, -12, count)),
    )
    tensors = (torch.from_numpy(a).to(dtype) for a in (presence, level, ballistics))
    return *tensors, user


def shipped_gain(opened, ballistics, range_db):
    """Mean gain of each frame from `gate.envelope` at 16 kHz, a decision acting one hop late."""
    shut = db_to_gain(range_db)
    envelope = Envelope(RATE, HOP, shut)
    curve = np.full((len(opened) + 1) * HOP, shut, dtype=np.float32)
    for hop, (attack, _, release) in enumerate(ballistics):
        part = curve[(hop + 1) * HOP : (hop + 2) * HOP]
        if opened[hop]:
            envelope.process(part, 1.0, attack)
        else:
            envelope.process(part, shut, release)
    return curve[: len(opened) * HOP].reshape(-1, FRAME).mean(axis=1)


def test_the_gain_is_the_shipped_gain():
    presence, level, ballistics, user = random_readings(8, 300)
    opened = decided(presence, level, user.threshold_db, SETTINGS)
    gain = gate_gain(opened, ballistics, user.range_db, SETTINGS).numpy()
    for i in range(8):
        expected = shipped_gain(
            opened[i].numpy(), ballistics[i].double().numpy(), float(user.range_db[i])
        )
        # Sums over samples against integrals, 1/80 of a frame's step.
        assert np.abs(gain[i] - expected).max() < 0.03
        assert np.abs(gain[i] - expected).mean() < 0.002
        assert np.ptp(expected) > 0.5


@pytest.mark.parametrize("lookahead_ms", [0.0, 30.0, None])
def test_decisions_are_those_of_the_gate(lookahead_ms):
    presence, level, _, user = random_readings(6, 200)
    settings = GateLossSettings(rule=EvidenceRule(0.4, 1.0, 2.0), lookahead_ms=lookahead_ms)
    opened = decided(presence, level, user.threshold_db, settings)
    for i in range(6):
        present = present_hops(presence[i].double().numpy(), settings.rule, settings.lag)
        expected = open_hops(
            level[i].double().numpy(), present, float(user.threshold_db[i]), 6.0, settings.lag
        )
        np.testing.assert_array_equal(opened[i].numpy(), expected)
    classic = dataclasses.replace(settings, rule=ClassicRule(0.6, 0.2), hold_s=0.05)
    longer = dataclasses.replace(classic, hold_s=0.5)
    shares = [
        float(decided(presence, level, user.threshold_db, s).float().mean())
        for s in (classic, longer)
    ]
    assert 0.1 < shares[0] < shares[1]


def test_recurrence_and_its_gradient():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 3, 40, generator=generator, dtype=torch.float64)
    start = torch.rand(3, generator=generator, dtype=torch.float64)
    gain, expected = start, []
    for i in range(40):
        gain = a[:, i] * gain + b[:, i]
        expected.append(gain)
    kept = b.clone()
    torch.testing.assert_close(linear_recurrence(a, b, start), torch.stack(expected, dim=1))
    torch.testing.assert_close(b, kept)
    inputs = [t.requires_grad_() for t in (a, b, start)]
    assert torch.autograd.gradcheck(linear_recurrence, inputs)
    one = [t[:1].detach().clone().requires_grad_() for t in (a, b, start)]
    assert torch.autograd.gradcheck(linear_recurrence, one)


def test_gradients_equal_finite_differences():
    presence, level, ballistics, user = random_readings(2, 40, seed=4, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    s, n = torch.rand(2, 2, 160, generator=generator, dtype=torch.float64)
    opened = decided(presence, level, user.threshold_db)

    def loss(ballistics):
        return gate_loss(opened, ballistics, s, n, user).loss

    ballistics.requires_grad_()
    assert torch.autograd.gradcheck(loss, ballistics, eps=1e-7, atol=1e-4, rtol=1e-3)
    gradient = torch.autograd.grad(loss(ballistics).sum(), ballistics)[0]
    moves = gradient.abs().sum(dim=(0, 1)) > 0
    assert moves.tolist() == [True, False, True]  # attack and release; a hold has no part in it


def test_decisions_act_one_hop_late_and_earlier_with_lookahead():
    opened = torch.zeros(1, 20, dtype=torch.bool)
    opened[0, 5] = True
    ballistics = torch.tensor([0.0005, 0.001, 0.001]).expand(1, 20, 3)
    range_db = torch.tensor([-80.0])
    gain = gate_gain(opened, ballistics, range_db)[0]
    assert gain[:24].max() < 0.001 and gain[25] > 0.9
    # 10 ms: a hop's decision is in force while the hop itself goes out; 20 ms read one hop back
    # is the same; half a hop more opens half a hop earlier.
    for lookahead_ms, earlier in ((10.0, 4), (20.0, 4), (15.0, 6), (None, 4)):
        settings = dataclasses.replace(SETTINGS, lookahead_ms=lookahead_ms)
        early = gate_gain(opened, ballistics, range_db, settings)[0]
        torch.testing.assert_close(early[: 80 - earlier], gain[earlier:])


def test_loss_equals_the_metric_that_judges_the_gate():
    rng = np.random.default_rng(0)
    gain, s, n = rng.random((3, 4, 300))
    n[3] = 0.0
    weights = LossWeights(lost=2.0, passed=0.7, movement=0.03, knee=50.0)
    settings = dataclasses.replace(SETTINGS, weights=weights)
    ours = gated_signal_loss(*(torch.from_numpy(a) for a in (gain, s, n)), settings).loss
    for i in range(4):
        expected = reference_loss(gain[i], s[i], n[i], weights)
        assert float(ours[i]) == pytest.approx(expected, rel=1e-9)


def words(count=1):
    """Three words of 0.6 s, 2 s apart, in noise 20 dB below, and where the gate is open."""
    opened = torch.from_numpy(np.tile(np.repeat([False, True], [200, 60]), 3))
    opened = opened.expand(count, -1)
    s = opened.float().repeat_interleave(4, dim=1)
    return {
        "opened": opened,
        "s_fine": s,
        "n_fine": torch.full_like(s, 0.01),
        "user": UserSettings(torch.full((count,), -60.0), torch.full((count,), -60.0)),
    }


def test_oracle_is_better_than_always_open_is_better_than_always_shut():
    signal = words()
    s, n = signal["s_fine"], signal["n_fine"]
    opened, shut = torch.ones_like(s), torch.full_like(s, 0.001)
    oracle = gated_signal_loss(s.clamp_min(0.001), s, n)
    assert float(oracle.lost) < 1e-6
    assert float(oracle.loss) < 0.3
    # Always open passes all noise; always shut loses all speech, twice as bad.
    assert float(gated_signal_loss(opened, s, n).loss) == pytest.approx(1.0)
    assert float(gated_signal_loss(shut, s, n).loss) == pytest.approx(2.0, abs=0.01)
    # Where there is nothing else, an open gate is right; where nothing is wanted, a shut one.
    nothing = torch.zeros_like(s)
    assert float(gated_signal_loss(opened, s, nothing).loss) == 0.0
    assert float(gated_signal_loss(shut, s, nothing).loss) > 1.99
    assert float(gated_signal_loss(shut, nothing, n).loss) < 0.01
    assert float(gated_signal_loss(opened, nothing, n).loss) == pytest.approx(1.0)


def test_a_slow_attack_is_unlearned():
    signal, times = words(count=4), torch.tensor([0.03, 0.02, 0.3]).log().requires_grad_()
    optimizer = torch.optim.Adam([times], lr=0.05)
    for _ in range(120):
        ballistics = times.exp().expand(*signal["opened"].shape, 3)
        loss = gate_loss(**signal, ballistics=ballistics).loss.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            times.clamp_(torch.tensor([5e-4, 1e-3, 5e-3]).log(), torch.zeros(3))
    attack, _, release = times.exp().detach()
    assert attack < 0.006
    assert release < 0.05


def test_key_level_is_the_weighted_power():
    key = torch.tensor([[1.0, 0.5, 0.0]])
    power = torch.tensor([[0.1, 0.2, 5.0]])
    assert float(key_level_db(key, power)) == pytest.approx(10 * np.log10(0.2), abs=1e-5)
    assert float(key_level_db(key, 0 * power)) == pytest.approx(-140.0, abs=1e-3)


def test_voice_below_the_threshold_is_not_wanted():
    level = torch.full((1, 100), -30.0)
    level[:, 50:] = -50.0
    s, n = torch.ones(1, 400), torch.full((1, 400), 0.25)
    wanted, rest = split_by_threshold(s, n, level, torch.tensor([-40.0]))
    # The loud half and 0.1 s of the soft one beside it.
    assert torch.equal(wanted[0].nonzero().squeeze(), torch.arange(4 * 60))
    torch.testing.assert_close(wanted + rest, s + n)
    assert torch.equal(split_by_threshold(s, n, level, torch.tensor([-60.0]))[0], s)
    user = UserSettings(torch.tensor([-40.0]), torch.tensor([-60.0]))
    signal = dict(
        ballistics=torch.tensor([0.001, 0.001, 0.005]).expand(1, 100, 3),
        s_fine=s,
        n_fine=n,
        user=user,
        s_level_db=level,
    )
    presence = torch.ones(1, 100)
    obeys = gate_loss(decided(presence, level, user.threshold_db), **signal)
    ignores = gate_loss(torch.ones(1, 100, dtype=torch.bool), **signal)
    assert float(obeys.loss) < float(ignores.loss) - 0.1


def test_user_settings_follow_the_wanted_level():
    generator = torch.Generator().manual_seed(0)
    s = torch.rand(200, 30, 64, generator=generator) * 1e-3
    mixture = s + 1e-4

    def draw(scale):
        return draw_user_settings(scale * s, scale * mixture, torch.Generator().manual_seed(7))

    drawn, louder = draw(1.0), draw(10.0)
    torch.testing.assert_close(louder.range_db, drawn.range_db)
    inside = (drawn.threshold_db > -89) & (louder.threshold_db < -11)
    torch.testing.assert_close(louder.threshold_db[inside], drawn.threshold_db[inside] + 10.0)
    level = 10 * torch.log10(s.sum(-1).amax(1)) - 10
    below = level - drawn.threshold_db
    assert 0.2 < float((below < 15).float().mean()) < 0.45
    assert drawn.range_db.min() >= -80 and drawn.range_db.max() <= -6
