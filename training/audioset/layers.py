"""What several networks over a clip's rows are made of."""

import torch
from torch import nn

from training.audioset.settings import N_ROWS

OFF = -1e4


def scale_bytes(embeddings):
    """Bytes 0..255 to floats -1..1; a row of -1 or -2 comes out just below -1."""
    return embeddings.float() / 127.5 - 1.0


def row_mask(lengths):
    """Which rows are real, shape (n, N_ROWS), bool tensor."""
    return torch.arange(N_ROWS) < lengths[:, None]


def attention_pool(values, scores, mask):
    """Mean of `values` (N, T, C) over real rows, weighted by softmax of `scores` (N, T, C)."""
    weight = scores.masked_fill(~mask[..., None], OFF).softmax(1)
    return (values * weight).sum(1)


def pool_linear_softmax(probability, mask):
    """Linear-softmax pooling: rows vote with their own probability, (N, T, C) to (N, C)."""
    p = probability * mask[..., None]
    return (p * p).sum(1) / p.sum(1).clamp_min(1e-6)


def to_logit(probability):
    """Logit, kept finite."""
    return torch.logit(probability.clamp(1e-6, 1 - 1e-6))


def class_logit(outputs):
    """Logit of the class from a model's outputs (..., 1 or 2): of two their difference."""
    return outputs[..., 1] - outputs[..., 0] if outputs.shape[-1] == 2 else outputs[..., 0]


class ByteDropout(nn.Module):
    """Dropout of a rate in 1/256, a byte a value: ten times as fast on a CPU as torch's."""

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


def with_neighbours(h, mask, training):
    """The row before, the row and the row after each row of (N, T, width): (N, T, 3 * width).

    In training there are zeros beyond a clip's ends. In use the end rows stand there again: else
    the first and the last second would come out likelier than the rest.
    """
    before, after = h[:, :1], h[:, -1:]
    if training:
        before, after = torch.zeros_like(before), torch.zeros_like(after)
    before = torch.cat([before, h[:, :-1]], 1)
    after = torch.cat([h[:, 1:], after], 1)
    if not training:
        goes_on = torch.cat([mask[:, 1:], mask[:, -1:]], 1)
        after = torch.where(goes_on[..., None], after, h)
    return torch.cat([before, h, after], -1)


@torch.no_grad()
def round_to_bytes(module):
    """Round every matrix of a network to a byte a weight, times a scale an output."""
    for parameter in module.parameters():
        if parameter.ndim == 2:
            scale = parameter.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127
            parameter.copy_((parameter / scale).round() * scale)
