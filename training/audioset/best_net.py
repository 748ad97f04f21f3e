"""The networks of the best model: a row-wise trunk, evidence a row, attention pooling.

The evidence of a row is read *before* anything mixes rows, so it can only tell what that second
holds. For the clip, rows may attend to each other (`blocks`) and are pooled by attention. There
are no learned positions and no fixed length: one row, ten or an hour go through the same weights.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

N_DIMS = 128
_OFF = -1e4


@dataclass(frozen=True)
class BestNetSettings:
    """Sizes of `BestNet`.

    Attributes
    ----------
    width : int
        Channels of the row-wise trunk.
    blocks : int
        Attention blocks between rows, for the clip only; 0 for none.
    conv : bool
        A residual convolution over neighbouring rows before them, for the clip only.
    heads : int
        Of the attention blocks, and of the pooling.
    dropout : float
    n_classes : int
        Classes a clip; the first is the target, the rest only help in training.
    """

    width: int = 256
    blocks: int = 0
    conv: bool = False
    heads: int = 4
    dropout: float = 0.4
    n_classes: int = 527


class RowAttention(nn.Module):
    """One pre-norm transformer block over the rows."""

    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 2 * width)
        self.narrow = nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h, bias):
        """Shapes (N, T, width) and (N, 1, 1, T); bias is large and negative on padding."""
        n, rows, width = h.shape
        qkv = self.qkv(self.norm_attention(h)).reshape(n, rows, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        weight = query @ key.transpose(-1, -2) * (width // self.heads) ** -0.5
        weight = (weight + bias).softmax(-1)
        mixed = (weight.to(value.dtype) @ value).transpose(1, 2).reshape(n, rows, width)
        h = h + self.dropout(self.join(mixed))
        return h + self.dropout(self.narrow(functional.gelu(self.widen(self.norm_mlp(h)))))


class BestNet(nn.Module):
    """See the module's docstring.

    ``forward(x, mask)`` takes rows scaled to -1..1 (N, T, 128) and the mask of real rows (N, T),
    and gives float32 logits: clip (N, n_classes) and the target's, a row, (N, T).
    """

    def __init__(self, settings=BestNetSettings()):
        super().__init__()
        width = settings.width
        self.settings = settings
        self.inp = nn.Linear(N_DIMS, width)
        self.norm_in = nn.LayerNorm(width)
        self.hidden = nn.Linear(width, width)
        self.norm_hidden = nn.LayerNorm(width)
        self.row = nn.Linear(width, 1)
        if settings.conv:
            self.local = nn.Linear(3 * width, width)
            self.norm_local = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(
            RowAttention(width, settings.heads, settings.dropout / 2)
            for _ in range(settings.blocks)
        )
        self.norm_out = nn.LayerNorm(width)
        self.attend = nn.Linear(width, settings.heads)
        self.clip = nn.Linear(settings.heads * width, settings.n_classes)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, x, mask):  # noqa: D102
        real = mask[..., None]
        h = self.dropout(functional.gelu(self.norm_in(self.inp(x))))
        h = self.dropout(functional.gelu(self.norm_hidden(self.hidden(h)))) * real
        rows = self.row(h)[..., 0]
        if self.settings.conv:
            padded = functional.pad(h, (0, 0, 1, 1))
            near = torch.cat([padded[:, :-2], h, padded[:, 2:]], -1)
            h = (h + self.dropout(functional.gelu(self.norm_local(self.local(near))))) * real
        bias = (~mask).float()[:, None, None] * _OFF
        for block in self.blocks:
            h = block(h, bias)
        if self.settings.blocks:
            h = self.norm_out(h)
        weight = self.attend(h).float().masked_fill(~real, _OFF).softmax(1)
        pooled = (weight.to(h.dtype).transpose(1, 2) @ h).flatten(1)
        return self.clip(self.dropout(pooled)).float(), rows.float()
