"""The one small network that is shipped: a clip's answer and its seconds' from the same weights.

Each row goes through layers of its own. There a row decides for its second, having met no other,
because what a row knows of its neighbours makes it worse at that. For the clip, rows then meet
their neighbours in residual convolutions, decide again, and are weighted by attention. There are
no positions and no fixed length.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from training.audioset.layers import (
    N_DIMS,
    ByteDropout,
    RowNorm,
    attention_pool,
    neighbours,
    round_to_bytes,
    to_logit,
)


@dataclass(frozen=True)
class HeadSettings:
    """Sizes of `HeadNet`.

    Attributes
    ----------
    width : int
        Channels of every layer.
    depth : int
        Layers before a row decides for its second.
    convs : int
        Residual convolutions over three neighbouring rows, each a tap a channel and then a matrix:
        a third of the weights of a whole one.
    dropout : float
    n_classes : int
        Classes a clip; the first is the target, the rest only help in training.
    """

    width: int = 768
    depth: int = 2
    convs: int = 1
    dropout: float = 0.3
    n_classes: int = 527


class HeadNet(nn.Module):
    """See the module's docstring.

    ``forward(x, mask)`` takes rows scaled to -1..1 (N, T, 128) and the mask of real rows (N, T),
    and gives float32 logits: clip (N, n_classes) and the target's, a row, (N, T). Each dimension is
    first multiplied by ``input_scale`` (128,).
    """

    def __init__(self, settings=HeadSettings()):
        super().__init__()
        width = settings.width
        self.settings = settings
        self.register_buffer("input_scale", torch.ones(N_DIMS))
        sizes = [N_DIMS] + [width] * settings.depth
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes))
        self.norms = nn.ModuleList(RowNorm(width) for _ in self.layers)
        self.row = nn.Linear(width, 1)
        taps = torch.full((settings.convs, 3, width), 1 / 3)
        self.taps = nn.Parameter(taps + 0.2 * torch.randn(taps.shape))
        self.convs = nn.ModuleList(nn.Linear(width, width) for _ in range(settings.convs))
        self.conv_norms = nn.ModuleList(RowNorm(width) for _ in self.convs)
        self.dropout = ByteDropout(settings.dropout)
        self.decide = nn.Linear(width, settings.n_classes)
        # One weight a row for the target, one for all other classes.
        self.attend = nn.Linear(width, min(settings.n_classes, 2))

    @torch.no_grad()
    def slim(self):
        """Drop the outputs that only helped in training and round matrices to a byte a weight."""
        for layer in (self.decide, self.attend):
            layer.weight = nn.Parameter(layer.weight[:1].clone())
            layer.bias = nn.Parameter(layer.bias[:1].clone())
        round_to_bytes(self)

    def forward(self, x, mask):  # noqa: D102
        real = mask[..., None]
        h = x * self.input_scale * real
        for layer, norm in zip(self.layers, self.norms, strict=True):
            h = self.dropout(torch.relu(norm(layer(h))))
        second, h = self.row(h)[..., 0], h * real
        for taps, conv, norm in zip(self.taps, self.convs, self.conv_norms, strict=True):
            before, after = neighbours(h, mask, self.training)
            near = before * taps[0] + h * taps[1] + after * taps[2]
            h = (h + self.dropout(torch.relu(norm(conv(near))))) * real
        rows, weight = torch.sigmoid(self.decide(h).float()), self.attend(h).float()
        if weight.shape[-1] == 2:
            weight = torch.cat([weight[..., :1], weight[..., 1:].expand_as(rows[..., 1:])], -1)
        return to_logit(attention_pool(rows, weight, mask)), second.float()
