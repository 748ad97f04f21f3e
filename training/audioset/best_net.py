"""The teachers of the best model: layers a row, rows beside each other, a vote of the rows.

Each row goes through the same layers, then meets its neighbours in residual convolutions. A row
then decides for itself; a clip is the mean of its rows' decisions, weighted by attention. Or, for
the seconds, a row decides before it meets any other, and a clip is decided from its rows' features.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from training.audioset import layers
from training.audioset.layers import N_DIMS, ByteDropout, neighbours

_ACTIVATIONS = {"relu": functional.relu, "gelu": functional.gelu}
_NORMS = {"batch": layers.RowNorm, "layer": nn.LayerNorm}


@dataclass(frozen=True)
class BestNetSettings:
    """Sizes of `BestNet`: `depth` layers before rows meet, `convs` residual convolutions after."""

    width: int = 512
    depth: int = 2
    convs: int = 1
    heads: int = 4
    """Of the pooling of features."""
    dropout: float = 0.4
    norm: str = "batch"
    activation: str = "relu"
    pool: str = "decisions"
    """What a clip pools of its rows: decisions, or features; then rows decide first."""
    n_classes: int = 527
    """The first is the target, the rest only help in training."""


class BestNet(nn.Module):
    """See the module's docstring.

    ``forward(x, mask)`` takes rows scaled to -1..1 (N, T, 128) and the mask of real rows (N, T),
    and gives float32 logits: clip (N, n_classes) and the target's, a row, (N, T). Each dimension is
    first multiplied by ``input_scale`` (128,): ones, or what `persistence_scale` says.
    """

    def __init__(self, settings=BestNetSettings()):
        super().__init__()
        width = settings.width
        self.settings, self.activation = settings, _ACTIVATIONS[settings.activation]
        self.register_buffer("input_scale", torch.ones(N_DIMS))
        norm = _NORMS[settings.norm]
        sizes = [N_DIMS] + [width] * settings.depth
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes))
        self.norms = nn.ModuleList(norm(width) for _ in self.layers)
        self.convs = nn.ModuleList(nn.Linear(3 * width, width) for _ in range(settings.convs))
        self.conv_norms = nn.ModuleList(norm(width) for _ in self.convs)
        self.dropout = ByteDropout(settings.dropout)
        if settings.pool == "features":
            self.row = nn.Linear(width, 1)
            self.attend = nn.Linear(width, settings.heads)
            self.decide = nn.Linear(settings.heads * width, settings.n_classes)
        else:
            self.decide = nn.Linear(width, settings.n_classes)
            self.attend = nn.Linear(width, settings.n_classes)

    def forward(self, x, mask):  # noqa: D102
        real = mask[..., None]
        h = x * self.input_scale * real
        for layer, norm in zip(self.layers, self.norms, strict=True):
            h = self.dropout(self.activation(norm(layer(h))))
        h, alone = h * real, h
        for conv, norm in zip(self.convs, self.conv_norms, strict=True):
            before, after = neighbours(h, mask, self.training)
            near = torch.cat([before, h, after], -1)
            h = (h + self.dropout(self.activation(norm(conv(near))))) * real
        if self.settings.pool == "features":
            weight = self.attend(h).float().masked_fill(~real, layers.OFF).softmax(1)
            pooled = (weight.to(h.dtype).transpose(1, 2) @ h).flatten(1)
            return self.decide(self.dropout(pooled)).float(), self.row(alone)[..., 0].float()
        rows = self.decide(h).float()
        clip = layers.attention_pool(torch.sigmoid(rows), self.attend(h).float(), mask)
        return layers.to_logit(clip), rows[..., 0]
