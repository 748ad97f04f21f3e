"""The one training loop of everything here that learns from arrays, and the one that asks."""

import copy
import math

import torch

from training.audioset.layers import class_logit, row_mask, scale_bytes


def train_epochs(model, batches, loss_of, optimiser, epochs, *, schedule=None, clip_norm=None,
                 average=0.0, after_epoch=None, patience=math.inf):  # fmt: skip
    """Train a model in place.

    Parameters
    ----------
    model, optimiser, epochs
        What, how, how long.
    batches, loss_of : callable
        Gives the index tensors of one epoch, anew each time; of one of these, the batch's loss.
    schedule : torch.optim.lr_scheduler.LRScheduler or None
        Moved on after each step.
    clip_norm : float or None
        Largest norm of the gradient.
    average : float
        Decay of the weight average, a step; the average is what the model ends with. 0 for none.
    after_epoch : callable or None
        Called with ``(epoch, mean loss of a clip)``, answers how bad the model is on other clips.
        It ends as it was when it was best.
    patience : int
        Stop after so many epochs that were not the best.

    Returns
    -------
    best : int
        The epoch it is from.
    """
    parameters = list(model.parameters())
    averaged = [p.detach().clone() for p in parameters] if average else []
    best, lowest, state = 0, math.inf, None
    for epoch in range(epochs):
        model.train()
        total = n_clips = 0
        for index in batches():
            loss = loss_of(index)
            optimiser.zero_grad()
            loss.backward()
            if clip_norm:
                torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
            optimiser.step()
            if schedule:
                schedule.step()
            if averaged:
                with torch.no_grad():
                    torch._foreach_lerp_(averaged, parameters, 1 - average)
            total += loss.item() * len(index)
            n_clips += len(index)
        if after_epoch:
            badness = after_epoch(epoch, total / max(n_clips, 1))
            if state is None or badness < lowest:
                best, lowest, state = epoch, badness, copy.deepcopy(model.state_dict())
            if epoch - best >= patience:
                break
    if state:
        model.load_state_dict(state)
    with torch.no_grad():
        for parameter, value in zip(parameters, averaged, strict=bool(averaged)):
            parameter.copy_(value)
    return best


@torch.no_grad()
def logits(net, embeddings, lengths, batch_size=1024):
    """Everything a network says of clips: (n, n_outputs), and of rows (n, 10) or None."""
    net.eval()
    answers = []
    for i in range(0, len(lengths), batch_size):
        x = scale_bytes(torch.from_numpy(embeddings[i : i + batch_size]))
        answers.append(net(x, row_mask(torch.from_numpy(lengths[i : i + batch_size]))))
    clips, rows = zip(*answers, strict=True)
    return torch.cat(clips), None if rows[0] is None else torch.cat(rows)


def predict(net, embeddings, lengths):
    """Probabilities of the class: clip (n,), and rows (n, 10) or None where there is no output."""
    clip, rows = logits(net, embeddings, lengths)
    clip = torch.sigmoid(class_logit(clip)).numpy()
    return clip, None if rows is None else torch.sigmoid(rows).numpy()
