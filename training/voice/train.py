"""The training loop of the voice detector.

The length of a run is set in minutes, not steps: the learning rate follows the clock, so a run
ends on time on any machine. It is resumable: the checkpoint holds weights, their running mean,
the optimizer and the time used.
"""

import csv
import ctypes
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from gate.errors import ConfigError
from training.voice.mixer import CLASSES
from training.voice.network import VoiceNet, VoiceSettings

_KEY_FLOOR = 1e-13
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h
_KEY_STRIDE = 5  # neighbouring hops have much the same key: the loss looks at one in five
_LABEL_STRIDE = 16  # of the speaker and event losses: neighbours say the same
_BANDS = ("band_power", "s_band_power", "n_band_power")
_DENSE = ("features", "classes", "classes_weight", "speaker", "event")


@dataclass(frozen=True)
class TrainSettings:
    """How to train.

    Attributes
    ----------
    minutes : float
        Length of the run, resumed parts together.
    batch_size : int
    learning_rate : float
        At the peak of the schedule.
    warmup_share : float
        Of the run, in which the rate rises.
    weight_decay, clip_norm : float
    average_decay : float
        Of the running mean of the weights, which is what is exported.
    unwanted_weight : float
        Extra weight of hops without speech in the presence loss of items without any.
    confident_weight : float
        Further weight of those hops by how sure the network was that it heard speech.
    class_weight, key_weight, level_weight, speaker_weight, event_weight : float
        Of the other losses.
    low_precision : bool
        Multiply in bfloat16; states and gates stay float32.
    threads : int
        Of torch.
    seed : int
    evaluate_minutes : float
        Between looks at the dev set and checkpoints.
    """

    minutes: float = 60.0
    batch_size: int = 96
    learning_rate: float = 2e-3
    warmup_share: float = 0.05
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    average_decay: float = 0.997
    unwanted_weight: float = 1.5
    confident_weight: float = 2.0
    class_weight: float = 0.15
    key_weight: float = 0.3
    level_weight: float = 0.1
    speaker_weight: float = 0.03
    event_weight: float = 0.03
    low_precision: bool = True
    threads: int = 1
    seed: int = 0
    evaluate_minutes: float = 4.0


def keep_freed_memory():
    """Have glibc keep the memory of freed tensors instead of returning it to the system.

    A step frees and takes again gigabytes; with pages handed back in between, half of its time
    goes to the system. Does nothing where there is no glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, -1)


def presence_loss(logits, classes, weight, settings):
    """Weighted cross entropy of all classes; confident false alarms cost more.

    Parameters
    ----------
    logits, classes, weight : Tensor, shape (B, T, n_classes)
    settings : TrainSettings

    Returns
    -------
    Tensor, shape (n_classes,)
    """
    loss = F.binary_cross_entropy_with_logits(logits, classes, reduction="none")
    speechless = (classes[..., 0].amax(dim=1, keepdim=True) < 0.5).float()
    with torch.no_grad():
        false_alarm = torch.sigmoid(logits[..., 0]) * (1.0 - classes[..., 0])
        extra = 1.0 + speechless * (settings.unwanted_weight - 1.0)
        extra = extra + speechless * settings.confident_weight * false_alarm
        speech_weight = weight[..., 0] * extra
    weight = torch.cat([speech_weight.unsqueeze(-1), weight[..., 1:]], dim=-1)
    return (loss * weight).sum(dim=(0, 1)) / weight.sum(dim=(0, 1)).clamp_min(1.0)


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
    embedding, _ = net.trunk(batch["features"])
    n_classes = batch["classes"].shape[-1]
    logits = F.linear(embedding, net.heads.weight[:n_classes], net.heads.bias[:n_classes])
    presence = presence_loss(logits, batch["classes"], batch["classes_weight"], settings)
    share, level = key_loss(net.read(embedding[:, batch["key_hops"]])["key_logits"], batch)
    result = {"presence": presence[0], "classes": presence[1:].sum(), "key": share, "level": level}
    speaks = batch["classes"][..., 0] > 0.5
    other = (batch["classes"][..., 1:].amax(dim=-1) > 0.5) & ~speaks
    if net.speaker is not None:
        result["speaker"] = _label_loss(net.speaker, embedding, batch["speaker"], speaks)
    if net.event is not None:
        result["event"] = _label_loss(net.event, embedding, batch["event"], other)
    weights = {
        "presence": 1.0,
        "classes": settings.class_weight,
        "key": settings.key_weight,
        "level": settings.level_weight,
        "speaker": settings.speaker_weight,
        "event": settings.event_weight,
    }
    result["total"] = sum(weights[name] * value for name, value in result.items())
    result["logits"] = logits[..., 0].detach()
    return result


class Trainer:
    """A run.

    Parameters
    ----------
    pool : training.voice.pool.ItemPool
    folder : path-like
        For checkpoints, the log and the curves.
    network, settings : VoiceSettings, TrainSettings
    evaluate : callable or None
        Takes the averaged network, returns a dict of figures for the log.
    """

    def __init__(self, pool, folder, network, settings=TrainSettings(), evaluate=None):
        self.pool, self.folder = pool, Path(folder)
        self.settings, self.evaluate = settings, evaluate
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(settings.threads)
        torch.manual_seed(settings.seed)
        keep_freed_memory()
        self.rng = np.random.default_rng(settings.seed)
        self.net = VoiceNet(network)
        self.net.low_precision = settings.low_precision
        self.average = VoiceNet(network).requires_grad_(False)
        self.average.load_state_dict(self.net.state_dict())
        decay, plain = [], []
        for parameter in self.net.parameters():
            (decay if parameter.ndim > 1 else plain).append(parameter)
        groups = [
            {"params": decay, "weight_decay": settings.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98))
        self.step, self.elapsed_s = 0, 0.0
        self.hardness = np.ones(pool.capacity, dtype=np.float32)
        self._made = 0

    @property
    def checkpoint_path(self):
        """Where the newest checkpoint is."""
        return self.folder / "checkpoint.pt"

    def save(self):
        """Write a checkpoint, whole or not at all."""
        state = {
            "network": self.net.settings.to_dict(),
            "settings": asdict(self.settings),
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "elapsed_s": self.elapsed_s,
        }
        temporary = self.checkpoint_path.with_suffix(".part")
        torch.save(state, temporary)
        temporary.replace(self.checkpoint_path)

    def resume(self):
        """Go on from the checkpoint, if there is one; returns whether there was."""
        if not self.checkpoint_path.is_file():
            return False
        state = torch.load(self.checkpoint_path, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]
        return True

    def start_from(self, path):
        """Take the averaged weights of another run's checkpoint as a start."""
        state = torch.load(path, weights_only=True)
        own = self.net.state_dict()
        fitting = {k: v for k, v in state["average"].items() if own[k].shape == v.shape}
        own.update(fitting)
        self.net.load_state_dict(own)
        self.average.load_state_dict(own)

    def _rate(self, progress):
        settings = self.settings
        if progress < settings.warmup_share:
            share = 0.05 + 0.95 * progress / settings.warmup_share
        else:
            done = (progress - settings.warmup_share) / (1.0 - settings.warmup_share)
            share = 0.01 + 0.99 * 0.5 * (1.0 + np.cos(np.pi * min(done, 1.0)))
        return float(settings.learning_rate * share)

    def draw(self):
        """A batch: items that fooled the network come back more often."""
        made, filled = self.pool.made, self.pool.filled
        if made > self._made:  # fresh items know nothing of their slot's past
            fresh = np.arange(max(self._made, made - self.pool.capacity), made)
            self.hardness[fresh % self.pool.capacity] = 1.0
            self._made = made
        weights = self.hardness[:filled]
        slots = self.rng.choice(filled, self.settings.batch_size, False, weights / weights.sum())
        slots = np.sort(slots)
        batch = self.pool.take(slots, _DENSE)
        first = int(self.rng.integers(_KEY_STRIDE))
        batch.update(self.pool.take(slots, _BANDS, slice(first, None, _KEY_STRIDE)))
        batch = {name: torch.from_numpy(value) for name, value in batch.items()}
        batch["key_hops"] = slice(first, None, _KEY_STRIDE)
        return slots, batch

    def train_step(self):
        """One step; returns the losses as floats."""
        settings = self.settings
        progress = self.elapsed_s / (60.0 * settings.minutes)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(progress)
        slots, batch = self.draw()
        self.net.train()
        values = losses(self.net, batch, settings)
        self.optimizer.zero_grad(set_to_none=True)
        values["total"].backward()
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), settings.clip_norm)
        if torch.isfinite(norm):
            self.optimizer.step()
        self.step += 1
        decay = min(settings.average_decay, (1.0 + self.step) / (10.0 + self.step))
        with torch.no_grad():
            for mean, now in zip(
                self.average.state_dict().values(), self.net.state_dict().values(), strict=True
            ):
                mean.lerp_(now, 1.0 - decay) if mean.is_floating_point() else mean.copy_(now)
        self._learn_hardness(slots, batch, values.pop("logits"))
        return {name: float(value.detach()) for name, value in values.items()}

    @torch.no_grad()
    def _learn_hardness(self, slots, batch, logits):
        """Note which speechless items of this batch open the gate."""
        speech = torch.sigmoid(logits)
        speechless = batch["classes"][..., 0].amax(dim=1) < 0.5
        sure = batch["classes_weight"][..., 0] > 0
        alarm = ((speech > 0.3) & sure).float().mean(dim=1)
        hard = 1.0 + 3.0 * (alarm * 20.0).clamp(max=1.0) * speechless
        self.hardness[slots] = hard.numpy()

    def run(self, on_step=None, wait_items=None):
        """Train until the time is used up.

        Parameters
        ----------
        on_step : callable or None
            Called with (step, progress 0..1, dict of losses).
        wait_items : int or None
            Wait until the pool holds so many items.
        """
        settings = self.settings
        while self.pool.filled < (wait_items or settings.batch_size):
            time.sleep(0.2)
        if self.step == 0:
            _, batch = self.draw()
            self.net.fit_input(batch["features"])
            self.average.load_state_dict(self.net.state_dict())
        next_look = self.elapsed_s + 60.0 * settings.evaluate_minutes
        sums, count = {}, 0
        while self.elapsed_s < 60.0 * settings.minutes:
            begin = time.perf_counter()
            values = self.train_step()
            self.elapsed_s += time.perf_counter() - begin
            count += 1
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + value
            if on_step is not None:
                on_step(self.step, self.elapsed_s / (60.0 * settings.minutes), values)
            if self.elapsed_s >= next_look:
                self._look({name: value / count for name, value in sums.items()})
                sums, count = {}, 0
                next_look = self.elapsed_s + 60.0 * settings.evaluate_minutes
        self._look({name: value / max(count, 1) for name, value in sums.items()})

    def _look(self, means):
        self.save()
        begin = time.perf_counter()
        figures = {} if self.evaluate is None else self.evaluate(self.average.eval())
        self.elapsed_s += time.perf_counter() - begin
        row = {
            "step": self.step,
            "minutes": round(self.elapsed_s / 60.0, 2),
            "items": self.pool.made,
        }
        row.update({f"loss_{name}": round(value, 5) for name, value in means.items()})
        row.update({name: round(float(value), 5) for name, value in figures.items()})
        path = self.folder / "curves.csv"
        exists = path.is_file()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(row), extrasaction="ignore")
            if not exists:
                writer.writeheader()
            writer.writerow(row)
        print(json.dumps(row), flush=True)


def load_average(path):
    """Network with the averaged weights of a checkpoint, in eval mode."""
    state = torch.load(path, weights_only=True)
    net = VoiceNet(VoiceSettings(**state["network"]))
    net.load_state_dict(state["average"])
    if net.settings.classes != CLASSES:
        raise ValueError(f"classes={net.settings.classes} must be {CLASSES}")
    return net.eval()


def average_checkpoints(paths, path):
    """Write the mean of the averaged weights of checkpoints, for calibration and export.

    Runs that began from the same weights lie in one basin, and their mean is better than each
    (Wortsman et al. 2022, "Model soups"). The heads that only training needs are left out.

    Parameters
    ----------
    paths : sequence of path-like
    path : path-like
        The checkpoint to write.
    """
    states = [torch.load(one, weights_only=True) for one in paths]
    network = {**states[0]["network"], "n_speakers": 0, "n_events": 0}
    shapes = VoiceNet(VoiceSettings(**network)).state_dict()
    for one, state in zip(paths, states, strict=True):
        if any(state["average"][name].shape != value.shape for name, value in shapes.items()):
            raise ConfigError(f"average={one} must be a network of the shape of {paths[0]}")
    mean = {
        name: torch.stack([state["average"][name] for state in states]).mean(dim=0)
        for name in shapes
    }
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    torch.save({"network": network, "average": mean}, path)
