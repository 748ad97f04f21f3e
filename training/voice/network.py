"""The live voice detector's network: log-mel hops in, everything the gate needs out.

Log-mel -> level normalisation -> GRUs -> 128-d embedding -> one linear layer to
presence, key and ballistics. Everything is causal; `forward` may be called hop by hop with the
state handed on, and gives what one call over the whole sequence gives.

The level normalisation has no learned part: from each hop's log-mel it subtracts the logarithm
of a running mean magnitude (exponential, since the last reset), so scaling a recording leaves the
network's input unchanged as long as its bands stay above the logarithm's offset.
"""

import math
from dataclasses import asdict, dataclass, replace

import torch
from torch import nn

from gate.errors import ConfigError
from training.voice.classes import CLASSES
from training.voice.recurrent import gru_sequence

BALLISTICS = ("attack", "hold", "release")
"""Columns of `ballistics`."""

_BLOCK_HOPS = 512


@dataclass(frozen=True)
class VoiceSettings:
    """Shape of the network.

    Attributes
    ----------
    n_mels : int
        Bands in.
    n_ears : int
        Ears in, beside the bands.
    hop_s : float
        Duration of a hop, seconds.
    classes : tuple of str
        Presence columns.
    gru_sizes : tuple of int
        Units of each GRU layer.
    embedding_size : int
        Width of the embedding, which is computed from all GRU layers.
    level_tau_s : float
        Time constant of the running mean magnitude, seconds.
    clip_low, clip_high : float
        Bounds of the normalised log-mel, natural logarithm of a magnitude ratio.
    attack_s, hold_s, release_s : tuple of float
        Bounds of the learned ballistics, seconds.
    dropout : float
        On the GRU outputs while training.
    n_speakers, n_events : int
        Classes of the training-only heads; 0 for none.
    """

    n_mels: int = 64
    n_ears: int = 0
    hop_s: float = 0.01
    classes: tuple = CLASSES
    gru_sizes: tuple = (128, 128)
    embedding_size: int = 128
    level_tau_s: float = 1.0
    clip_low: float = -8.0
    clip_high: float = 5.0
    attack_s: tuple = (0.0005, 0.05)
    hold_s: tuple = (0.001, 1.0)
    release_s: tuple = (0.005, 1.0)
    dropout: float = 0.0
    n_speakers: int = 0
    n_events: int = 0

    def __post_init__(self):
        for name in ("classes", "gru_sizes", "attack_s", "hold_s", "release_s"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.gru_sizes or min(self.gru_sizes) < 1:
            raise ConfigError(f"gru_sizes={self.gru_sizes} must name at least one layer, each >= 1")
        if not self.level_tau_s > 0:
            raise ConfigError(f"level_tau_s={self.level_tau_s} must be > 0")
        for name in ("attack_s", "hold_s", "release_s"):
            low, high = getattr(self, name)
            if not 0 < low < high:
                raise ConfigError(f"{name}={getattr(self, name)} must satisfy 0 < low < high")

    @property
    def level_decay(self):
        """Factor by which the running mean forgets a hop."""
        return math.exp(-self.hop_s / self.level_tau_s)

    @property
    def state_sizes(self):
        """Widths of the parts of the state: level (2), one a GRU layer."""
        return (2, *self.gru_sizes)

    @property
    def state_size(self):
        """Width of the state."""
        return sum(self.state_sizes)

    def to_dict(self):
        """Plain dict for a checkpoint; `VoiceSettings(**d)` restores it."""
        return asdict(self)


def running_level(magnitude, state, decay):
    """Exponential mean since the reset, of a sequence.

    Parameters
    ----------
    magnitude : Tensor, shape (B, T)
        Non-negative.
    state : Tensor, shape (B, 2)
        Decayed sum of the magnitudes and of ones, so far; zeros at reset.
    decay : float
        Factor a hop.

    Returns
    -------
    level : Tensor, shape (B, T)
        At hop t the mean of hops 0..t, weighted by ``decay ** (t - i)``.
    state : Tensor, shape (B, 2)
    """
    pairs = torch.stack([magnitude, torch.ones_like(magnitude)]) * (1.0 - decay)
    carry = state.t().unsqueeze(-1)
    sums = []
    for block in pairs.split(_BLOCK_HOPS, dim=-1):
        steps = torch.arange(block.shape[-1], device=block.device, dtype=block.dtype)
        lag = steps[None, :] - steps[:, None]
        weights = torch.where(lag >= 0, decay ** lag.clamp_min(0), torch.zeros_like(lag))
        total = block @ weights + carry * decay ** (steps + 1)
        carry = total[..., -1:]
        sums.append(total)
    sums = torch.cat(sums, dim=-1)
    return sums[0] / sums[1], sums[:, :, -1].t().contiguous()


class VoiceNet(nn.Module):
    """The detector.

    Parameters
    ----------
    settings : VoiceSettings
        Its shape.

    Attributes
    ----------
    low_precision : bool
        In training mode, multiply in bfloat16 (`training.voice.recurrent`).

    Notes
    -----
    The state is (1, B, `settings.state_size`), zeros at reset: running level and GRU states, side
    by side.
    """

    def __init__(self, settings=VoiceSettings()):
        super().__init__()
        s = self.settings = settings
        self.low_precision = False
        # Typical mean and spread of the normalised log-mel; `fit_input` measures them.
        self.register_buffer("input_mean", torch.full((s.n_mels,), -1.5))
        self.register_buffer("input_scale", torch.full((s.n_mels,), 0.5))
        width = s.n_mels + s.n_ears
        self.grus = nn.ModuleList()
        for size in s.gru_sizes:
            self.grus.append(nn.GRU(width, size, batch_first=True))
            width = size
        self.dropout = nn.Dropout(s.dropout)
        self.embed = nn.Linear(sum(s.gru_sizes), s.embedding_size)
        self.activation = nn.LeakyReLU(0.1)
        self.heads = nn.Linear(s.embedding_size, len(s.classes) + s.n_mels + len(BALLISTICS))
        for name in ("ballistics_low", "ballistics_ratio"):
            self.register_buffer(name, torch.ones(len(BALLISTICS)), persistent=False)
        self.set_bounds(s.attack_s, s.hold_s, s.release_s)
        self.speaker = nn.Linear(s.embedding_size, s.n_speakers) if s.n_speakers else None
        self.event = nn.Linear(s.embedding_size, s.n_events) if s.n_events else None
        self._initialise()

    def _initialise(self):
        for gru in self.grus:
            for name, parameter in gru.named_parameters():
                if name.startswith("weight_hh"):
                    for gate in parameter.data.chunk(3):
                        nn.init.orthogonal_(gate)
                elif name.startswith("weight_ih"):
                    for gate in parameter.data.chunk(3):
                        nn.init.xavier_uniform_(gate)
                else:
                    nn.init.zeros_(parameter)
        nn.init.zeros_(self.heads.bias)
        self.start_ballistics(attack_s=0.005, hold_s=0.1, release_s=0.1)

    def set_bounds(self, attack_s, hold_s, release_s):
        """Change the bounds of the ballistics, (low, high) in seconds each."""
        self.settings = replace(
            self.settings, attack_s=attack_s, hold_s=hold_s, release_s=release_s
        )
        bounds = torch.tensor([attack_s, hold_s, release_s])
        self.ballistics_low.copy_(bounds[:, 0])
        self.ballistics_ratio.copy_(bounds[:, 1] / bounds[:, 0])

    def start_ballistics(self, attack_s, hold_s, release_s):
        """Set the ballistics heads to constants: zero weights, biases that give these times."""
        times = torch.tensor([attack_s, hold_s, release_s])
        share = torch.log(times / self.ballistics_low) / torch.log(self.ballistics_ratio)
        share = share.clamp(1e-3, 1 - 1e-3)
        with torch.no_grad():
            self.heads.weight[-3:] = 0.0
            self.heads.bias[-3:] = torch.log(share / (1 - share))

    @torch.no_grad()
    def fit_input(self, features):
        """Measure the mean and spread of the normalised log-mel on `features` (B, T, n_mels)."""
        normalised, _ = self.normalise(features, features.new_zeros(features.shape[0], 2))
        self.input_mean.copy_(normalised.mean(dim=(0, 1)))
        self.input_scale.copy_(1.0 / normalised.std(dim=(0, 1)).clamp_min(0.1))

    def normalise(self, features, level_state):
        """Log-mel relative to the running level.

        Parameters
        ----------
        features : Tensor, shape (B, T, n_mels)
            ln(mel magnitude + offset).
        level_state : Tensor, shape (B, 2)
            Of `running_level`.

        Returns
        -------
        normalised : Tensor, shape (B, T, n_mels)
        level_state : Tensor, shape (B, 2)
        """
        s = self.settings
        with torch.no_grad():
            magnitude = features.exp().mean(dim=-1)
            level, level_state = running_level(magnitude, level_state, s.level_decay)
        normalised = features - level.log().unsqueeze(-1)
        return normalised.clamp(s.clip_low, s.clip_high), level_state

    def zero_state(self, batch_size, like=None):
        """State after a reset, (1, batch_size, state_size)."""
        like = self.input_mean if like is None else like
        return like.new_zeros(1, batch_size, self.settings.state_size)

    def forward(self, features, ears=None, state=None):
        """Run over a sequence.

        Parameters
        ----------
        features : Tensor, shape (B, T, n_mels)
            Log-mel hops.
        ears : Tensor, shape (B, T, n_ears), optional
            What the other ears said; None is silence from all.
        state : Tensor, shape (1, B, state_size), optional
            What an earlier call returned; None is a reset.

        Returns
        -------
        outputs : dict
            ``embedding`` (B, T, embedding_size), ``presence_logits`` (B, T, n_classes),
            ``key_logits`` (B, T, n_mels), ``ballistics`` (B, T, 3) in seconds, ``state``.
        """
        batch_size = features.shape[0]
        state = self.zero_state(batch_size, features) if state is None else state
        embedding, state = self.trunk(features, ears, state)
        return {"embedding": embedding, **self.read(embedding), "state": state}

    def trunk(self, features, ears=None, state=None):
        """Embedding (B, T, embedding_size) and new state of log-mel hops and ears."""
        s = self.settings
        state = self.zero_state(features.shape[0], features) if state is None else state
        parts = list(state.split(s.state_sizes, dim=-1))
        hidden, level_state = self.normalise(features, parts.pop(0)[0])
        states = [level_state.unsqueeze(0)]
        hidden = (hidden - self.input_mean) * self.input_scale
        if s.n_ears:
            ears = hidden.new_zeros(*hidden.shape[:2], s.n_ears) if ears is None else ears
            hidden = torch.cat([hidden, ears], dim=-1)
        layers = []
        for gru, gru_state in zip(self.grus, parts, strict=True):
            if self.training and self.low_precision:
                hidden, gru_state = gru_sequence(
                    gru, hidden.transpose(0, 1).contiguous(), gru_state[0]
                )
                hidden, gru_state = hidden.transpose(0, 1), gru_state.unsqueeze(0)
            else:
                hidden, gru_state = gru(hidden, gru_state.contiguous())
            states.append(gru_state)
            hidden = self.dropout(hidden)
            layers.append(hidden)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.training and self.low_precision):
            embedding = self.embed(torch.cat(layers, dim=-1)).float()
        return self.activation(embedding), torch.cat(states, dim=-1)

    def read(self, embedding):
        """Heads on an embedding: dict of presence_logits, key_logits and ballistics."""
        s = self.settings
        sizes = (len(s.classes), s.n_mels, len(BALLISTICS))
        presence, key, ballistics = self.heads(embedding).split(sizes, dim=-1)
        ballistics = self.ballistics_low * self.ballistics_ratio ** ballistics.sigmoid()
        return {"presence_logits": presence, "key_logits": key, "ballistics": ballistics}

    def count_parameters(self, shipped_only=True):
        """Number of parameters, by default of the exported part alone."""
        skip = ("speaker.", "event.") if shipped_only else ()
        return sum(p.numel() for n, p in self.named_parameters() if not n.startswith(skip))
