"""The paper's own networks, layer by layer; interface as in `training.audioset.models`.

The linear model, the LSTM and the transformer are `Linear`, `Lstm` and `Transformer` there. What
the paper leaves open is filled in the plainest way: no padding, 8 and 16 channels before the last
convolution's 128, 128 hidden units, two-dimensional pooling by 2, one transformer layer of 4 heads.
"""

import torch
from torch import nn

from gate.errors import ConfigError
from training.audioset.layers import ByteDropout
from training.audioset.settings import N_DIMS, N_ROWS


class _Convolve(nn.Module):
    """1-D convolution over (N, length, channels): a product of matrices, faster on a CPU."""

    def __init__(self, before, after, kernel):
        super().__init__()
        self.kernel, self.dense = kernel, nn.Linear(before * kernel, after)

    def forward(self, h):
        n = h.shape[1] - self.kernel + 1
        return self.dense(torch.cat([h[:, k : k + n] for k in range(self.kernel)], -1))


class _HalveLength(nn.Module):
    def forward(self, h):
        return h[:, : h.shape[1] // 2 * 2].unflatten(1, (-1, 2)).amax(2)


class PaperConv1d(nn.Module):
    """Convolution, ReLU, convolution, dropout, pooling, convolution, dropout, linear.

    The first `active_layers` of the eight are there. One output needs a linear layer in any case:
    so seven and eight layers are the same network.
    """

    CHANNELS = (8, 16, 128)

    def __init__(self, active_layers=8, kernel=3, dropout=0.2, n_outputs=1):
        super().__init__()
        if not 1 <= active_layers <= 8:
            raise ConfigError(f"active_layers={active_layers} must be 1..8")
        first, second, last = self.CHANNELS
        layers = [
            _Convolve(1, first, kernel), nn.ReLU(), _Convolve(first, second, kernel),
            ByteDropout(dropout), _HalveLength(), _Convolve(second, last, kernel),
            ByteDropout(dropout),
        ]  # fmt: skip
        self.net = nn.Sequential(*layers[:active_layers])
        with torch.no_grad():
            width = self.net(torch.zeros(1, N_ROWS * N_DIMS, 1)).numel()
        self.out = nn.Linear(width, n_outputs)

    def forward(self, x, mask):  # noqa: D102
        clip = (x * mask[..., None]).flatten(1)[..., None]
        # The last convolution has 82,000 values a clip: half the time in half the bits.
        with torch.autocast("cpu", torch.bfloat16):
            h = self.net(clip).flatten(1)
        return self.out(h.float()), None


class PaperConv2d(nn.Module):
    """Convolutions on the (10, 128) plane: three, ReLU after the first, pooling after the second.

    Then flattened, batch normalisation, linear, dropout, linear.
    """

    def __init__(self, channels=4, kernel=2, dropout=0.2, hidden=128, n_outputs=1):
        super().__init__()
        planes = nn.Sequential(
            nn.Conv2d(1, channels, kernel), nn.ReLU(), nn.Conv2d(channels, channels, kernel),
            nn.MaxPool2d(2), nn.Conv2d(channels, channels, kernel), nn.Flatten(),
        )  # fmt: skip
        with torch.no_grad():
            width = planes(torch.zeros(1, 1, N_ROWS, N_DIMS)).numel()
        self.net = nn.Sequential(
            planes, nn.BatchNorm1d(width), nn.Linear(width, hidden),
            nn.Dropout(dropout), nn.Linear(hidden, n_outputs),
        )  # fmt: skip

    def forward(self, x, mask):  # noqa: D102
        return self.net((x * mask[..., None])[:, None]), None
