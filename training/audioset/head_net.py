"""How the small network begins: not at random but as a student.

Batch normalisation is folded into the layers, and each large matrix becomes a product of two thin
ones, which keep the directions in which its outputs vary most.
"""

import torch

from training.audioset.best_net import BestNet
from training.audioset.layers import row_mask, scale_bytes, to_logit, with_neighbours


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
def begin_as(student, settings, clips, rows):
    """A head that says nearly what a student says.

    Parameters
    ----------
    student : BestNet
        Of two layers, one convolution and batch normalisation.
    settings : BestNetSettings
        Of the same width, its matrices thin and without normalisation.
    clips : ClipSet
        The directions are those of its rows.
    rows : ndarray, shape (n, 10), float32
        Probability of the target in each row, for the rows' own answer.
    """
    head = BestNet(settings).eval()
    x = scale_bytes(torch.from_numpy(clips.embeddings))
    mask = row_mask(torch.from_numpy(clips.lengths))
    head.input_scale.copy_(student.input_scale)
    weight, bias = _folded(student.layers[0], student.norms[0])
    head.layers[0].weight.copy_(weight)
    head.layers[0].bias.copy_(bias)
    h = torch.relu(head.layers[0](x * head.input_scale * mask[..., None]))
    _fill_thin(head.layers[1], *_folded(student.layers[1], student.norms[1]), h[mask])
    h = head.alone(x, mask)
    # The rows' answer: least squares on logits.
    told = to_logit(torch.from_numpy(rows)[mask].clamp(0.002, 0.998))
    features = torch.cat([h[mask], torch.ones(len(told), 1)], 1)
    gram = features.T @ features
    gram.diagonal().add_(1e-3 * gram.diagonal().mean())
    answer = torch.linalg.solve(gram, features.T @ told)
    head.row.weight.copy_(answer[None, :-1])
    head.row.bias.copy_(answer[-1:])
    h = h * mask[..., None]
    near = with_neighbours(h, mask, False)[mask]
    _fill_thin(head.convs[0], *_folded(student.convs[0], student.conv_norms[0]), near)
    for name in ("decide", "attend"):
        mine, theirs = getattr(head, name), getattr(student, name)
        mine.weight.copy_(theirs.weight[:1])
        mine.bias.copy_(theirs.bias[:1])
    return head
