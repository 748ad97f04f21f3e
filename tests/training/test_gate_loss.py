"""The differentiable gate is the shipped gate, its gradients are right, and they lead somewhere."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is in the [training] extra")

from gate.control import Control  # noqa: E402
from gate.envelope import Envelope  # noqa: E402
from gate.signal_metrics import LossWeights  # noqa: E402
from gate.signal_metrics import gated_signal_loss as reference_loss  # noqa: E402
from gate.units import db_to_gain  # noqa: E402
from training.voice.gate_loss import (  # noqa: E402
    GateLossSettings,
    UserSettings,
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


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


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


def shipped_gain(presence, level, ballistics, threshold_db, range_db, settings):
    """Mean gain of each frame from `gate.control` and `gate.envelope` at 16 kHz."""
    control = Control(
        threshold_db,
        settings.hysteresis_db,
        settings.presence_threshold,
        settings.presence_hysteresis,
    )
    shut = db_to_gain(range_db)
    envelope = Envelope(RATE, HOP, shut)
    curve = np.full((len(presence) + 1) * HOP, shut, dtype=np.float32)
    for hop, (attack, hold, release) in enumerate(ballistics):
        now = (hop + 1) * HOP
        n_open = control.process(now, now + HOP, level[hop], presence[hop], round(hold * RATE))
        envelope.process(curve[now : now + n_open], 1.0, attack)
        envelope.process(curve[now + n_open : now + HOP], shut, release)
    return curve[: len(presence) * HOP].reshape(-1, FRAME).mean(axis=1)


def test_the_gate_is_the_shipped_gate():
    presence, level, ballistics, user = random_readings(8, 300)
    gain = gate_gain(presence, level, ballistics, user, SETTINGS).numpy()
    for i in range(8):
        item = (a[i].double().numpy() for a in (presence, level, ballistics))
        expected = shipped_gain(*item, float(user[0][i]), float(user[1][i]), SETTINGS)
        difference = np.abs(gain[i] - expected)
        # Sums over samples against integrals, 1/80 of a frame's step, and holds that end
        # inside a frame.
        assert difference.max() < 0.03
        assert difference.mean() < 0.002
        assert np.ptp(expected) > 0.5


def test_the_soft_gate_is_near_the_hard_one():
    presence, level, ballistics, user = random_readings(16, 300)
    hard = gate_gain(presence, level, ballistics, user, SETTINGS)
    soft = dataclasses.replace(SETTINGS, soft=True)
    sharp = dataclasses.replace(soft, level_width_db=0.02, presence_width=0.001)
    gap = (gate_gain(presence, level, ballistics, user, soft) - hard).abs().mean()
    sharp_gap = (gate_gain(presence, level, ballistics, user, sharp) - hard).abs().mean()
    assert gap < 0.02
    assert sharp_gap < 0.5 * gap


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


@pytest.mark.parametrize("soft", [False, True])
def test_gradients_equal_finite_differences(soft):
    presence, level, ballistics, user = random_readings(2, 40, seed=4, dtype=torch.float64)
    ballistics[..., 1] *= 0.4
    generator = torch.Generator().manual_seed(1)
    s, n = torch.rand(2, 2, 160, generator=generator, dtype=torch.float64)
    settings = dataclasses.replace(SETTINGS, soft=soft)

    def loss(presence, level, ballistics):
        return gate_loss(
            presence=presence,
            key_level_db=level,
            ballistics=ballistics,
            s_fine=s,
            n_fine=n,
            user=user,
            settings=settings,
        ).loss

    ballistics.requires_grad_()
    if soft:  # the hard decision has no derivative to compare with
        presence.requires_grad_()
        level.requires_grad_()
    inputs = (presence, level, ballistics)
    assert torch.autograd.gradcheck(loss, inputs, eps=1e-7, atol=1e-4, rtol=1e-3)
    gradient = torch.autograd.grad(loss(*inputs).sum(), ballistics)[0]
    assert (gradient.abs().sum(dim=(0, 1)) > 0).all()


def test_straight_through_pulls_presence_and_level_towards_opening_for_the_wanted():
    presence = torch.full((1, 50), 0.45, requires_grad=True)
    level = torch.full((1, 50), -41.0, requires_grad=True)
    ballistics = torch.tensor([0.005, 0.1, 0.1]).expand(1, 50, 3)
    user = UserSettings(torch.tensor([-40.0]), torch.tensor([-60.0]))
    s = torch.ones(1, 200)
    settings = dataclasses.replace(SETTINGS, weights=LossWeights(movement=0.0))
    for energies, sign in (((s, 0 * s), -1), ((0 * s, s), 1)):
        result = gate_loss(
            presence=presence,
            key_level_db=level,
            ballistics=ballistics,
            s_fine=energies[0],
            n_fine=energies[1],
            user=user,
            settings=settings,
        )
        assert float(result.gain.detach().max()) < 0.0011  # shut: the decision itself stays hard
        for gradient in torch.autograd.grad(result.loss.sum(), (presence, level)):
            assert (sign * gradient[:, :-1] > 0).all()


def test_decisions_act_one_hop_late():
    presence = torch.zeros(1, 20)
    presence[0, 5] = 1.0
    ballistics = torch.tensor([0.0005, 0.001, 0.001]).expand(1, 20, 3)
    user = UserSettings(torch.tensor([-60.0]), torch.tensor([-80.0]))
    level = torch.full((1, 20), -30.0)
    gain = gate_gain(presence, level, ballistics, user)[0]
    assert gain[:24].max() < 0.001 and gain[25] > 0.9
    ahead = dataclasses.replace(SETTINGS, delay_s=-0.01)
    early = gate_gain(presence, level, ballistics, user, ahead)[0]
    torch.testing.assert_close(early[: 80 - 8], gain[8:])


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


def words(missed_hops=0, count=1):
    """Three words of 0.6 s, 2 s apart, in noise 20 dB below, and their readings.

    With `missed_hops` the detector misses that many hops in the middle of each word.
    """
    word, pause = np.ones(60), np.zeros(200)
    heard_word = word.copy()
    heard_word[20 : 20 + missed_hops] = 0.0
    heard = np.tile(np.concatenate([pause, heard_word]), 3)
    s = np.repeat(np.tile(np.concatenate([pause, word]), 3), 4)
    heard = torch.from_numpy(heard).float().expand(count, -1)
    s = torch.from_numpy(s).float().expand(count, -1)
    user = UserSettings(torch.full((count,), -60.0), torch.full((count,), -60.0))
    return {
        "presence": heard,
        "key_level_db": torch.where(heard > 0, -20.0, -80.0),
        "s_fine": s,
        "n_fine": torch.full_like(s, 0.01),
        "user": user,
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


def learn(signal, start, steps=120, jitter=0.5):
    """Three constants trained by the loss alone, from `start` seconds."""
    times = torch.tensor(start).log().requires_grad_()
    optimizer = torch.optim.Adam([times], lr=0.05)
    generator = torch.Generator().manual_seed(0)
    settings = dataclasses.replace(SETTINGS, hold_jitter=jitter)
    shape = (*signal["presence"].shape, 3)
    for _ in range(steps):
        result = gate_loss(
            **signal, ballistics=times.exp().expand(shape), settings=settings, generator=generator
        )
        optimizer.zero_grad()
        result.loss.mean().backward()
        optimizer.step()
        with torch.no_grad():
            times.clamp_(torch.tensor([5e-4, 1e-3, 5e-3]).log(), torch.zeros(3))
    return times.exp().detach()


def test_misses_within_words_teach_a_longer_hold():
    # 100 ms missed in each word of 600: a hold that bridges them costs as much noise after
    # each word, one part in twenty of all noise, and saves one part in six of all speech.
    start = [0.002, 0.03, 0.01]
    _, with_misses, _ = learn(words(missed_hops=10, count=8), start)
    _, without, _ = learn(words(count=8), start)
    assert with_misses > 0.06
    assert without < 0.02


def test_a_slow_attack_is_unlearned():
    attack, _, release = learn(words(count=4), [0.03, 0.02, 0.3], jitter=0.0)
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
    signal = dict(
        presence=torch.ones(1, 100),
        ballistics=torch.tensor([0.001, 0.001, 0.005]).expand(1, 100, 3),
        s_fine=s,
        n_fine=n,
        user=UserSettings(torch.tensor([-40.0]), torch.tensor([-60.0])),
        s_level_db=level,
    )
    obeys = gate_loss(**signal, key_level_db=level)
    ignores = gate_loss(**signal, key_level_db=torch.full((1, 100), -30.0))
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
