"""Attack, hold and release: fitted to a finished trunk through the gate as it ships.

The ballistics rows of the network's last layer are trained alone, on cached embeddings, with the
presence threshold that calibration has chosen and hard decisions, so that they learn the holds
that this detector's own gaps call for. It takes a minute or two. They start from the best fixed
triple of a small grid, so what they gain is gained over that.

Example
-------
>>> items = collect(net, pool_batches(pool, 1200))                         # doctest: +SKIP
>>> train, dev = items.pick(slice(0, 900)), items.pick(slice(900, None))    # doctest: +SKIP
>>> gate = GateLossSettings(presence_threshold=0.55, presence_hysteresis=0.2)
>>> fit_ballistics(net, train, dev, BallisticsSettings(gate=gate))         # doctest: +SKIP
{'fixed_s': (0.0005, 0.1, 0.005), 'fixed': 0.91, 'learned': 0.89}
"""

import itertools
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch

from training.voice.gate_loss import (
    GateLossSettings,
    UserSettings,
    band_level_db,
    draw_user_settings,
    gate_loss,
    key_level_db,
)

GRID_S = (
    (0.0005, 0.002, 0.005, 0.02),
    (0.001, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5),
    (0.005, 0.01, 0.02, 0.05, 0.1, 0.2),
)
"""Attack, hold and release times that a fixed gate is searched over, seconds."""

START_GRID_S = ((0.0005, 0.002), (0.001, 0.02, 0.05, 0.1, 0.2), (0.005, 0.02))
"""The few that a fit starts from the best of."""


@dataclass(frozen=True)
class BallisticsSettings:
    """How to fit.

    Attributes
    ----------
    gate : GateLossSettings
        With the calibrated presence threshold and hysteresis.
    attack_s, hold_s, release_s : tuple of float
        Bounds, seconds: (low, high). The loss puts no price on clicks, so the shortest attack
        is one that hardly clicks; long holds keep false alarms open.
    grid_s : tuple of tuple of float
        Times of the start that are tried, within the bounds.
    steps, batch_size : int
    learning_rate : float
        At the start; falls to zero along a cosine.
    hold_jitter : float
        See `GateLossSettings`.
    weight_decay : float
        Of the rows, towards constants.
    columns : tuple of int
        Presence columns of the target.
    seed : int
    """

    gate: GateLossSettings = field(default_factory=GateLossSettings)
    attack_s: tuple = (0.0005, 0.05)
    hold_s: tuple = (0.001, 0.1)
    release_s: tuple = (0.005, 0.1)
    grid_s: tuple = START_GRID_S
    steps: int = 800
    batch_size: int = 32
    learning_rate: float = 0.01
    hold_jitter: float = 0.3
    weight_decay: float = 1e-3
    columns: tuple = (0,)
    seed: int = 0


@dataclass
class Answers:
    """What a frozen network says of N items, and what the loss needs of them.

    Attributes
    ----------
    embedding : Tensor, shape (N, T, embedding_size), float16
    presence, level_db, s_level_db : Tensor, shape (N, T)
        The last is the level of the voice alone.
    s_fine, n_fine : Tensor, shape (N, T * 4)
    user : UserSettings
        A draw for each item.
    """

    embedding: torch.Tensor
    presence: torch.Tensor
    level_db: torch.Tensor
    s_level_db: torch.Tensor
    s_fine: torch.Tensor
    n_fine: torch.Tensor
    user: UserSettings

    def __len__(self):
        return len(self.presence)

    def pick(self, rows):
        """Some of the items."""
        *parts, user = (getattr(self, part.name) for part in fields(self))
        user = UserSettings(*(values[rows] for values in user))
        return Answers(*(part[rows] for part in parts), user)

    def loss(self, ballistics, settings, generator=None):
        """`gate_loss` with these ballistics (N, T, 3)."""
        return gate_loss(
            presence=self.presence,
            key_level_db=self.level_db,
            ballistics=ballistics,
            s_fine=self.s_fine,
            n_fine=self.n_fine,
            user=self.user,
            s_level_db=self.s_level_db,
            settings=settings,
            generator=generator,
        )


def pool_batches(pool, n_items, batch_size=32, seed=0):
    """Batches of `n_items` items drawn without repetition from a `training.voice.pool.ItemPool`."""
    slots = np.random.default_rng(seed).permutation(pool.filled)[:n_items]
    for start in range(0, len(slots), batch_size):
        batch = pool.take(np.sort(slots[start : start + batch_size]))
        yield {name: torch.from_numpy(value) for name, value in batch.items()}


@torch.no_grad()
def collect(net, batches, columns=(0,), seed=0, unwanted=False):
    """Run a network over batches of the mixer and keep what the fit needs.

    Parameters
    ----------
    net : VoiceNet
    batches : iterable of dict of Tensor
        ``features``, ``band_power``, ``s_band_power``, ``s_fine``, ``n_fine``. Items without
        wanted sound are left out unless `unwanted`: any ballistics of a shut gate are right.
    columns : tuple of int
        Presence columns of the target.
    seed : int
        Of the users' thresholds and ranges.
    unwanted : bool
        Keep the items without wanted sound, so that a false alarm is not held for long.

    Returns
    -------
    Answers
    """
    generator = torch.Generator().manual_seed(seed)
    kept = []
    for batch in batches:
        rows = (batch["s_fine"].amax(dim=1) > 0) | unwanted
        batch = {name: values[rows] for name, values in batch.items()}
        embedding, _ = net.eval().trunk(batch["features"])
        outputs = net.read(embedding)
        presence = outputs["presence_logits"][..., list(columns)].amax(dim=-1).sigmoid()
        level = key_level_db(outputs["key_logits"].sigmoid(), batch["band_power"])
        user = draw_user_settings(batch["s_band_power"], batch["band_power"], generator)
        own_level = band_level_db(batch["s_band_power"])
        energies = (batch["s_fine"], batch["n_fine"])
        kept.append((embedding.half(), presence, level, own_level, *energies, *user))
    *parts, threshold, range_db = (torch.cat(values) for values in zip(*kept, strict=True))
    return Answers(*parts, UserSettings(threshold, range_db))


@torch.no_grad()
def fixed_losses(answers, times_s, settings):
    """Loss of each item (N,) with constant attack, hold and release in seconds."""
    shape = (*answers.presence.shape, 3)
    return answers.loss(torch.tensor(times_s).expand(shape), settings).loss


def best_fixed(answers, settings, grid_s=GRID_S):
    """The triple of a grid with the lowest mean loss.

    Returns
    -------
    times_s : tuple of float
        Attack, hold, release.
    loss : float
    """
    found = {
        times: float(fixed_losses(answers, times, settings).mean())
        for times in itertools.product(*grid_s)
    }
    best = min(found, key=found.get)
    return best, found[best]


@torch.no_grad()
def learned_losses(net, answers, settings, batch_size=128):
    """Loss of each item (N,) with the network's own ballistics."""
    parts = []
    for rows in torch.arange(len(answers)).split(batch_size):
        some = answers.pick(rows)
        ballistics = net.read(some.embedding.float())["ballistics"]
        parts.append(some.loss(ballistics, settings).loss)
    return torch.cat(parts)


def fit_ballistics(net, train, dev, settings=BallisticsSettings(), on_step=None):
    """Train the ballistics rows of ``net.heads`` in place, and set their bounds.

    Parameters
    ----------
    net : VoiceNet
    train, dev : Answers
        From `collect`; `dev` chooses the step that is kept.
    settings : BallisticsSettings
    on_step : callable, optional
        Called with (step, loss).

    Returns
    -------
    dict
        ``fixed_s``: the best fixed triple on `train`; ``fixed`` and ``learned``: mean losses
        on `dev`.
    """
    gate = settings.gate
    generator = torch.Generator().manual_seed(settings.seed)
    some = train.pick(torch.randperm(len(train), generator=generator)[:128])
    bounds = (settings.attack_s, settings.hold_s, settings.release_s)
    net.set_bounds(*bounds)
    grid = [
        [time for time in times if low <= time <= high]
        for times, (low, high) in zip(settings.grid_s, bounds, strict=True)
    ]
    times_s, _ = best_fixed(some, gate, grid)
    net.start_ballistics(*times_s)
    kept_weight, kept_bias = net.heads.weight.detach().clone(), net.heads.bias.detach().clone()
    weight = kept_weight[-3:].clone().requires_grad_()
    bias = kept_bias[-3:].clone().requires_grad_()
    optimizer = torch.optim.AdamW(
        [
            {"params": [weight], "weight_decay": settings.weight_decay},
            {"params": [bias], "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    jittered = replace(gate, hold_jitter=settings.hold_jitter)

    def install(rows, constants):
        with torch.no_grad():
            net.heads.weight[-3:], net.heads.bias[-3:] = rows, constants

    fixed = float(fixed_losses(dev, times_s, gate).mean())
    best, best_rows = fixed, (weight.detach().clone(), bias.detach().clone())
    looks = set(np.linspace(0, settings.steps, 11, dtype=int)[1:].tolist())
    for step in range(1, settings.steps + 1):
        rows = torch.randint(len(train), (settings.batch_size,), generator=generator)
        batch = train.pick(rows)
        share = torch.nn.functional.linear(batch.embedding.float(), weight, bias).sigmoid()
        ballistics = net.ballistics_low * net.ballistics_ratio**share
        loss = batch.loss(ballistics, jittered, generator).loss.mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([weight, bias], 1.0)
        optimizer.step()
        schedule.step()
        if on_step is not None:
            on_step(step, float(loss.detach()))
        if step in looks:
            install(weight, bias)
            now = float(learned_losses(net, dev, gate).mean())
            if now < best:
                best, best_rows = now, (weight.detach().clone(), bias.detach().clone())
    install(*best_rows)
    return {"fixed_s": times_s, "fixed": fixed, "learned": best}
