"""The losses of the voice detector: presence, key, speaker and event."""

import torch
from torch.nn import functional as F

_KEY_FLOOR = 1e-13
_LINGERS = 20  # hops after a word in which a teacher still hears it
_LABEL_STRIDE = 16  # of the speaker and event losses: neighbours say the same


def presence_loss(logits, classes, weight, settings, speech=None):
    """Weighted cross entropy of all classes; confident false alarms cost more.

    Parameters
    ----------
    logits, classes, weight : Tensor, shape (B, T, n_classes)
    settings : TrainSettings
    speech : Tensor, shape (B, T), optional
        Softened labels of speech.

    Returns
    -------
    loss : Tensor, shape (n_classes,)
    speech_weight : Tensor, shape (B, T)
    """
    target = classes
    if speech is not None:
        target = torch.cat([speech.unsqueeze(-1), classes[..., 1:]], dim=-1)
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    speechless = (classes[..., 0].amax(dim=1, keepdim=True) < 0.5).float()
    with torch.no_grad():
        false_alarm = torch.sigmoid(logits[..., 0]) * (1.0 - classes[..., 0])
        extra = 1.0 + speechless * (settings.unwanted_weight - 1.0)
        extra = extra + speechless * settings.confident_weight * false_alarm
        speech_weight = weight[..., 0] * extra
    weight = torch.cat([speech_weight.unsqueeze(-1), weight[..., 1:]], dim=-1)
    return (loss * weight).sum(dim=(0, 1)) / weight.sum(dim=(0, 1)).clamp_min(1.0), speech_weight


def soft_speech(classes, teacher, share):
    """Labels of speech, softened by a teacher where somebody speaks in an item.

    Parameters
    ----------
    classes : Tensor, shape (B, T, n_classes)
    teacher : Tensor, shape (B, T)
        Probability of speech (`training.voice.teachers`).
    share : float
        Of the teacher in the label, 0..1.

    Returns
    -------
    Tensor, shape (B, T)
        Without the teacher in items without speech, whose labels are sure, and for 200 ms after
        a word, where it lingers.
    """
    speech = classes[..., 0]
    spoken = F.pad(speech, (_LINGERS, 0)).unsqueeze(1)
    lately = F.max_pool1d(spoken, _LINGERS + 1, stride=1).squeeze(1) > 0.5
    asked = (speech.amax(dim=1, keepdim=True) > 0.5) & ((speech > 0.5) | ~lately)
    return torch.where(asked, torch.lerp(speech, teacher, share), speech)


def evidence(logits, open_cost, shut_cost):
    """Evidence of a two-state machine over presence logits (`gate.decision`), differentiable.

    Parameters
    ----------
    logits : Tensor, shape (B, T)
    open_cost, shut_cost : float
        Costs of a change of state, nats.

    Returns
    -------
    Tensor, shape (B, T)
    """
    now = torch.full_like(logits[:, 0], -open_cost)
    hops = []
    for logit in logits.clamp(-12.0, 12.0).unbind(1):
        now = now.clamp(-open_cost, shut_cost) + logit
        hops.append(now)
    return torch.stack(hops, dim=1)


def decision_loss(logits, classes, weight, costs):
    """What the gate would decide: cross entropy of the evidence, and how often it opens.

    Parameters
    ----------
    logits, classes, weight : Tensor, shape (B, T)
        Of speech.
    costs : tuple of float
        Of opening and of shutting.

    Returns
    -------
    decided : Tensor
        Weighted cross entropy, the evidence being the logit.
    openings : Tensor
        Openings a hop, soft.
    """
    found = evidence(logits, *costs)
    loss = F.binary_cross_entropy_with_logits(found, classes, reduction="none")
    decided = (loss * weight).sum() / weight.sum().clamp_min(1.0)
    share = torch.sigmoid(2.0 * found)
    return decided, (share[:, 1:] - share[:, :-1]).clamp_min(0.0).mean()


def key_loss(logits, batch):
    """Cross entropy against the voice's share of each band, and error of the key level.

    Returns
    -------
    share : Tensor
        Where the voice sounds, bands weighted by how far they are within 40 dB of its loudest;
        elsewhere the key should be 0, at a small weight.
    level : Tensor
        Huber loss of the key level in units of 6 dB, where the voice sounds.
    """
    s, n, x = batch["s_band_power"], batch["n_band_power"], batch["band_power"]
    target = s / (s + n + _KEY_FLOOR)
    speaks = batch["classes"][:, batch["key_hops"], 0]
    s_db = 10.0 * torch.log10(s + _KEY_FLOOR)
    loudest = s_db.amax(dim=-1, keepdim=True)
    matters = (1.0 + (s_db - loudest) / 40.0).clamp_min(0.05) * speaks.unsqueeze(-1)
    weight = matters + 0.1 * (1.0 - speaks.unsqueeze(-1))
    target = target * speaks.unsqueeze(-1)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    share = (entropy * weight).sum() / weight.sum()
    level = torch.log10((torch.sigmoid(logits) * x).sum(dim=-1) + _KEY_FLOOR)
    true_level = torch.log10(s.sum(dim=-1) + _KEY_FLOOR)
    error = F.smooth_l1_loss(level * (10 / 6), true_level * (10 / 6), reduction="none")
    return share, (error * speaks).sum() / speaks.sum().clamp_min(1.0)


def _label_loss(head, embedding, labels, heard):
    """Cross entropy of a head's answer against one label an item, over the heard hops."""
    sure = heard * (labels >= 0).unsqueeze(-1)
    if not bool(sure.any()):
        return embedding.new_zeros(())
    items, hops = (where[::_LABEL_STRIDE] for where in sure.nonzero(as_tuple=True))
    return F.cross_entropy(head(embedding[items, hops]), labels[items])


def losses(net, batch, settings):
    """All losses of a batch and their ``total``; ``logits`` of speech (B, T), detached, beside."""
    embedding, _ = net.trunk(batch["features"], batch.get("ears"))
    n_classes = batch["classes"].shape[-1]
    logits = F.linear(embedding, net.heads.weight[:n_classes], net.heads.bias[:n_classes])
    speech = batch["classes"][..., 0]
    if "teacher" in batch:
        speech = soft_speech(batch["classes"], batch["teacher"], settings.teacher_share)
    presence, weight = presence_loss(
        logits, batch["classes"], batch["classes_weight"], settings, speech
    )
    decided, openings = decision_loss(logits[..., 0], speech, weight, batch["costs"])
    share, level = key_loss(net.read(embedding[:, batch["key_hops"]])["key_logits"], batch)
    result = {"presence": presence[0], "classes": presence[1:].sum(), "key": share, "level": level}
    result.update(decided=decided, openings=openings)
    speaks = batch["classes"][..., 0] > 0.5
    other = (batch["classes"][..., 1:].amax(dim=-1) > 0.5) & ~speaks
    if net.speaker is not None:
        result["speaker"] = _label_loss(net.speaker, embedding, batch["speaker"], speaks)
    if net.event is not None:
        result["event"] = _label_loss(net.event, embedding, batch["event"], other)
    weights = {
        "presence": 1.0,
        "decided": settings.decided_weight,
        "openings": settings.openings_weight,
        "classes": settings.class_weight,
        "key": settings.key_weight,
        "level": settings.level_weight,
        "speaker": settings.speaker_weight,
        "event": settings.event_weight,
    }
    result["total"] = sum(weights[name] * value for name, value in result.items())
    result["logits"] = logits[..., 0].detach()
    return result
