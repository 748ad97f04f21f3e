"""The paper's five architectures over a clip's ten embedding rows, as our own grids vary them.

Every model maps ``x`` (N, T, 128), bytes scaled to -1..1, and ``mask`` (N, T), True where a row
is real, to ``(clip, per_second)``: logits (N, n_outputs), and (N, T) or None where the model has
no output a second. With two outputs (cross-entropy) the logit of the class is their difference.
"""

import functools

import torch
from torch import nn

from gate.errors import ConfigError
from training.audioset.layers import scale_bytes
from training.audioset.paper_models import PaperConv1d, PaperConv2d
from training.audioset.related import RELATED
from training.audioset.settings import N_DIMS, N_ROWS, TITLES


class Linear(nn.Module):
    """Flattened clip, one hidden layer of `hidden` units (0 for none), output."""

    def __init__(self, hidden=256, dropout=0.0, n_outputs=1):
        super().__init__()
        width = N_ROWS * N_DIMS
        hidden_layer = [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout)] if hidden else []
        self.net = nn.Sequential(*hidden_layer, nn.Linear(hidden or width, n_outputs))

    def forward(self, x, mask):  # noqa: D102
        return self.net((x * mask[..., None]).flatten(1)), None


class Conv1d(nn.Module):
    """1-D convolutions along the flattened clip of 1,280 values.

    `active_layers` of eight are used, in order; each is a convolution with ReLU that halves the
    length. Channels go 8, 16, 32, 32, 64, 64, 64, 64; dropout and a linear layer follow the
    last active one.
    """

    CHANNELS = (8, 16, 32, 32, 64, 64, 64, 64)

    def __init__(self, active_layers=3, kernel=5, dropout=0.0, n_outputs=1):
        super().__init__()
        if not 1 <= active_layers <= len(self.CHANNELS):
            raise ConfigError(f"active_layers={active_layers} must be 1..{len(self.CHANNELS)}")
        layers, before, length = [], 1, N_ROWS * N_DIMS
        for channels in self.CHANNELS[:active_layers]:
            layers += [nn.Conv1d(before, channels, kernel, 2, kernel // 2), nn.ReLU()]
            before, length = channels, (length + 1) // 2
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(dropout))
        self.out = nn.Linear(before * length, n_outputs)

    def forward(self, x, mask):  # noqa: D102
        return self.out(self.net((x * mask[..., None]).flatten(1)[:, None])), None


class Conv2d(nn.Module):
    """Two 2-D convolutions over the (10, 128) plane, each with ReLU and pooling, then linear."""

    def __init__(self, channels=16, kernel=3, dropout=0.0, n_outputs=1):
        super().__init__()
        pad = kernel // 2
        self.net = nn.Sequential(
            nn.Conv2d(1, channels, kernel, padding=pad), nn.ReLU(), nn.MaxPool2d((1, 4)),
            nn.Conv2d(channels, 2 * channels, kernel, padding=pad), nn.ReLU(), nn.MaxPool2d((2, 4)),
            nn.Flatten(), nn.Dropout(dropout),
            nn.Linear(2 * channels * (N_ROWS // 2) * (N_DIMS // 16), n_outputs),
        ).to(memory_format=torch.channels_last)  # fmt: skip

    def forward(self, x, mask):  # noqa: D102
        plane = (x * mask[..., None])[:, None]
        return self.net(plane.contiguous(memory_format=torch.channels_last)), None


class Lstm(nn.Module):
    """LSTM over the rows; its last output goes through a linear layer.

    With `start_end_rows`, a row of bytes "-1" comes before the clip and one of "-2" after its
    last real row. Short clips end where their rows do.
    """

    def __init__(self, hidden=128, layers=1, start_end_rows=True, dropout=0.0, n_outputs=1):
        super().__init__()
        self.start_end_rows = start_end_rows
        between = dropout if layers > 1 else 0.0
        self.lstm = nn.LSTM(N_DIMS, hidden, layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, n_outputs)

    def forward(self, x, mask):  # noqa: D102
        lengths = mask.sum(1)
        clip = torch.arange(len(x), device=x.device)
        if self.start_end_rows:
            start, end = scale_bytes(torch.tensor([-1.0, -2.0]))
            edge = x.new_zeros(len(x), 1, x.shape[2])
            x = torch.cat([edge + start, x, edge], 1)
            after_last = torch.arange(x.shape[1], device=x.device) == lengths[:, None] + 1
            x = torch.where(after_last[..., None], end, x)
            lengths = lengths + 2
        hidden, _ = self.lstm(x)
        return self.out(self.dropout(hidden[clip, lengths - 1])), None


class Transformer(nn.Module):
    """Transformer encoder over the rows; mean over the real ones.

    Rows are projected to `width` and get learned positions; without a width they go in as they are.
    """

    def __init__(self, width=64, heads=4, layers=1, dropout=0.1, n_outputs=1):
        super().__init__()
        self.inp = nn.Linear(N_DIMS, width) if width else nn.Identity()
        self.position = nn.Parameter(0.02 * torch.randn(N_ROWS, width)) if width else 0.0
        width = width or N_DIMS
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.out = nn.Linear(width, n_outputs)

    def forward(self, x, mask):  # noqa: D102
        h = self.encoder(self.inp(x) + self.position, src_key_padding_mask=~mask)
        weight = mask[..., None].float()
        return self.out((h * weight).sum(1) / weight.sum(1)), None


_CLASSES = (
    Linear, Conv1d, Conv2d, Lstm, Transformer, *RELATED,
    PaperConv1d, PaperConv2d, functools.partial(Transformer, width=0),
)  # fmt: skip
ARCHITECTURES = dict(zip(TITLES, _CLASSES, strict=True))


def build(arch, options=None, n_outputs=1):
    """Make a model by its name in `TITLES`, with `options` of its class, of one output or two."""
    try:
        return ARCHITECTURES[arch](**(options or {}), n_outputs=n_outputs)
    except TypeError as error:
        raise ConfigError(f"option of arch={arch}: {error}") from None
