"""Learnable frontends against log-mel, on one second of sound: speech or not.

Three frontends give about 100 frames a second to the same small CNN: log-mel (this project's
own), a LEAF-style one (Zeghidour et al., "LEAF: A Learnable Frontend for Audio Classification",
ICLR 2021: Gabor filters, Gaussian pooling, PCEN, all learned), and raw waveform plus FFT (learned
filters over the samples beside a learned projection of the log spectrum).
"""

import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from gate.errors import ConfigError
from gate.features import MelSettings, log_mel_spectrogram, mel_centres_hz
from training.audioset.loop import train_epochs
from training.audioset.metrics import evaluate
from training.corpus.decode import SAMPLE_RATE, read_mono
from training.corpus.manifest import read_manifest

HOP = 160
NON_SPEECH = ("noise", "music")
SIZES = {"train": 800, "dev": 200, "test": 300}
"""Seconds of each of the two kinds."""
SEEDS = (0, 1)
EPOCHS = 4


class LogMelFrontend(nn.Module):
    """Log-mel of `gate.features`, computed once; nothing to learn."""

    n_features = 64

    def prepare(self, clips):
        """Features (n, 100, 64) of int16 clips."""
        mel = MelSettings()
        return np.stack([log_mel_spectrogram(clip / 32768.0, mel) for clip in clips])

    def forward(self, x):  # noqa: D102
        return x * 0.3


class _Sound(nn.Module):
    def prepare(self, clips):
        """Samples (n, 16000), -1..1."""
        return clips.astype(np.float32) / 32768.0


class LeafFrontend(_Sound):
    """Gabor filters, squared modulus, Gaussian pooling, PCEN; every parameter is learned.

    Filters start at mel centres; the modulus is taken every 8th sample, which its band allows.
    """

    stride = 8
    taps = 401

    n_features = 40

    def __init__(self):
        super().__init__()
        mel = MelSettings(n_mels=self.n_features, low_hz=60.0, high_hz=7800.0)
        centre = 2 * math.pi * mel_centres_hz(mel) / SAMPLE_RATE
        # A Gaussian whose spectrum falls to one half midway between neighbours.
        width = math.sqrt(2 * math.log(2)) / np.gradient(centre)
        starts = {"centre": centre, "width": width, "pool": 0.4, "smooth": -3.2, "alpha": 0.96,
                  "delta": 2.0, "root": 2.0}  # fmt: skip
        for name, start in starts.items():
            start = torch.tensor(np.broadcast_to(start, self.n_features), dtype=torch.float32)
            self.register_parameter(name, nn.Parameter(start))

    def filters(self):
        """Real and imaginary Gabor filters, (2 * n_features, 1, taps)."""
        t = torch.arange(self.taps) - self.taps // 2
        width = self.width.clamp(3.0, self.taps / 2)[:, None]
        centre = self.centre.clamp(0.0, math.pi)[:, None]
        envelope = torch.exp(-0.5 * (t / width) ** 2) / (math.sqrt(2 * math.pi) * width)
        wave = torch.cat([torch.cos(centre * t), torch.sin(centre * t)])
        return (envelope.repeat(2, 1) * wave)[:, None]

    def forward(self, x):
        """Samples (n, 16000) to frames (n, 100, n_features)."""
        n, filters = self.n_features, self.filters()
        with torch.autocast("cpu", torch.bfloat16):
            bands = functional.conv1d(x[:, None], filters, None, self.stride, self.taps // 2)
        energy = bands[:, :n].float() ** 2 + bands[:, n:].float() ** 2
        hop = HOP // self.stride
        t = torch.linspace(-1, 1, 2 * hop + 1)
        window = torch.exp(-0.5 * (t / self.pool.clamp(0.05, 0.5)[:, None]) ** 2)
        window = (window / window.sum(1, keepdim=True))[:, None]
        energy = functional.conv1d(energy, window, stride=hop, padding=hop, groups=n)[..., :100]
        return self.pcen(energy.clamp_min(1e-9) * 1e4).transpose(1, 2)

    def pcen(self, energy):
        """Per-channel energy normalisation of (n, bands, frames)."""
        rate = torch.sigmoid(self.smooth)[None]
        level, levels = energy[..., 0], []
        for frame in energy.unbind(-1):
            level = level + rate * (frame - level)
            levels.append(level)
        smooth = torch.stack(levels, -1)
        alpha = self.alpha.clamp(0.0, 1.0)[:, None]
        root = 1.0 / self.root.clamp_min(1.0)[:, None]
        delta = self.delta.clamp_min(0.01)[:, None]
        return (energy / (1e-6 + smooth) ** alpha + delta) ** root - delta**root


class RawFftFrontend(_Sound):
    """Learned filters over the waveform, and a learned projection of the log spectrum."""

    n_features = 80

    def __init__(self):
        super().__init__()
        self.raw = nn.Conv1d(1, self.n_features // 2, 400, stride=HOP, padding=120)
        self.project = nn.Linear(257, self.n_features // 2)
        self.register_buffer("window", torch.hann_window(400))

    def forward(self, x):
        """Samples (n, 16000) to frames (n, 100, n_features)."""
        raw = torch.log(self.raw(x[:, None]).abs() + 1e-3).transpose(1, 2)[:, :100]
        frames = functional.pad(x, (120, 120)).unfold(1, 400, HOP)[:, :100]
        spectrum = torch.log(torch.fft.rfft(frames * self.window, 512).abs() + 1e-3)
        return torch.cat([0.3 * raw, self.project(0.3 * spectrum)], -1)


FRONTENDS = {
    "log-mel": LogMelFrontend,
    "LEAF-style (learned)": LeafFrontend,
    "raw waveform + FFT": RawFftFrontend,
}


class FrontendNet(nn.Module):
    """A frontend and a small CNN over its frames: three convolutions, mean and maximum, linear."""

    def __init__(self, frontend):
        super().__init__()
        self.frontend = frontend
        n = frontend.n_features
        self.net = nn.Sequential(
            nn.BatchNorm1d(n),
            nn.Conv1d(n, 64, 5, stride=2), nn.BatchNorm1d(64), nn.ReLU(),
            nn.Conv1d(64, 64, 5, stride=2), nn.BatchNorm1d(64), nn.ReLU(),
            nn.Conv1d(64, 64, 3), nn.BatchNorm1d(64), nn.ReLU(),
        )  # fmt: skip
        self.out = nn.Sequential(nn.Dropout(0.3), nn.Linear(128, 1))

    def forward(self, x):
        """What `prepare` gives, to logits (n,)."""
        h = self.net(self.frontend(x).transpose(1, 2))
        return self.out(torch.cat([h.mean(2), h.amax(2)], 1))[:, 0]


def loudest_second(samples):
    """The second with the most energy, on a grid of 0.25 s; short files are padded."""
    if len(samples) <= SAMPLE_RATE:
        return np.pad(samples, (0, SAMPLE_RATE - len(samples)))
    power = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    starts = np.arange(0, len(samples) - SAMPLE_RATE + 1, SAMPLE_RATE // 4)
    start = starts[np.argmax(power[starts + SAMPLE_RATE] - power[starts])]
    return samples[start : start + SAMPLE_RATE]


def load_seconds(voice_data, split, n_each):
    """Seconds of speech and of everything else.

    Long files of noise and music give several seconds, speech one a file. Levels are drawn at
    random, -36 to -12 dBFS, so that loudness tells nothing.

    Returns
    -------
    clips : ndarray, shape (n, 16000), int16
    targets : ndarray, shape (n,), float32
    """
    from scipy.signal import resample_poly

    entries = [e for e in read_manifest(voice_data, split) if e.seconds >= 0.5]
    rng, clips, targets = np.random.default_rng(0), [], []
    for kinds in (("speech",), NON_SPEECH):
        files = [e for e in entries if e.kind in kinds]
        if kinds != NON_SPEECH:
            files = [e for e in files if e.vad_peak is None or e.vad_peak >= 0.5]
        if not files:
            raise ConfigError(f"voice-data={voice_data}: no {kinds[0]} files in split {split}")
        order = rng.permutation(len(files))
        n_turns = 1 + n_each // len(files) if kinds == NON_SPEECH else 1
        picked = [(files[i], turn) for turn in range(n_turns) for i in order][:n_each]
        for entry, turn in picked:
            samples, rate = read_mono(Path(voice_data) / entry.file, seconds=20)
            samples = resample_poly(samples, SAMPLE_RATE, rate)
            part = len(samples) // n_turns
            if n_turns > 1:
                samples = samples[turn * part : (turn + 1) * part]
            clip = loudest_second(samples)
            rms = math.sqrt(float(np.mean(clip.astype(np.float64) ** 2))) + 1e-9
            gain = min(10 ** (rng.uniform(-36, -12) / 20) / rms, 0.99 / (np.abs(clip).max() + 1e-9))
            clips.append(np.round(clip * gain * 32767).astype(np.int16))
        targets += [kinds != NON_SPEECH] * len(picked)
    return np.stack(clips), np.array(targets, dtype=np.float32)


def train_frontend(name, sets, seed):
    """Train one of `FRONTENDS` with its CNN on `sets`: "train", "dev", "test" -> (clips, targets).

    Returns "dev" and "test" figures at the epoch with the best dev AP, and "n_parameters".
    """
    torch.manual_seed(seed)
    net = FrontendNet(FRONTENDS[name]())
    x = {part: torch.from_numpy(net.frontend.prepare(clips)) for part, (clips, _) in sets.items()}
    y = torch.from_numpy(sets["train"][1])
    optimiser = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 2e-3, total_steps=EPOCHS * math.ceil(len(y) / 64) + 1
    )
    dev = []

    @torch.no_grad()
    def figures(part):
        net.eval()
        scores = torch.cat([torch.sigmoid(net(some)) for some in x[part].split(64)])
        return evaluate(sets[part][1], scores.numpy())

    def loss_of(index):
        return functional.binary_cross_entropy_with_logits(net(x["train"][index]), y[index])

    def after_epoch(epoch, loss):
        dev.append(figures("dev"))
        return -dev[-1]["ap"]

    best = train_epochs(
        net, lambda: torch.randperm(len(y)).split(64), loss_of, optimiser, EPOCHS,
        schedule=schedule, after_epoch=after_epoch,
    )  # fmt: skip
    n_parameters = sum(p.numel() for p in net.parameters())
    return {"dev": dev[best], "test": figures("test"), "n_parameters": n_parameters}


def run_frontends(voice_data):
    """All frontends, all seeds.

    Returns ``rows`` (name -> dev and test figures of each seed) and ``seconds``.
    """
    torch.set_num_threads(1)
    started, rows = time.process_time(), {}
    sets = {part: load_seconds(voice_data, part, n) for part, n in SIZES.items()}
    for name in FRONTENDS:
        runs = [train_frontend(name, sets, seed) for seed in SEEDS]
        rows[name] = {part: [run[part] for run in runs] for part in ("dev", "test")}
        rows[name]["n_parameters"] = runs[0]["n_parameters"]
        print(f"{name}: test AP {rows[name]['test'][0]['ap']:.3f}", flush=True)
    return {"rows": rows, "seconds": round(time.process_time() - started, 1)}
