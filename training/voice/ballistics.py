"""Attack and release: fitted to a finished trunk through the gate as it ships.

The ballistics rows of the network's last layer are trained alone, on cached embeddings, with the
decisions of the rule that calibration has chosen. It takes a minute or two. They start from the
best fixed pair of a small grid, so what they gain is gained over that. The row of the hold stays
a constant: how long the gate stays open is a matter of the evidence, and only the classic rule
asks for it.

Example
-------
>>> gate = GateLossSettings(rule=EvidenceRule(0.5, 2.0, 3.0))               # doctest: +SKIP
>>> items = collect(net, pool_batches(pool, 1200), gate)                    # doctest: +SKIP
>>> train, dev = items.pick(slice(0, 900)), items.pick(slice(900, None))    # doctest: +SKIP
>>> fit_ballistics(net, train, dev, BallisticsSettings(gate=gate))          # doctest: +SKIP
{'fixed_s': (0.0005, 0.005), 'fixed': 0.91, 'learned': 0.89}
"""

import itertools
from dataclasses import dataclass, field, fields

import numpy as np
import torch

from training.voice.gate_loss import (
    GateLossSettings,
    UserSettings,
    band_level_db,
    decided,
    draw_user_settings,
    gate_loss,
    key_level_db,
)

START_GRID_S = ((0.0005, 0.001, 0.002, 0.005), (0.002, 0.005, 0.01, 0.02, 0.05))
"""Attack and release times that a fit starts from the best of, seconds."""

HOLD_S = 0.03
"""What the detector answers for hold."""


@dataclass(frozen=True)
class BallisticsSettings:
    """How to fit.

    Attributes
    ----------
    gate : GateLossSettings
        With the rule that decides.
    attack_s, release_s : tuple of float
        Bounds, seconds: (low, high). The loss puts no price on clicks, so the shortest attack
        is one that hardly clicks.
    grid_s : tuple of tuple of float
        Times of the start that are tried, within the bounds.
    steps, batch_size : int
    learning_rate : float
        At the start; falls to zero along a cosine.
    weight_decay : float
        Of the rows, towards constants.
    seed : int
    """

    gate: GateLossSettings = field(default_factory=GateLossSettings)
    attack_s: tuple = (0.0005, 0.05)
    release_s: tuple = (0.005, 0.1)
    grid_s: tuple = START_GRID_S
    steps: int = 800
    batch_size: int = 32
    learning_rate: float = 0.01
    weight_decay: float = 1e-3
    seed: int = 0


@dataclass
class Answers:
    """What a frozen network says of N items, and what the loss needs of them.

    Attributes
    ----------
    embedding : Tensor, shape (N, T, embedding_size), float16
    opened : Tensor, shape (N, T), bool
        Where the gate is open.
    s_level_db : Tensor, shape (N, T)
        Level of the voice alone.
    s_fine, n_fine : Tensor, shape (N, T * 4)
    user : UserSettings
        A draw for each item.
    """

    embedding: torch.Tensor
    opened: torch.Tensor
    s_level_db: torch.Tensor
    s_fine: torch.Tensor
    n_fine: torch.Tensor
    user: UserSettings

    def __len__(self):
        return len(self.opened)

    def pick(self, rows):
        """Some of the items."""
        *parts, user = (getattr(self, part.name) for part in fields(self))
        user = UserSettings(*(values[rows] for values in user))
        return Answers(*(part[rows] for part in parts), user)

    def loss(self, ballistics, settings):
        """`gate_loss` with these ballistics (N, T, 3)."""
        parts = self.s_fine, self.n_fine, self.user, self.s_level_db
        return gate_loss(self.opened, ballistics, *parts, settings)


def pool_batches(pool, n_items):
    """Batches of `n_items` items drawn without repetition from a `training.voice.pool.ItemPool`."""
    slots = np.random.default_rng(0).permutation(pool.filled)[:n_items]
    for start in range(0, len(slots), 32):
        batch = pool.take(np.sort(slots[start : start + 32]))
        yield {name: torch.from_numpy(value) for name, value in batch.items()}


@torch.no_grad()
def collect(net, batches, settings, unwanted=False):
    """Run a network over batches of the mixer and keep what the fit needs.

    Parameters
    ----------
    net : VoiceNet
    batches : iterable of dict of Tensor
        ``features``, ``ears`` where there are any, ``band_power``, ``s_band_power``, ``s_fine``,
        ``n_fine``. Items without wanted sound are left out unless `unwanted`: any ballistics of
        a shut gate are right.
    settings : GateLossSettings
        What decides on speech.
    unwanted : bool
        Keep the items without wanted sound, too.

    Returns
    -------
    Answers
    """
    generator = torch.Generator().manual_seed(0)
    kept = []
    for batch in batches:
        rows = (batch["s_fine"].amax(dim=1) > 0) | unwanted
        batch = {name: values[rows] for name, values in batch.items()}
        embedding, _ = net.eval().trunk(batch["features"], batch.get("ears"))
        outputs = net.read(embedding)
        presence = outputs["presence_logits"][..., 0].sigmoid()
        level = key_level_db(outputs["key_logits"].sigmoid(), batch["band_power"])
        user = draw_user_settings(batch["s_band_power"], batch["band_power"], generator)
        opened = decided(presence, level, user.threshold_db, settings)
        own_level = band_level_db(batch["s_band_power"])
        kept.append((embedding.half(), opened, own_level, batch["s_fine"], batch["n_fine"], *user))
    *parts, threshold, range_db = (torch.cat(values) for values in zip(*kept, strict=True))
    return Answers(*parts, UserSettings(threshold, range_db))


def _constant(answers, attack_s, release_s):
    times = torch.tensor([attack_s, HOLD_S, release_s])
    return times.expand(*answers.opened.shape, 3)


@torch.no_grad()
def fixed_losses(answers, attack_s, release_s, settings):
    """Loss of each item (N,) with constant attack and release in seconds."""
    return answers.loss(_constant(answers, attack_s, release_s), settings).loss


def best_fixed(answers, settings, grid_s=START_GRID_S):
    """The pair of a grid with the lowest mean loss.

    Returns
    -------
    times_s : tuple of float
        Attack, release.
    loss : float
    """
    found = {
        times: float(fixed_losses(answers, *times, settings).mean())
        for times in itertools.product(*grid_s)
    }
    best = min(found, key=found.get)
    return best, found[best]


@torch.no_grad()
def learned_losses(net, answers, settings):
    """Loss of each item (N,) with the network's own ballistics."""
    parts = []
    for rows in torch.arange(len(answers)).split(128):
        some = answers.pick(rows)
        ballistics = net.read(some.embedding.float())["ballistics"]
        parts.append(some.loss(ballistics, settings).loss)
    return torch.cat(parts)


def fit_ballistics(net, train, dev, settings=BallisticsSettings()):
    """Train the ballistics rows of ``net.heads`` in place, and set their bounds.

    Parameters
    ----------
    net : VoiceNet
    train, dev : Answers
        From `collect`; `dev` chooses the step that is kept.
    settings : BallisticsSettings

    Returns
    -------
    dict
        ``fixed_s``: the best fixed pair on `train`; ``fixed`` and ``learned``: mean losses
        on `dev`.
    """
    gate = settings.gate
    generator = torch.Generator().manual_seed(settings.seed)
    some = train.pick(torch.randperm(len(train), generator=generator)[:128])
    net.set_bounds(settings.attack_s, net.settings.hold_s, settings.release_s)
    grid = [
        [time for time in times if low <= time <= high]
        for times, (low, high) in zip(
            settings.grid_s, (settings.attack_s, settings.release_s), strict=True
        )
    ]
    times_s, _ = best_fixed(some, gate, grid)
    net.start_ballistics(times_s[0], HOLD_S, times_s[1])
    weight = net.heads.weight[-3:].detach().clone().requires_grad_()
    bias = net.heads.bias[-3:].detach().clone().requires_grad_()
    optimizer = torch.optim.AdamW(
        [
            {"params": [weight], "weight_decay": settings.weight_decay},
            {"params": [bias], "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)

    def install(rows, constants):
        with torch.no_grad():
            net.heads.weight[-3:], net.heads.bias[-3:] = rows, constants

    fixed = float(fixed_losses(dev, *times_s, gate).mean())
    best, best_rows = fixed, (weight.detach().clone(), bias.detach().clone())
    looks = set(np.linspace(0, settings.steps, 11, dtype=int)[1:].tolist())
    for step in range(1, settings.steps + 1):
        rows = torch.randint(len(train), (settings.batch_size,), generator=generator)
        batch = train.pick(rows)
        share = torch.nn.functional.linear(batch.embedding.float(), weight, bias).sigmoid()
        ballistics = net.ballistics_low * net.ballistics_ratio**share
        loss = batch.loss(ballistics, gate).loss.mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([weight, bias], 1.0)
        optimizer.step()
        schedule.step()
        if step in looks:
            install(weight, bias)
            now = float(learned_losses(net, dev, gate).mean())
            if now < best:
                best, best_rows = now, (weight.detach().clone(), bias.detach().clone())
    install(*best_rows)
    return {"fixed_s": times_s, "fixed": fixed, "learned": best}
