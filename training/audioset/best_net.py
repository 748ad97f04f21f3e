"""The best model and its teachers: layers a row, rows beside each other, a vote of the rows.

Each row goes through the same layers, then meets its neighbours in residual convolutions. A row
then decides, and a clip is the mean of its rows' decisions, weighted by attention. Or, for the
seconds, a row decides before it meets any other, because what it knows of its neighbours makes it
worse at that, and a clip is decided from its rows' features. There are no positions and no fixed
length.

The one small network that is shipped has both: its rows decide alone for their seconds, and again
with their neighbours for the clip. Its large matrices are products of two thin ones.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from training.audioset import layers
from training.audioset.layers import ByteDropout, with_neighbours
from training.audioset.settings import N_DIMS

_NORMS = {"batch": layers.RowNorm, "layer": nn.LayerNorm, "none": nn.Identity}


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
    """What a clip pools of its rows: decisions, or features; then rows decide alone."""
    rank: int = 0
    """Inner width of all matrices but the first, 0 for whole ones; if thin, rows decide alone."""
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
        self.settings, self.activation = settings, getattr(functional, settings.activation)
        self.register_buffer("input_scale", torch.ones(N_DIMS))
        norm, later, convs = _NORMS[settings.norm], range(1, settings.depth), range(settings.convs)
        self.layers = nn.ModuleList([nn.Linear(N_DIMS, width)])
        self.layers.extend(_matrix(width, width, settings.rank) for _ in later)
        self.norms = nn.ModuleList(norm(width) for _ in self.layers)
        self.convs = nn.ModuleList(_matrix(3 * width, width, settings.rank) for _ in convs)
        self.conv_norms = nn.ModuleList(norm(width) for _ in self.convs)
        self.dropout = ByteDropout(settings.dropout)
        decides_alone = settings.pool == "features" or settings.rank
        self.row = nn.Linear(width, 1) if decides_alone else None
        if settings.pool == "features":
            self.attend = nn.Linear(width, settings.heads)
            self.decide = nn.Linear(settings.heads * width, settings.n_classes)
        else:
            self.decide = nn.Linear(width, settings.n_classes)
            self.attend = nn.Linear(width, settings.n_classes)

    def alone(self, x, mask):
        """Features of each row alone, (N, T, width)."""
        h = x * self.input_scale * mask[..., None]
        for layer, norm in zip(self.layers, self.norms, strict=True):
            h = self.dropout(self.activation(norm(layer(h))))
        return h

    def forward(self, x, mask):  # noqa: D102
        h, real = self.alone(x, mask), mask[..., None]
        rows = self.row(h)[..., 0].float() if self.row else None
        h = h * real
        for conv, norm in zip(self.convs, self.conv_norms, strict=True):
            near = with_neighbours(h, mask, self.training)
            h = (h + self.dropout(self.activation(norm(conv(near))))) * real
        if self.settings.pool == "features":
            weight = self.attend(h).float().masked_fill(~real, layers.OFF).softmax(1)
            pooled = (weight.to(h.dtype).transpose(1, 2) @ h).flatten(1)
            return self.decide(self.dropout(pooled)).float(), rows
        decided = self.decide(h).float()
        clip = layers.attention_pool(torch.sigmoid(decided), self.attend(h).float(), mask)
        return layers.to_logit(clip), decided[..., 0] if rows is None else rows


def _matrix(before, after, rank):
    if not rank:
        return nn.Linear(before, after)
    return nn.Sequential(nn.Linear(before, rank, bias=False), nn.Linear(rank, after))
