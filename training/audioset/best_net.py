"""The networks of the best model: layers a row, rows beside each other, a vote of the rows.

Each row goes through the same layers, then meets its neighbours in residual convolutions and,
where asked for, all others in attention blocks. A row then decides for itself; a clip is the mean
of its rows' decisions, weighted by attention. Or, for the seconds, a row decides before it meets
any other, and a clip is decided from its rows' features. There are no positions and no fixed
length: one row, ten or an hour go through the same weights.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from training.audioset.related import attention_pool, to_logit

N_DIMS = 128
_OFF = -1e4
_ACTIVATIONS = {"relu": functional.relu, "gelu": functional.gelu}


@dataclass(frozen=True)
class BestNetSettings:
    """Sizes of `BestNet`.

    Attributes
    ----------
    width : int
        Channels of every layer.
    depth : int
        Layers before rows meet.
    convs : int
        Residual convolutions over three neighbouring rows.
    blocks : int
        Attention blocks between all rows.
    heads : int
        Of an attention block, and of the pooling of features.
    dropout : float
    norm : str
        "batch" or "layer".
    activation : str
        "relu" or "gelu".
    pool : str
        What a clip pools: its rows' "decisions", or their "features"; then rows decide first.
    n_classes : int
        Classes a clip; the first is the target, the rest only help in training.
    """

    width: int = 512
    depth: int = 2
    convs: int = 1
    blocks: int = 0
    heads: int = 4
    dropout: float = 0.4
    norm: str = "batch"
    activation: str = "relu"
    pool: str = "decisions"
    n_classes: int = 527


class ByteDropout(nn.Module):
    """Dropout that draws one byte a value: ten times as fast on a CPU as `torch.nn.Dropout`.

    The rate is rounded to 1/256.
    """

    def __init__(self, rate):
        super().__init__()
        self.threshold = round(256 * rate)

    def forward(self, x):  # noqa: D102
        if not self.training or not self.threshold:
            return x
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        keep = words.view(torch.uint8)[: x.numel()].view(x.shape) >= self.threshold
        return x * keep.to(x.dtype).mul_(256 / (256 - self.threshold))


class RowNorm(nn.Module):
    """Batch normalisation over all rows of all clips, (N, T, width)."""

    def __init__(self, width):
        super().__init__()
        self.norm = nn.BatchNorm1d(width)

    def forward(self, h):  # noqa: D102
        if self.training:
            return self.norm(h.flatten(0, 1)).unflatten(0, h.shape[:2])
        # Nothing but a scale and a shift, in any shape.
        scale = self.norm.weight * (self.norm.running_var + self.norm.eps).rsqrt()
        return h * scale + (self.norm.bias - self.norm.running_mean * scale)


_NORMS = {"batch": RowNorm, "layer": nn.LayerNorm}


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
        self.dropout = ByteDropout(dropout)

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
    and gives float32 logits: clip (N, n_classes) and the target's, a row, (N, T). Each dimension is
    first multiplied by ``input_scale`` (128,): ones, or what `persistence_scale` says.
    """

    def __init__(self, settings=BestNetSettings()):
        super().__init__()
        width, dropout = settings.width, settings.dropout
        self.settings, self.activation = settings, _ACTIVATIONS[settings.activation]
        self.register_buffer("input_scale", torch.ones(N_DIMS))
        norm = _NORMS[settings.norm]
        sizes = [N_DIMS] + [width] * settings.depth
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes))
        self.norms = nn.ModuleList(norm(width) for _ in self.layers)
        self.convs = nn.ModuleList(nn.Linear(3 * width, width) for _ in range(settings.convs))
        self.conv_norms = nn.ModuleList(norm(width) for _ in self.convs)
        self.blocks = nn.ModuleList(
            RowAttention(width, settings.heads, dropout / 2) for _ in range(settings.blocks)
        )
        self.norm_out = nn.LayerNorm(width) if settings.blocks else nn.Identity()
        self.dropout = ByteDropout(dropout)
        if settings.pool == "features":
            self.row = nn.Linear(width, 1)
            self.attend = nn.Linear(width, settings.heads)
            self.decide = nn.Linear(settings.heads * width, settings.n_classes)
        else:
            self.decide = nn.Linear(width, settings.n_classes)
            self.attend = nn.Linear(width, settings.n_classes)

    @torch.no_grad()
    def drop_other_classes(self):
        """Drop the outputs that only helped in training."""
        layers = [self.decide] if self.settings.pool == "features" else [self.decide, self.attend]
        for layer in layers:
            layer.weight = nn.Parameter(layer.weight[:1].clone())
            layer.bias = nn.Parameter(layer.bias[:1].clone())

    @torch.no_grad()
    def round_matrices(self):
        """Round matrices to a byte a weight."""
        for parameter in self.parameters():
            if parameter.ndim == 2:
                scale = parameter.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127
                parameter.copy_((parameter / scale).round() * scale)

    def neighbours(self, h, mask):
        """Each row between its neighbours, (N, T, 3 * width).

        In training there are zeros beyond a clip's ends. In use the end rows stand there again:
        else the first and the last second would come out likelier than the rest.
        """
        before, after = h[:, :1], h[:, -1:]
        if self.training:
            before, after = torch.zeros_like(before), torch.zeros_like(after)
        before = torch.cat([before, h[:, :-1]], 1)
        after = torch.cat([h[:, 1:], after], 1)
        if not self.training:
            goes_on = torch.cat([mask[:, 1:], mask[:, -1:]], 1)
            after = torch.where(goes_on[..., None], after, h)
        return torch.cat([before, h, after], -1)

    def forward(self, x, mask):  # noqa: D102
        real = mask[..., None]
        h = x * self.input_scale * real
        for layer, norm in zip(self.layers, self.norms, strict=True):
            h = self.dropout(self.activation(norm(layer(h))))
        h, alone = h * real, h
        for conv, norm in zip(self.convs, self.conv_norms, strict=True):
            near = self.neighbours(h, mask)
            h = (h + self.dropout(self.activation(norm(conv(near))))) * real
        bias = (~mask).float()[:, None, None] * _OFF
        for block in self.blocks:
            h = block(h, bias)
        h = self.norm_out(h)
        if self.settings.pool == "features":
            weight = self.attend(h).float().masked_fill(~real, _OFF).softmax(1)
            pooled = (weight.to(h.dtype).transpose(1, 2) @ h).flatten(1)
            return self.decide(self.dropout(pooled)).float(), self.row(alone)[..., 0].float()
        rows = self.decide(h).float()
        clip = to_logit(attention_pool(torch.sigmoid(rows), self.attend(h).float(), mask))
        return clip, rows[..., 0]
