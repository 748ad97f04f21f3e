"""`gate-train adapt`: fine-tune the network itself on the examples of a profile.

The small head of `gate-learn` can only use what the detector's embedding already tells apart.
Here the network learns the examples, mixed with the training data's noises, and keeps what it
said of everything else (presence, key and ballistics stay near the original's). A quarter of the
examples is held out from it and shows whether it pays. The result is a new detector, and a
profile taught on it.
"""

import copy
import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from gate.errors import ConfigError, ModelError
from gate.metrics import roc_auc
from realtime.learn.examples import SHUT, from_samples
from realtime.learn.head import balanced, fit_logistic
from realtime.learn.medley import MedleyMaker, split_folds
from realtime.learn.profile import load_profile, save_profile
from realtime.learn.remarks import TeachingNotes
from realtime.learn.teach import teach
from realtime.models import find_model
from realtime.onnx_detector import OnnxDetector
from realtime.outputs import OutputRules
from training.corpus.decode import read_mono
from training.corpus.manifest import read_manifest
from training.voice.export import DetectorCard, export_voice
from training.voice.imported import network_from_onnx

_PENALTY = 0.1


@dataclass(frozen=True)
class AdaptSettings:
    """How to adapt.

    Attributes
    ----------
    steps, batch_size, n_hops : int
        Each step sees so many stretches of so many hops.
    learning_rate : float
    keep_weight : float
        Of staying near the original network.
    noise_s : float
        Seconds of the training data's noises among the sounds to stay shut on.
    seed : int
    """

    steps: int = 150
    batch_size: int = 8
    n_hops: int = 200
    learning_rate: float = 5e-4
    keep_weight: float = 1.0
    noise_s: float = 60.0
    seed: int = 0

    def __post_init__(self):
        for name in ("steps", "batch_size", "n_hops"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} must be >= 1")
        if not self.learning_rate > 0:
            raise ConfigError(f"learning_rate={self.learning_rate} must be > 0")


def training_noises(data, seconds, seed):
    """Recordings of the corpus' training noises to stay shut on, 3 s of each file."""
    noises = [entry for entry in read_manifest(data, "train") if entry.kind == "noise"]
    recordings = []
    for index in np.random.default_rng(seed).permutation(len(noises)):
        if sum(r.seconds for r in recordings) >= seconds:
            break
        source = Path(data) / noises[index].file
        samples, rate = read_mono(source, seconds=3)
        recordings.append(from_samples(samples, rate, SHUT, source.name))
    return [r for r in recordings if len(r.label) >= 20]


def _stretches(maker, units, settings, rng):
    """Batches of medley stretches without end."""
    while True:
        medley = maker.make(units, rng)
        n = len(medley.label) // settings.n_hops * settings.n_hops
        if n == 0:
            raise ConfigError(f"n_hops={settings.n_hops}: the examples are shorter")
        shape = (-1, settings.n_hops)
        weight = balanced(medley.label, medley.weight) * len(medley.label)
        ears = medley.ears
        if ears is None:
            ears = np.zeros((len(medley.label), 0), np.float32)
        parts = (medley.log_mel[:n].reshape(-1, settings.n_hops, 64),
                 ears[:n].reshape(n // settings.n_hops, settings.n_hops, ears.shape[1]),
                 medley.label[:n].reshape(shape), weight[:n].reshape(shape))  # fmt: skip
        for start in range(0, len(parts[0]), settings.batch_size):
            rows = slice(start, start + settings.batch_size)
            yield tuple(torch.from_numpy(np.ascontiguousarray(p[rows], np.float32)) for p in parts)


def fine_tune(net, recordings, units, settings=None, progress=None):
    """A copy of the network whose embedding tells the two sides apart.

    Parameters
    ----------
    net : VoiceNet
        The original; stays as it is.
    recordings : list of Recording
    units : list of Unit
        The parts of the recordings to learn from.
    settings : AdaptSettings
    progress : callable, optional
        Called with (step, task loss, distance from the original).

    Returns
    -------
    VoiceNet
    """
    settings = settings or AdaptSettings()
    torch.manual_seed(settings.seed)
    adapted = copy.deepcopy(net).train()
    head = torch.nn.Linear(net.settings.embedding_size, 1)
    torch.nn.init.zeros_(head.weight)
    groups = [{"params": adapted.parameters()}, {"params": head.parameters(), "lr": 1e-2}]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=0.01)
    batches = _stretches(
        MedleyMaker(recordings), units, settings, np.random.default_rng(settings.seed)
    )
    for step in range(settings.steps):
        scale = min(1.0, (step + 1) / 10) * (1.0 - step / settings.steps)
        optimizer.param_groups[0]["lr"] = settings.learning_rate * scale
        features, ears, label, weight = next(batches)
        ears = ears if ears.shape[-1] == net.settings.n_ears else None
        with torch.no_grad():
            teacher = net(features, ears)
        found = adapted(features, ears)
        score = head(found["embedding"]).squeeze(-1)
        task = F.binary_cross_entropy_with_logits(score, label, weight=weight)
        keep = (
            F.mse_loss(found["presence_logits"].sigmoid(), teacher["presence_logits"].sigmoid())
            + F.mse_loss(found["key_logits"].sigmoid(), teacher["key_logits"].sigmoid())
            + F.mse_loss(found["ballistics"].log(), teacher["ballistics"].log())
        )
        optimizer.zero_grad(set_to_none=True)
        (task + settings.keep_weight * keep).backward()
        torch.nn.utils.clip_grad_norm_(adapted.parameters(), 1.0)
        optimizer.step()
        if progress is not None:
            progress(step + 1, float(task.detach()), float(keep.detach()))
    return adapted.eval()


@torch.no_grad()
def held_out_auc(net, recordings, folds, shape):
    """ROC-AUC on the first fold of a small head that was fitted on the others."""
    maker = MedleyMaker(recordings)
    parts = []
    for number, units in enumerate(folds):
        medley = maker.make(units, np.random.default_rng(number))
        ears = None
        if medley.ears is not None and medley.ears.shape[1] == net.settings.n_ears:
            ears = torch.from_numpy(medley.ears)[None]
        embedding = net(torch.from_numpy(medley.log_mel)[None], ears)["embedding"][0].numpy()
        parts.append((shape.inputs(medley.log_mel, embedding), medley.label, medley.weight))
    x, label, weight = (np.concatenate(column) for column in zip(*parts[1:], strict=True))
    known = weight > 0
    mean, scale = x[known].mean(axis=0), x[known].std(axis=0) + 1e-3
    z = ((x[known] - mean) / scale).astype(np.float32)
    theta, bias = fit_logistic(z, label[known], weight[known], _PENALTY)
    x, label, weight = parts[0]
    sure = weight >= 0.5
    scores = ((x[sure] - mean) / scale) @ theta + bias
    return roc_auc(scores, label[sure] > 0)


def adapt(profile, model, output, data=None, settings=None, progress=None):
    """Fine-tune, export, teach.

    Parameters
    ----------
    profile : Profile
        With its examples.
    model : path
        The detector to begin with.
    output : path
        ``NAME.onnx``; ``NAME.gate.yaml`` goes beside it.
    data : path, optional
        The voice corpus, for its noises.
    settings : AdaptSettings
    progress : callable, optional

    Returns
    -------
    dict
        ``auc_head``, ``auc_adapted`` on held-out examples, ``profile`` (the new one).
    """
    settings = settings or AdaptSettings()
    if not profile.memory:
        raise ModelError(f"{profile.name}: keeps no examples to adapt to")
    examples = list(profile.memory)
    net = network_from_onnx(model)
    folds = split_folds(examples)
    noises = training_noises(data, settings.noise_s, settings.seed) if data else []
    everything = examples + noises
    units = [unit for fold in folds[1:] for unit in fold]
    noise_folds = split_folds(noises) if noises else []
    units += [replace(unit, source=unit.source + len(examples))
              for fold in noise_folds for unit in fold]  # fmt: skip
    adapted = fine_tune(net, everything, units, settings, progress)
    result = {
        "auc_head": held_out_auc(net, examples, folds, profile.shape),
        "auc_adapted": held_out_auc(adapted, examples, folds, profile.shape),
    }
    info = OnnxDetector(model).info
    card = DetectorCard(
        name=f"{info.name}-{profile.name}",
        targets={name: list(classes) for name, classes in info.targets.items()},
        presence_threshold=dict(info.presence_threshold),
        presence_hysteresis=dict(info.presence_hysteresis),
        decision={name: asdict(info.rule(name)) for name in info.targets},
        file_decision={name: asdict(info.rule(name, whole_file=True)) for name in info.targets},
        ears=json.loads(info.metadata.get("ears", "[]")),
        licence=info.metadata.get("licence", ""),
        training_data=f"{info.metadata.get('training_data', '')}; adapted to the examples of "
        f"{profile.name!r}",
    )
    output = Path(output)
    export_voice(adapted, output, card)
    lesson = teach(examples, OnnxDetector(output), TeachingNotes(), profile.name, checked=True)
    result["profile"] = lesson.profile
    save_profile(lesson.profile, output.with_suffix(".gate.yaml"))
    return result


def add_parser(subparsers):
    """Add `adapt` and its options."""
    parser = subparsers.add_parser("adapt", help="fine-tune the detector on a profile's examples",
                                   description=__doc__.splitlines()[0])  # fmt: skip
    parser.add_argument(
        "profile", metavar="NAME.gate.yaml", help="made by gate-learn, with its examples"
    )
    parser.add_argument("-o", "--output", required=True, metavar="NAME.onnx")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    parser.add_argument("--model", default="voice", help="detector to begin with")
    parser.add_argument("--data", help="voice corpus, for its noises; without it none are mixed in")
    defaults = AdaptSettings()
    for name, kind in (("steps", int), ("learning_rate", float), ("keep_weight", float),
                       ("noise_s", float), ("seed", int)):  # fmt: skip
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=kind, default=getattr(defaults, name), metavar="X",
                            help=f"default {getattr(defaults, name)}")  # fmt: skip
    return parser


def run(args):
    """Adapt, and say whether it paid."""
    if not args.output.endswith(".onnx"):
        raise ConfigError(f"output={args.output} must end with .onnx")
    if Path(args.output).with_suffix(".gate.yaml").resolve() == Path(args.profile).resolve():
        raise ConfigError(f"output={args.output}: its profile would replace {args.profile}")
    rules = OutputRules([args.profile, find_model(args.model)], args.overwrite)
    for suffix in (".onnx", ".gate.yaml", ".gate.npz"):
        rules.check(Path(args.output).with_suffix(suffix))
    settings = AdaptSettings(
        steps=args.steps, learning_rate=args.learning_rate, keep_weight=args.keep_weight,
        noise_s=args.noise_s, seed=args.seed,
    )  # fmt: skip

    def progress(step, task, keep):
        if step % 25 == 0 or step == settings.steps:
            print(f"step {step} of {settings.steps}: loss {task:.3f}, distance {keep:.4f}",
                  file=sys.stderr, flush=True)  # fmt: skip

    result = adapt(load_profile(args.profile), find_model(args.model), args.output, args.data,
                   settings, progress)  # fmt: skip
    before, after = result["auc_head"], result["auc_adapted"]
    verdict = "it pays" if after > before + 0.005 else "the small head is as good: keep it"
    print(f"ROC-AUC on held-out examples: {before:.3f} with the small head alone, {after:.3f} with "
          f"the adapted network; {verdict}")  # fmt: skip
    print(f"detector: {args.output}, profile: {Path(args.output).with_suffix('.gate.yaml')}")
