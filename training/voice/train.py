"""The training loop of the voice detector.

The length of a run is set in minutes, not steps: the learning rate follows the clock, so a run
ends on time on any machine. It is resumable: the checkpoint holds weights, their running mean,
the optimizer and the time used.
"""

import csv
import ctypes
import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from gate.errors import ConfigError
from training.voice.blur import BANDS, Blur
from training.voice.losses import losses
from training.voice.network import VoiceNet

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h
_KEY_STRIDE = 5  # neighbouring hops have much the same key: the loss looks at one in five
_NEW_EAR = 0.1  # of an initial weight: a network that begins with another's is not upset
_DENSE = ("features", "ears", "teacher", "classes", "classes_weight", "speaker", "event")


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
    decided_weight, openings_weight : float
        Of the loss of what the evidence decides, and of each opening a hop.
    open_cost, shut_cost : tuple of float
        Bounds within which the costs of the evidence are drawn for every batch, nats.
    silence_share : float
        Of items in which an ear says nothing, so that the network goes on without it.
    teacher_share : float
        Of the teacher in the labels of speech, where the pool has one, 0..1.
    blur : Blur or None
        What is done to the log-mel of every batch.
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
    batch_size: int = 48
    learning_rate: float = 2e-3
    warmup_share: float = 0.05
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    average_decay: float = 0.997
    unwanted_weight: float = 1.5
    confident_weight: float = 2.0
    decided_weight: float = 1.0
    openings_weight: float = 40.0
    open_cost: tuple = (1.5, 3.0)
    shut_cost: tuple = (3.0, 8.0)
    silence_share: float = 0.25
    teacher_share: float = 0.5
    blur: Blur | None = field(default_factory=Blur)
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
        self._fitted = False  # whether the scaling of the input is known

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
        if "net" not in state:
            raise ConfigError(
                f"run={self.folder} holds a mean of checkpoints, which cannot be trained on: "
                "take another --run and --start"
            )
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]
        self._fitted = True
        return True

    def start_from(self, path):
        """Begin with the averaged weights of another run's checkpoint, or with a detector.

        What has another shape begins anew, but for the input of the first layer: columns of
        ears that the other network lacked begin near zero.

        Parameters
        ----------
        path : path-like
            A checkpoint, or ``NAME.onnx``.
        """
        if str(path).endswith(".onnx"):
            from training.voice.imported import network_from_onnx

            given = network_from_onnx(path).state_dict()
        else:
            given = torch.load(path, weights_only=True)["average"]
        own = self.net.state_dict()
        first = "grus.0.weight_ih_l0"
        wider = own[first].shape[1] - given[first].shape[1]
        if wider > 0 and own[first].shape[0] == given[first].shape[0]:
            new = _NEW_EAR * own[first][:, -wider:]
            given[first] = torch.cat([given[first], new], dim=1)
        own.update({k: v for k, v in given.items() if k in own and own[k].shape == v.shape})
        self.net.load_state_dict(own)
        self.average.load_state_dict(own)
        self._fitted = True

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
        batch = self.pool.take(slots, [name for name in _DENSE if name in self.pool.names])
        first = int(self.rng.integers(_KEY_STRIDE))
        batch.update(self.pool.take(slots, BANDS[1:], slice(first, None, _KEY_STRIDE)))
        batch = {name: torch.from_numpy(value) for name, value in batch.items()}
        batch["key_hops"] = slice(first, None, _KEY_STRIDE)
        settings = self.settings
        batch["costs"] = self.rng.uniform(*zip(settings.open_cost, settings.shut_cost, strict=True))
        heard = np.ones((len(slots), 1), dtype=bool)
        if "ears" in batch:
            shape = (len(slots), batch["ears"].shape[-1])
            heard = self.rng.random(shape) >= settings.silence_share
            batch["ears"] *= torch.from_numpy(heard[:, None])
        if settings.blur is not None:
            settings.blur(batch, self.rng, np.flatnonzero(heard.any(axis=1)))
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
        if not self._fitted:
            _, batch = self.draw()
            self.net.fit_input(batch["features"])
            self.average.load_state_dict(self.net.state_dict())
            self._fitted = True
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
