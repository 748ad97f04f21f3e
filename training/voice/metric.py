"""`gate-train voice metric`: in which directions kinds of sound differ (`realtime.learn.metric`).

Some recordings of every speaker and every kind of sound of the train split, shuffled into medleys
and heard by the detector. Directions begin where discriminant analysis finds them and are learned
in episodes, each a small lesson: a few recordings of a kind to open on, some of other kinds and of
a passing world to stay shut on, a ridge classifier in closed form, and its loss on recordings of
that kind that it has not seen, among kinds that it was shown and kinds that it was not.
"""

import re
from pathlib import Path

import numpy as np

from gate.errors import ConfigError
from training.corpus.manifest import read_manifest

TAUS_S = (0.05, 0.2, 0.8)
RANK, N_INPUTS = 64, 256
"""Coordinates that are learned, and discriminant directions of which they are made."""

WEIGHT = 1.0
"""Of these coordinates beside those found in the examples; chosen on dev."""

STEPS, EPISODES = 600, 4
_SPEED = 3e-3
_VOICES_MOST, _SOUNDS_MOST = 10, 24  # recordings of a speaker, of a kind of sound
_STRETCH_HOPS, _LONGEST_S = 200, 6.0
_KEPT = 0.2  # of all hops
_A_MEDLEY = 150  # recordings
_SHRINK = 0.1
_STROKE = re.compile(r"^\d+_|[_-]?(softest|soft|med|hardest|hard|\d+)$", re.IGNORECASE)


def kind_of(row):
    """What a recording of the manifest is of, or None where that is not known."""
    if row.kind == "speech":
        return f"speech {row.source} {row.speaker}" if row.speaker else None
    if row.source == "hydrogen_drums":
        return f"drum {_STROKE.sub('', _STROKE.sub('', Path(row.file).stem))}"
    if row.kind == "music" and not row.cls:
        return f"music {row.file}"
    return f"{row.kind} {row.source} {row.cls}"


def heard(data, detector, seed=0, progress=None):
    """Inputs of heads at some hops of the train split.

    Parameters
    ----------
    data : str or Path
        The corpus' folder.
    detector : gate.detector.Detector
    seed : int
    progress : callable, optional
        Given the share that is done.

    Returns
    -------
    x : ndarray, shape (n, k), float16
    source, kind : ndarray, shape (n,), int
        Recording, and index in the names.
    names : list of str
    """
    from realtime.learn.examples import from_samples, listeners
    from realtime.learn.head import HeadShape
    from realtime.learn.hops import inputs_of
    from realtime.learn.medley import MedleyMaker, Unit
    from realtime.learn.recording import SHUT
    from training.corpus.decode import SAMPLE_RATE, decode

    rng = np.random.default_rng([seed, 11])
    ears, by_kind, recordings, units = listeners(detector.info), {}, [], []
    for row in read_manifest(data, "train"):
        if kind_of(row):
            by_kind.setdefault(kind_of(row), []).append(row)
    for number, (kind, rows) in enumerate(sorted(by_kind.items())):
        most = _VOICES_MOST if kind.startswith("speech") else _SOUNDS_MOST
        for i in rng.permutation(len(rows))[:most]:
            samples = decode(Path(data) / rows[i].file)[: int(_LONGEST_S * SAMPLE_RATE)]
            if len(samples) < SAMPLE_RATE // 10:
                continue
            recording = from_samples(samples, SAMPLE_RATE, SHUT, kind, ears)
            if recording.sounding.sum() < 10:
                continue
            n = min(len(recording.label), _STRETCH_HOPS)
            sums = np.concatenate([[0], np.cumsum(recording.sounding)])
            begin = int(np.argmax(sums[n:] - sums[:-n]))
            units.append(Unit(len(recordings), begin, begin + n))
            recordings.append(recording)
        if progress:
            progress(0.8 * number / len(by_kind))
    maker, shape = MedleyMaker(recordings), HeadShape(TAUS_S)
    x, source = [], []
    for part in np.array_split(rng.permutation(len(units)), len(units) // _A_MEDLEY + 1):
        medley = maker.make([units[i] for i in part], rng)
        sure = np.flatnonzero((medley.weight >= 0.5) & (medley.source >= 0))
        sure = sure[rng.random(len(sure)) < _KEPT]
        x.append(inputs_of(medley, detector, shape)[sure].astype(np.float16))
        source.append(medley.source[sure])
    source = np.concatenate(source)
    names = sorted({r.name for r in recordings})
    number = {name: i for i, name in enumerate(names)}
    kinds = np.array([number[r.name] for r in recordings])
    return np.concatenate(x), source, kinds[source], names


def discriminants(x, source, kind, names, n_directions):
    """Mean, and directions that vary more between kinds than within them, strongest first.

    Speakers and other sounds weigh alike, so do kinds, and the recordings of a kind.

    Returns
    -------
    mean : ndarray, shape (k,)
    directions : ndarray, shape (k, n_directions)
        Each of unit variance within kinds, times the fourth root of the variance between them.
    """
    recording, index, counts = np.unique(source, return_inverse=True, return_counts=True)
    of_recording = np.zeros(len(recording), int)
    of_recording[index] = kind
    n_of_kind = np.bincount(of_recording, minlength=len(names))
    voice = np.array([name.startswith("speech") for name in names])
    of_kind = np.where(n_of_kind >= 2, 1.0, 0.0)
    for group in (voice, ~voice):
        of_kind[group] *= 0.5 / max(of_kind[group].sum(), 1.0)
    weight = (of_kind / np.maximum(n_of_kind, 1))[kind] / counts[index]
    weight /= weight.sum()
    root = np.sqrt(weight).astype(np.float32)[:, None]
    mean = (weight[:, None] * x).sum(axis=0)
    scale = np.sqrt((weight[:, None] * np.square(x - mean)).sum(axis=0)) + 1e-3
    z = ((x - mean) / scale).astype(np.float32)
    of_recordings = np.zeros((len(recording), x.shape[1]))
    np.add.at(of_recordings, index, z / counts[index][:, None])
    centres = np.zeros((len(names), x.shape[1]))
    np.add.at(centres, of_recording, of_recordings / n_of_kind[of_recording][:, None])
    between = (centres * of_kind[:, None]).T @ centres
    # Means of few recordings differ by chance: that part belongs to what varies within.
    off = of_recordings - centres[of_recording]
    n = n_of_kind[of_recording]
    chance = (off * (of_kind[of_recording] / n / np.maximum(n - 1, 1))[:, None]).T @ off
    within = (z * root).T @ (z * root) - between + chance
    spread = np.trace(within) / len(within)
    within = (1.0 - _SHRINK) * within + _SHRINK * spread * np.eye(len(within))
    values, vectors = np.linalg.eigh(within)
    whitener = vectors / np.sqrt(np.maximum(values, 1e-9))
    ratio, turned = np.linalg.eigh(whitener.T @ (between - chance) @ whitener)
    directions = (whitener @ turned[:, ::-1]) / scale[:, None]
    strength = np.maximum(ratio[::-1], 1e-6) ** 0.25
    return mean, (directions * strength)[:, :n_directions]


def learn(x, source, kind, names, seed=0, steps=STEPS, rank=RANK, say=print):
    """Mean (k,) and learned directions (k, rank) of inputs: see the module."""
    import torch
    from torch.nn.functional import softplus

    mean, first = discriminants(x, source, kind, names, N_INPUTS)
    z = torch.from_numpy((x - mean.astype(np.float32)) @ first.astype(np.float32))
    episodes = _Episodes(source, kind, names, np.random.default_rng([seed, 12]))
    start = torch.eye(z.shape[1], rank)
    turn = start.clone().requires_grad_()
    knobs = torch.tensor([-1.2, 1.8, 0.0], requires_grad=True)  # log penalty, log scale, offset
    adam = torch.optim.Adam([{"params": [turn], "lr": _SPEED}, {"params": [knobs], "lr": 2e-2}])
    mean_loss = 0.0
    for step in range(steps):
        warm = min(1.0, (step + 1) / 50)
        adam.param_groups[0]["lr"] = _SPEED * warm * 0.5 * (1.0 + np.cos(np.pi * step / steps))
        loss = 1e-3 * torch.square(turn - start).sum() / rank
        for _ in range(EPISODES):
            shown, label, weight, asked, answer, counts = episodes.draw()
            points = z[shown] @ turn
            centre, middle = weight @ points, weight @ label
            points = points - centre
            gram = (points * weight[:, None]).T @ points + knobs[0].exp() * torch.eye(rank)
            head = torch.linalg.solve(gram, points.T @ (weight * (label - middle)))
            score = (z[asked] @ turn - centre) @ head + middle
            score = score * knobs[1].exp() + knobs[2]
            loss = loss + counts @ softplus(-answer * score) / EPISODES
        adam.zero_grad()
        loss.backward()
        adam.step()
        mean_loss = loss.item() if step == 0 else 0.98 * mean_loss + 0.02 * loss.item()
        if say and (step + 1) % 100 == 0:
            say(f"metric: step {step + 1} of {steps}, loss {mean_loss:.3f}")
    return mean, first @ turn.detach().numpy().astype(np.float64)


class _Episodes:
    """Draws small lessons: hops to learn from and hops to be asked about."""

    def __init__(self, source, kind, names, rng):
        self._rng = rng
        order = np.argsort(source, kind="stable")
        recordings, starts = np.unique(source[order], return_index=True)
        self._hops = dict(zip(recordings.tolist(), np.split(order, starts[1:]), strict=True))
        self._of = {}
        for recording, hops in self._hops.items():
            self._of.setdefault(int(kind[hops[0]]), []).append(recording)
        self._all = np.array(sorted(self._of))
        voice = np.array([names[k].startswith("speech") for k in self._all])
        self._groups = self._all[voice], self._all[~voice]
        self._rich = [np.array([k for k in g if len(self._of[k]) >= 4]) for g in self._groups]
        if not all(map(len, self._rich)):
            raise ConfigError("a metric needs speakers and other kinds of 4 recordings or more")

    def draw(self):
        """Indices, labels of 1 and -1, and weights: what is shown, and what is asked."""
        import torch

        rng = self._rng
        group = int(rng.random() >= 0.55)
        wanted = rng.choice(self._rich[group])
        mine = rng.permutation(self._of[wanted])
        n = min(len(mine) - 1, int(rng.choice([2, 3, 5, 6])))
        near = rng.permutation(self._groups[group])[:17]
        near = near[near != wanted]
        others = rng.choice(self._all, 72)
        others = others[others != wanted]
        taught, closed = [], []
        for kind in [*near[:6], *others[:2]]:
            some = rng.permutation(self._of[kind])
            taught.append(some[0])
            closed.extend(some[1:2])
        world, far = self._one_each(others[12:]), self._one_each([*near[6:], *others[2:12]])
        shown = ((mine[:n], 12, 0.5), (taught, 12, 0.25), (world, 4, 0.25))
        asked = ((mine[n : n + 4], 12, 0.5), (closed, 8, 0.2), (far, 6, 0.3 if closed else 0.5))
        return tuple(torch.from_numpy(a) for sides in (shown, asked) for a in self._stacked(sides))

    def _one_each(self, kinds):
        return [self._rng.choice(self._of[kind]) for kind in kinds]

    def _stacked(self, sides):
        """Hops of all sides, their labels (the first side is wanted) and weights."""
        parts = [[], [], []]
        for side, (recordings, most, share) in enumerate(sides):
            hops = [self._rng.permutation(self._hops[int(r)])[:most] for r in recordings]
            hops = np.concatenate([*hops, np.zeros(0, np.int64)]).astype(np.int64)
            parts[0].append(hops)
            parts[1].append(np.full(len(hops), -1.0 if side else 1.0, np.float32))
            parts[2].append(np.full(len(hops), share / max(len(hops), 1), np.float32))
        return [np.concatenate(part) for part in parts]


def write_metric(args):
    """``gate-train voice metric``: make it and write it beside the detector.

    Parameters
    ----------
    args : argparse.Namespace
        ``data``, ``seed``, and ``output``, the detector that it is for.
    """
    from realtime.engine import open_detector
    from realtime.learn.head import Basis, HeadShape
    from realtime.learn.metric import Metric, save_metric

    output = Path(args.output)
    detector = open_detector(str(output))
    x, source, kind, names = heard(args.data, detector, args.seed)
    mean, directions = learn(x.astype(np.float32), source, kind, names, args.seed)
    basis = Basis(mean.astype(np.float32), (WEIGHT * directions).astype(np.float32))
    path = output.with_suffix(".metric.npz")
    save_metric(path, Metric(basis, HeadShape(TAUS_S), detector.info.sha256))
    told = f"{len(names)} kinds of sound, {len(np.unique(source))} recordings"
    print(f"{path}: {told}, for detector {detector.info.sha256[:12]}")
