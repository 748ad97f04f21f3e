"""The differentiable gate, and the gated-signal loss through it.

The forward pass is the shipped gate (`gate.control`, `gate.envelope`) seen 400 times a second
over a batch: threshold, presence and hysteresis decide once a hop, hold is a running maximum,
attack and release are one-poles, the decision acts one hop late. The gradients:

- *attack and release* are exact: the gain is a linear recurrence g = a g' + b.
- *hold* is exact as well: the time at which the gate shuts lies inside a frame, which is open for
  a fraction of it; the fraction's derivative is routed to the hop whose hold set that time. As
  this only sees a moment around the shutting, `hold_jitter` scales the holds of an item at
  random, which smooths the loss over hold: the mean gradient then sees the words to come.
- *presence and key* get a surrogate: the step functions of the decision differentiate as
  sigmoids (straight-through), or are sigmoids forward, too (`soft=True`).

An own recursion rather than `torchlpc` or `torchcomp`: the decision with its running maximum
is no filter, and with it taken out what is left is one first-order recurrence, a loop of two
numpy calls a step over the batch (6 ms for 8 s).

Example
-------
>>> settings = GateLossSettings(presence_threshold=0.5)
>>> outputs = net(batch["features"])                                        # doctest: +SKIP
>>> user = draw_user_settings(batch["s_band_power"], batch["band_power"])   # doctest: +SKIP
>>> result = gate_loss(                                                     # doctest: +SKIP
...     presence=outputs["presence_logits"][..., 0].sigmoid(),
...     key_level_db=key_level_db(outputs["key_logits"].sigmoid(), batch["band_power"]),
...     ballistics=outputs["ballistics"],
...     s_fine=batch["s_fine"], n_fine=batch["n_fine"], user=user, settings=settings,
...     s_level_db=band_level_db(batch["s_band_power"]))
>>> result.loss.mean().backward()                                           # doctest: +SKIP
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

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
    hop_s, frame_s : float
        Steps of the decision and of the gain, seconds.
    delay_s : float
        Time from a hop's start to where its decision acts: the hop itself, less lookahead.
    hysteresis_db : float
        As in the gate's settings.
    presence_threshold, presence_hysteresis : float
        Likewise; those of the calibrated detector in a last phase.
    level_width_db, presence_width : float
        Widths of the sigmoids that stand for the step functions, in dB and in probability.
    soft : bool
        Whether they do so in the forward pass as well.
    hold_jitter : float
        Spread of the natural logarithm of the factor by which an item's holds are scaled.
    """

    weights: LossWeights = WEIGHTS
    hop_s: float = 0.01
    frame_s: float = FRAME_S
    delay_s: float = 0.01
    hysteresis_db: float = 6.0
    presence_threshold: float = 0.5
    presence_hysteresis: float = 0.15
    level_width_db: float = 2.0
    presence_width: float = 0.1
    soft: bool = False
    hold_jitter: float = 0.0

    @property
    def frames_per_hop(self):
        """Gain frames in a hop, 4."""
        return round(self.hop_s / self.frame_s)

    @property
    def delay_frames(self):
        """`delay_s` in frames; negative with more than a hop of lookahead."""
        return round(self.delay_s / self.frame_s)


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
    return 10.0 * torch.log10(band_power.sum(dim=-1).clamp_min(_MIN_POWER))


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


def decide(may_open, may_stay, hold, hop_s):
    """The hard decisions: `gate.control` over a batch.

    Parameters
    ----------
    may_open, may_stay : ndarray, shape (B, T), bool
        Whether the hop meets the conditions for opening, for staying open.
    hold : ndarray, shape (B, T)
        Seconds.
    hop_s : float
        Seconds.

    Returns
    -------
    was_open : ndarray, shape (B, T), bool
        The gate's state before each hop's decision: which pair of thresholds applied.
    source : ndarray, shape (B, T), int64
        The earlier hop whose hold lasts longest, as known before each hop's decision; -1 if
        none.
    """
    count, n_hops = may_open.shape
    opens, stays = np.ascontiguousarray(may_open.T), np.ascontiguousarray(may_stay.T)
    ends = hold.T + hop_s * np.arange(1, n_hops + 1)[:, None]
    was_open = np.empty((n_hops, count), dtype=bool)
    source = np.empty((n_hops, count), dtype=np.int64)
    is_open = np.zeros(count, dtype=bool)
    last = np.full(count, -1)
    open_until = np.zeros(count)
    for hop in range(n_hops):
        was_open[hop], source[hop] = is_open, last
        condition = np.where(is_open, stays[hop], opens[hop])
        # The end of a hold is a running maximum, as in `gate.control`.
        longer = condition & (ends[hop] > open_until)
        open_until = np.where(longer, ends[hop], open_until)
        last = np.where(longer, hop, last)
        is_open = condition | (open_until > hop_s * (hop + 1) + 1e-9)
    return was_open.T, source.T


def gate_gain(presence, level_db, ballistics, user, settings=GateLossSettings()):
    """Gain of the gate, `frames_per_hop` values a hop.

    Parameters
    ----------
    presence : Tensor, shape (B, T)
        Probability of the target.
    level_db : Tensor, shape (B, T)
        Key level, dBFS.
    ballistics : Tensor, shape (B, T, 3)
        Attack, hold, release, seconds.
    user : UserSettings
    settings : GateLossSettings

    Returns
    -------
    gain : Tensor, shape (B, T * frames_per_hop)
        Mean gain of each frame, from the range's gain up to 1.
    """
    s = settings
    dtype = ballistics.dtype
    attack, hold, release = ballistics.unbind(dim=-1)
    threshold = user.threshold_db.to(dtype).unsqueeze(-1)
    opens_above = (threshold, s.presence_threshold)
    stays_above = (threshold - s.hysteresis_db, s.presence_threshold - s.presence_hysteresis)
    with torch.no_grad():
        may_open = ((level_db > opens_above[0]) & (presence >= opens_above[1])).numpy()
        may_stay = ((level_db > stays_above[0]) & (presence >= stays_above[1])).numpy()
        was_open, source = decide(may_open, may_stay, hold.detach().numpy(), s.hop_s)
        is_met = torch.from_numpy(np.where(was_open, may_stay, may_open)).to(dtype)
        was_open = torch.from_numpy(was_open.copy())
        source = torch.from_numpy(source.copy())

    level_margin = level_db - torch.where(was_open, stays_above[0], opens_above[0])
    presence_margin = presence - torch.where(was_open, stays_above[1], opens_above[1])
    met = torch.sigmoid(level_margin / s.level_width_db)
    met = met * torch.sigmoid(presence_margin / s.presence_width)
    if not s.soft:
        met = is_met + (met - met.detach())

    # Fraction of each frame that an earlier hop's hold keeps open.
    n_hops, per_hop = presence.shape[1], s.frames_per_hop
    held_until = hold.gather(1, source.clamp_min(0)) + s.hop_s * (source + 1).to(dtype)
    starts = s.frame_s * torch.arange(n_hops * per_hop, dtype=dtype).view(n_hops, per_hop)
    held = ((held_until.unsqueeze(-1) - starts) / s.frame_s).clamp(0.0, 1.0)
    held = held * (source >= 0).unsqueeze(-1)
    opened = (1.0 - (1.0 - met.unsqueeze(-1)) * (1.0 - held)).flatten(1)

    # A frame opens for a fraction `opened` of its length, then shuts for the rest.
    attack = attack.repeat_interleave(per_hop, dim=1)
    release = release.repeat_interleave(per_hop, dim=1)
    shut_gain = (10.0 ** (user.range_db.to(dtype) / 20.0)).unsqueeze(-1)
    rise = torch.exp(-opened * s.frame_s / attack)
    fall = torch.exp(-(1.0 - opened) * s.frame_s / release)
    gain = linear_recurrence(
        rise * fall, shut_gain + (1.0 - rise - shut_gain) * fall, shut_gain[:, 0]
    )

    # The mean over a frame, of the exponentials from the gain before it.
    before = torch.cat([shut_gain, gain[:, :-1]], dim=1)
    mean_rise = attack / s.frame_s * -torch.expm1(-s.frame_s / attack)
    mean_fall = release / s.frame_s * -torch.expm1(-s.frame_s / release)
    peak = 1.0 + (before - 1.0) * rise
    mean = opened * (1.0 + (before - 1.0) * mean_rise)
    mean = mean + (1.0 - opened) * (shut_gain + (peak - shut_gain) * mean_fall)
    return _delayed(mean, shut_gain, s.delay_frames)


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
    *,
    presence,
    key_level_db,
    ballistics,
    s_fine,
    n_fine,
    user,
    s_level_db=None,
    settings=GateLossSettings(),
    generator=None,
):
    """Run the gate and judge what it did to the sound.

    Parameters
    ----------
    presence, key_level_db : Tensor, shape (B, T)
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
    generator : torch.Generator, optional
        For `hold_jitter`.

    Returns
    -------
    GateLoss
    """
    if settings.hold_jitter > 0.0:
        spread = settings.hold_jitter * torch.randn(len(presence), 1, generator=generator)
        scale = torch.ones(len(presence), 1, 3, dtype=ballistics.dtype)
        scale[:, :, 1] = spread.exp()
        ballistics = ballistics * scale
    if s_level_db is not None:
        s_fine, n_fine = split_by_threshold(s_fine, n_fine, s_level_db, user.threshold_db)
    gain = gate_gain(presence, key_level_db, ballistics, user, settings)
    return gated_signal_loss(gain, s_fine, n_fine, settings)
