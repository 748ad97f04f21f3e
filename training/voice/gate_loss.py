"""The gated-signal loss through the gate, in torch and over a batch.

What opens the gate is decided by the shipped rules (`gate.decision`), hop by hop and hard; the
gain that follows is the shipped envelope seen 400 times a second, attack and release being
one-poles. The gradient of both times is exact: the gain is a linear recurrence g = a g' + b.

A recursion of our own rather than `torchlpc` or `torchcomp`: what is left once the decision is
taken is one first-order recurrence, a loop of two numpy calls a step over the batch (6 ms for
8 s).

Example
-------
>>> outputs = net(batch["features"], batch["ears"])                         # doctest: +SKIP
>>> user = draw_user_settings(batch["s_band_power"], batch["band_power"])   # doctest: +SKIP
>>> opened = decided(                                                       # doctest: +SKIP
...     outputs["presence_logits"][..., 0].sigmoid(),
...     key_level_db(outputs["key_logits"].sigmoid(), batch["band_power"]),
...     user.threshold_db, GateLossSettings())
>>> result = gate_loss(                                                     # doctest: +SKIP
...     opened, outputs["ballistics"], batch["s_fine"], batch["n_fine"], user,
...     s_level_db=band_level_db(batch["s_band_power"]))
>>> result.loss.mean().backward()                                           # doctest: +SKIP
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from gate.decision import ClassicRule, EvidenceRule, classic_hops, lag_hops, open_hops, present_hops
from gate.signal_metrics import FRAME_S, LossWeights
from gate.units import MIN_DBFS

_MIN_POWER = 10.0 ** (MIN_DBFS / 10.0)

WEIGHTS = LossWeights(lost=2.0, passed=1.0, movement=0.02)
"""What training and the study of ballistics minimise. With equal shares the best fixed gate shuts
the moment its condition ends (hold 1 ms): each pause it bridges costs more than the word behind it
is worth. At 2 to 1 the best fixed hold is 0.1 s; at 4 to 1 it is 0.2 to 0.5 s, which passes half
of all pauses."""

_NEAR_HOPS = 10  # a word's soft parts belong to the word: 0.1 s to either side


@dataclass(frozen=True)
class GateLossSettings:
    """How the gate is run and judged while training.

    Attributes
    ----------
    weights : gate.signal_metrics.LossWeights
        Of the gated-signal loss.
    rule : EvidenceRule or ClassicRule
        What decides on the presence.
    hold_s : float
        Of the classic rule, seconds.
    hysteresis_db : float
        As in the gate's settings.
    lookahead_ms : float or None
        Of the gate; None reads a recording back from its end.
    hop_s, frame_s : float
        Steps of the decision and of the gain, seconds.
    """

    weights: LossWeights = WEIGHTS
    rule: EvidenceRule | ClassicRule = field(default_factory=EvidenceRule)
    hold_s: float = 0.03
    hysteresis_db: float = 6.0
    lookahead_ms: float | None = 0.0
    hop_s: float = 0.01
    frame_s: float = FRAME_S

    @property
    def lag(self):
        """Hops after which a hop's state is read; None is the end of the recording."""
        return None if self.lookahead_ms is None else lag_hops(self.lookahead_ms)

    @property
    def delay_frames(self):
        """Frames from a hop's beginning to where its decision acts on the sound of then."""
        if self.lookahead_ms is None:
            return 0
        seconds = (1 + self.lag) * self.hop_s - 1e-3 * self.lookahead_ms
        return round(seconds / self.frame_s)

    @property
    def frames_per_hop(self):
        """Gain frames in a hop, 4."""
        return round(self.hop_s / self.frame_s)


class UserSettings(NamedTuple):
    """What a user would set, one value an item: threshold_db (B,) and range_db (B,)."""

    threshold_db: torch.Tensor
    range_db: torch.Tensor


class GateLoss(NamedTuple):
    """Losses an item, (B,) each, and the gain.

    ``loss`` is the weighted sum of ``lost`` (share of the wanted sound), ``passed`` (share of
    the rest) and ``variation`` (of the gain, a second); ``gain`` is (B, T * frames_per_hop).
    """

    loss: torch.Tensor
    lost: torch.Tensor
    passed: torch.Tensor
    variation: torch.Tensor
    gain: torch.Tensor


def key_level_db(key, band_power):
    """Key level in dBFS: key (..., n_mels) in 0..1 and powers a band -> (...)."""
    return 10.0 * torch.log10((key * band_power).sum(dim=-1).clamp_min(_MIN_POWER))


def band_level_db(band_power):
    """Level in dBFS of powers a band: (..., n_mels) -> (...)."""
    return key_level_db(1.0, band_power)


def draw_user_settings(s_band_power, band_power, generator=None):
    """Random thresholds, mostly below the voice, and ranges.

    Parameters
    ----------
    s_band_power, band_power : Tensor, shape (B, T, n_mels)
        Powers of the wanted sound and of the mixture.
    generator : torch.Generator, optional
        Makes it repeatable.

    Returns
    -------
    UserSettings
        Two thresholds in three lie 15 to 45 dB below the wanted sound's level, the rest up to
        15 dB below it; items without it take the mixture's level. Ranges from -80 to -6 dB.
    """
    count = len(band_power)

    def uniform(low, high):
        return low + (high - low) * torch.rand(count, generator=generator)

    wanted = s_band_power.sum(dim=-1)
    power = torch.where(wanted.amax(dim=1) > 1e-10, wanted.amax(dim=1), band_power.sum(-1).amax(1))
    # 10 dB below its loudest hop is about the level of running speech.
    level = 10.0 * torch.log10(power.clamp_min(_MIN_POWER)) - 10.0
    far = torch.rand(count, generator=generator) < 2.0 / 3.0
    below = torch.where(far, uniform(15.0, 45.0), uniform(0.0, 15.0))
    return UserSettings((level - below).clamp(-90.0, -10.0), uniform(-80.0, -6.0))


class _LinearRecurrence(torch.autograd.Function):
    """g[i] = a[i] g[i-1] + b[i] along the last axis, from g[-1] = start."""

    @staticmethod
    def forward(ctx, a, b, start):
        a_steps = np.ascontiguousarray(a.detach().numpy().T)
        g_steps = np.array(b.detach().numpy().T, order="C")  # a copy: becomes the result
        work = start.detach().numpy().copy()
        for a_step, g_step in zip(a_steps, g_steps, strict=True):
            np.multiply(work, a_step, out=work)
            np.add(g_step, work, out=g_step)
            work[...] = g_step
        gain = torch.from_numpy(g_steps).T
        ctx.save_for_backward(a, start, gain)
        return gain

    @staticmethod
    def backward(ctx, grad):
        a, start, gain = ctx.saved_tensors
        a_steps = np.ascontiguousarray(a.numpy().T)
        steps = np.array(grad.numpy().T, order="C")
        work = np.zeros_like(steps[0])
        for a_step, step in zip(a_steps[::-1], steps[::-1], strict=True):
            np.add(step, work, out=step)
            np.multiply(step, a_step, out=work)
        grad_b = torch.from_numpy(steps).T
        before = torch.cat([start.unsqueeze(-1), gain[:, :-1]], dim=-1)
        return grad_b * before, grad_b, torch.from_numpy(work)


def linear_recurrence(a, b, start):
    """g[i] = a[i] g[i-1] + b[i], differentiable in all three.

    Parameters
    ----------
    a, b : Tensor, shape (B, N)
    start : Tensor, shape (B,)
        The value before the first.

    Returns
    -------
    Tensor, shape (B, N)
    """
    return _LinearRecurrence.apply(a, b, start)


def decided(presence, level_db, threshold_db, settings=GateLossSettings()):
    """Whether the gate is open on each hop, by the shipped rules.

    Parameters
    ----------
    presence : Tensor or ndarray, shape (B, T)
        Probability of the target.
    level_db : Tensor or ndarray, shape (B, T)
        Key level, dBFS.
    threshold_db : Tensor or float
        A value an item, (B,), or one for all.
    settings : GateLossSettings

    Returns
    -------
    Tensor, shape (B, T), bool
    """
    presence, level = np.asarray(presence, np.float64), np.asarray(level_db, np.float64)
    threshold = np.asarray(threshold_db, np.float64).reshape(-1, 1)
    rule, hysteresis = settings.rule, settings.hysteresis_db
    if isinstance(rule, ClassicRule):
        hold = round(settings.hold_s / settings.hop_s)
        opened = classic_hops(level, presence, rule, threshold, hysteresis, hold)
    else:
        present = present_hops(presence, rule, settings.lag)
        opened = open_hops(level, present, threshold, hysteresis, settings.lag)
    return torch.from_numpy(opened)


def gate_gain(opened, ballistics, range_db, settings=GateLossSettings()):
    """Gain of the gate, `frames_per_hop` values a hop.

    Parameters
    ----------
    opened : Tensor, shape (B, T), bool
        Of `decided`.
    ballistics : Tensor, shape (B, T, 3)
        Attack, hold (not used), release, seconds.
    range_db : Tensor, shape (B,)
    settings : GateLossSettings

    Returns
    -------
    gain : Tensor, shape (B, T * frames_per_hop)
        Mean gain of each frame, from the range's gain up to 1.
    """
    s, dtype = settings, ballistics.dtype
    per_hop = s.frames_per_hop
    opened = opened.repeat_interleave(per_hop, dim=1)
    attack = ballistics[..., 0].repeat_interleave(per_hop, dim=1)
    release = ballistics[..., 2].repeat_interleave(per_hop, dim=1)
    shut_gain = (10.0 ** (range_db.to(dtype) / 20.0)).unsqueeze(-1)
    time = torch.where(opened, attack, release)
    goal = torch.where(opened, torch.ones_like(shut_gain), shut_gain)
    left = torch.exp(-s.frame_s / time)
    gain = linear_recurrence(left, goal * (1.0 - left), shut_gain[:, 0])
    # The mean over a frame, of the exponential from the gain before it.
    before = torch.cat([shut_gain, gain[:, :-1]], dim=1)
    mean_left = time / s.frame_s * -torch.expm1(-s.frame_s / time)
    return _delayed(goal + (before - goal) * mean_left, shut_gain, s.delay_frames)


def _delayed(gain, first, n_frames):
    """Shift in time; what comes in from the left is `first`, from the right the last value."""
    if n_frames >= 0:
        return torch.cat([first.expand(-1, n_frames), gain[:, : gain.shape[1] - n_frames]], dim=1)
    return torch.cat([gain[:, -n_frames:], gain[:, -1:].expand(-1, -n_frames)], dim=1)


def _compressed_share(factor, energy, knee):
    mean = energy.mean(dim=-1, keepdim=True)
    relative = knee * energy / mean.clamp_min(torch.finfo(energy.dtype).tiny)
    whole = torch.log1p(relative).sum(dim=-1)
    share = torch.log1p(factor * relative).sum(dim=-1) / whole.clamp_min(1e-12)
    return torch.where(mean[:, 0] > 0, share, torch.zeros_like(share))


def gated_signal_loss(gain, s_fine, n_fine, settings=GateLossSettings()):
    """`gate.signal_metrics.gated_signal_loss` in torch, over a batch.

    Parameters
    ----------
    gain : Tensor, shape (B, N)
        Of each frame.
    s_fine, n_fine : Tensor, shape (B, N)
        Weighted energy of the wanted sound and of the rest, a frame; any scale.
    settings : GateLossSettings

    Returns
    -------
    GateLoss
    """
    weights = settings.weights
    lost = _compressed_share((1.0 - gain).square(), s_fine.to(gain.dtype), weights.knee)
    passed = _compressed_share(gain.square(), n_fine.to(gain.dtype), weights.knee)
    duration = gain.shape[1] * settings.frame_s
    variation = gain.diff(dim=-1).abs().sum(dim=-1) / duration
    loss = weights.lost * lost + weights.passed * passed + weights.movement * variation
    return GateLoss(loss, lost, passed, variation, gain)


def split_by_threshold(s_fine, n_fine, s_level_db, threshold_db):
    """Count voice that the user's threshold excludes to the rest.

    A threshold of -50 dBFS says that voice below -50 dBFS is not wanted. Voice counts as wanted
    where its own level exceeds the threshold within 0.1 s.

    Parameters
    ----------
    s_fine, n_fine : Tensor, shape (B, N)
        Weighted energy a frame of the voice and of the rest.
    s_level_db : Tensor, shape (B, T)
        Level of the voice alone, dBFS; N is a multiple of T.
    threshold_db : Tensor, shape (B,)

    Returns
    -------
    wanted, unwanted : Tensor, shape (B, N)
    """
    near = torch.nn.functional.max_pool1d(
        s_level_db.unsqueeze(1), 2 * _NEAR_HOPS + 1, stride=1, padding=_NEAR_HOPS
    ).squeeze(1)
    counts = (near > threshold_db.to(near.dtype).unsqueeze(-1)).to(s_fine.dtype)
    counts = counts.repeat_interleave(s_fine.shape[1] // near.shape[1], dim=1)
    return s_fine * counts, n_fine + s_fine * (1.0 - counts)


def gate_loss(
    opened, ballistics, s_fine, n_fine, user, s_level_db=None, settings=GateLossSettings()
):
    """Run the gate and judge what it did to the sound.

    Parameters
    ----------
    opened : Tensor, shape (B, T), bool
        Of `decided`.
    ballistics : Tensor, shape (B, T, 3)
        Seconds.
    s_fine, n_fine : Tensor, shape (B, T * frames_per_hop)
        Weighted energies (`gate.signal_metrics.weighted_energy`).
    user : UserSettings
        From `draw_user_settings`.
    s_level_db : Tensor, shape (B, T), optional
        Level of the voice alone: what lies below the threshold is then not wanted, see
        `split_by_threshold`.
    settings : GateLossSettings

    Returns
    -------
    GateLoss
    """
    if s_level_db is not None:
        s_fine, n_fine = split_by_threshold(s_fine, n_fine, s_level_db, user.threshold_db)
    gain = gate_gain(opened, ballistics, user.range_db, settings)
    return gated_signal_loss(gain, s_fine, n_fine, settings)
