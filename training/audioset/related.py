"""Models of the related work, over the same rows and with the same interface as the paper's.

All but the VGG-like plane give an output a second as well; shapes: `training.audioset.models`.
"""

from itertools import pairwise

import torch
from torch import nn

from training.audioset.layers import attention_pool, class_logit, pool_linear_softmax, to_logit
from training.audioset.settings import N_DIMS


class VggPlane(nn.Module):
    """VGG-like CNN over the (time, 128) plane: 3 x 3 convolutions, pooling along the 128.

    One convolution, then twice a pair of twice the channels, each group followed by a pooling
    by four; then mean and max over the real rows.
    """

    def __init__(self, channels=8, dropout=0.3, n_outputs=1):
        super().__init__()
        blocks, before = [], 1
        for width, depth in ((channels, 1), (2 * channels, 2), (4 * channels, 2)):
            for _ in range(depth):
                blocks += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
                before = width
            blocks.append(nn.MaxPool2d((1, 4)))
        # Channels last: about twice as fast on a CPU.
        self.net = nn.Sequential(*blocks).to(memory_format=torch.channels_last)
        self.out = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(2 * 4 * channels * 2, 128), nn.ReLU(),
            nn.Dropout(dropout), nn.Linear(128, n_outputs),
        )  # fmt: skip

    def forward(self, x, mask):  # noqa: D102
        plane = (x * mask[..., None])[:, None].contiguous(memory_format=torch.channels_last)
        h = self.net(plane).permute(0, 2, 1, 3).flatten(2)
        real = mask[..., None]
        mean = (h * real).sum(1) / real.sum(1)
        peak = h.masked_fill(~real, -1e4).amax(1)
        return self.out(torch.cat([mean, peak], 1)), None


class GatedConvAttention(nn.Module):
    """Gated linear convolutions over time, then attention over the rows' own decisions."""

    def __init__(self, width=128, layers=2, dropout=0.3, n_outputs=1):
        super().__init__()
        sizes = [N_DIMS] + [width] * layers
        self.convs = nn.ModuleList(nn.Conv1d(a, 2 * b, 3, padding=1) for a, b in pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm1d(2 * width) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)
        self.decide = nn.Linear(width, n_outputs)
        self.attend = nn.Linear(width, n_outputs)

    def forward(self, x, mask):  # noqa: D102
        h = x.transpose(1, 2)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            h = self.dropout(nn.functional.glu(norm(conv(h * mask[:, None])), dim=1))
        h = h.transpose(1, 2)
        rows = self.decide(h)
        return attention_pool(rows, self.attend(h), mask), class_logit(rows)


class BiLstmSegmenter(nn.Module):
    """Bidirectional LSTM with a decision a second; the clip is their linear-softmax pooling.

    Trained by the clip's label alone, it has to find the seconds by itself. Padding rows only
    follow the real ones, are zeroed, and carry no weight in the pooling.
    """

    def __init__(self, hidden=64, layers=1, dropout=0.3, n_outputs=1):
        super().__init__()
        self.lstm = nn.LSTM(N_DIMS, hidden, layers, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(2 * hidden, 1)
        self.n_outputs = n_outputs

    def forward(self, x, mask):  # noqa: D102
        h, _ = self.lstm(x * mask[..., None])
        rows = self.out(self.dropout(h))
        clip = to_logit(pool_linear_softmax(torch.sigmoid(rows), mask))
        if self.n_outputs == 2:
            clip = torch.cat([-clip / 2, clip / 2], 1)
        return clip, rows[..., 0]


class MultiLevelAttention(nn.Module):
    """Attention pooling after each of several stacked layers, their results joined."""

    def __init__(self, width=128, levels=3, dropout=0.4, n_outputs=1):
        super().__init__()
        self.inp = nn.Sequential(nn.Linear(N_DIMS, width), nn.LayerNorm(width), nn.ReLU())
        layer = (nn.Dropout, dropout), (nn.Linear, width, width), (nn.LayerNorm, width), (nn.ReLU,)
        self.layers = nn.ModuleList(
            nn.Sequential(*(kind(*sizes) for kind, *sizes in layer)) for _ in range(levels)
        )
        self.decide = nn.ModuleList(nn.Linear(width, 32) for _ in range(levels))
        self.attend = nn.ModuleList(nn.Linear(width, 32) for _ in range(levels))
        self.out = nn.Linear(32 * levels, n_outputs)

    def forward(self, x, mask):  # noqa: D102
        h, pooled, rows = self.inp(x), [], []
        for layer, decide, attend in zip(self.layers, self.decide, self.attend, strict=True):
            h = layer(h)
            decided = torch.sigmoid(decide(h))
            rows.append(decided)
            pooled.append(attention_pool(decided, attend(h), mask))
        return self.out(torch.cat(pooled, 1)), class_logit(self.out(torch.cat(rows, -1)))


RELATED = (VggPlane, GatedConvAttention, BiLstmSegmenter, MultiLevelAttention)
