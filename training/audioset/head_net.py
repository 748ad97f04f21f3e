"""The one small network that is shipped: a clip's answer and its seconds' from the same weights.

Each row goes through two layers of its own. There it decides for its second, having met no other,
because what a row knows of its neighbours makes it worse at that. For the clip, rows then meet
their neighbours in a residual convolution, decide again, and are weighted by attention. There are
no positions and no fixed length.

It does not begin at random but as a student: batch normalisation folded into the layers, and the
two large matrices as products of two thin ones, which keep the directions in which their outputs
vary most.
"""

from dataclasses import dataclass

import torch
from torch import nn

from training.audioset import layers
from training.audioset.layers import N_DIMS, neighbours, row_mask, scale_bytes, to_logit


@dataclass(frozen=True)
class HeadSettings:
    """Sizes of `HeadNet`: channels, and inner widths of the second layer and of the convolution."""

    width: int = 1024
    row_rank: int = 64
    near_rank: int = 64
    dropout: float = 0.1
    n_classes: int = 1


class HeadNet(nn.Module):
    """See the module's docstring.

    ``forward(x, mask)`` takes rows scaled to -1..1 (N, T, 128) and the mask of real rows (N, T),
    and gives float32 logits: clip (N, 1) and of each row (N, T). Each dimension is first multiplied
    by ``input_scale`` (128,).
    """

    def __init__(self, settings=HeadSettings()):
        super().__init__()
        self.settings = settings
        self.register_buffer("input_scale", torch.ones(N_DIMS))
        width = settings.width
        self.first = nn.Linear(N_DIMS, width)
        self.second = _thin(width, settings.row_rank, width)
        self.near = _thin(3 * width, settings.near_rank, width)
        self.row, self.decide, self.attend = (nn.Linear(width, 1) for _ in range(3))
        self.dropout = layers.ByteDropout(settings.dropout)

    def alone(self, x, mask):
        """Features of each row alone, (N, T, width)."""
        h = self.dropout(torch.relu(self.first(x * self.input_scale * mask[..., None])))
        return self.dropout(torch.relu(self.second(h)))

    def forward(self, x, mask):  # noqa: D102
        h = self.alone(x, mask)
        second, h = self.row(h)[..., 0], h * mask[..., None]
        before, after = neighbours(h, mask, self.training)
        h = h + self.dropout(torch.relu(self.near(torch.cat([before, h, after], -1))))
        rows = torch.sigmoid(self.decide(h).float())
        return to_logit(layers.attention_pool(rows, self.attend(h).float(), mask)), second.float()


def _thin(before, rank, after):
    return nn.Sequential(nn.Linear(before, rank, bias=False), nn.Linear(rank, after))


def _folded(layer, norm):
    """Weight and bias of a linear layer with the `RowNorm` behind it."""
    norm = norm.norm
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return layer.weight * scale[:, None], (layer.bias - norm.running_mean) * scale + norm.bias


def _fill_thin(thin, weight, bias, inputs):
    """Keep the directions of `weight`'s outputs in which they vary most on `inputs`."""
    outputs = inputs @ weight.T
    mean = outputs.mean(0)
    _, directions = torch.linalg.eigh((outputs - mean).T @ (outputs - mean))
    kept = directions[:, -thin[0].out_features :]
    thin[0].weight.copy_(kept.T @ weight)
    thin[1].weight.copy_(kept)
    thin[1].bias.copy_(bias + mean - kept @ (kept.T @ mean))


@torch.no_grad()
def begin_as(student, settings, clips, rows, n_clips=3000):
    """A head that says nearly what a student says.

    Parameters
    ----------
    student : BestNet
        Of two layers, one convolution and batch normalisation.
    settings : HeadSettings
    clips : ClipSet
        From the first `n_clips` the directions are taken.
    rows : ndarray, shape (n, 10), float32
        Probability of the target in each row, for the rows' own answer.
    n_clips : int
    """
    head = HeadNet(settings).eval()
    x = scale_bytes(torch.from_numpy(clips.embeddings[:n_clips]))
    mask = row_mask(torch.from_numpy(clips.lengths[:n_clips]))
    head.input_scale.copy_(student.input_scale)
    weight, bias = _folded(student.layers[0], student.norms[0])
    head.first.weight.copy_(weight)
    head.first.bias.copy_(bias)
    h = torch.relu(head.first(x * head.input_scale * mask[..., None]))
    _fill_thin(head.second, *_folded(student.layers[1], student.norms[1]), h[mask])
    h = head.alone(x, mask)
    # The rows' answer: least squares on logits.
    told = to_logit(torch.from_numpy(rows[:n_clips])[mask].clamp(0.002, 0.998))
    features = torch.cat([h[mask], torch.ones(len(told), 1)], 1)
    gram = features.T @ features
    gram.diagonal().add_(1e-3 * gram.diagonal().mean())
    answer = torch.linalg.solve(gram, features.T @ told)
    head.row.weight.copy_(answer[None, :-1])
    head.row.bias.copy_(answer[-1:])
    h = h * mask[..., None]
    before, after = neighbours(h, mask, False)
    near = torch.cat([before, h, after], -1)[mask]
    _fill_thin(head.near, *_folded(student.convs[0], student.conv_norms[0]), near)
    for name in ("decide", "attend"):
        mine, theirs = getattr(head, name), getattr(student, name)
        mine.weight.copy_(theirs.weight[:1])
        mine.bias.copy_(theirs.bias[:1])
    return head
