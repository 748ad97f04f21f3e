"""`gate-bench ballistics`: does what is learned pay?

The gated-signal loss on seeded mixtures whose parts are known, with everything learned (evidence,
attack, release, key), against the best fixed presence threshold, hysteresis, hold, attack and
release and the best fixed key band, found by grid search on the dev split. Threshold and range
are drawn at random for every mixture, some times over, the same for all; voice below the
threshold is not wanted (`training.voice.gate_loss.split_by_threshold`). Intervals are 95 %
bootstrap intervals over mixtures (the five ratios of one mixture are drawn together). Also prints
how far the key level is from the voice's own level, and how many presence decisions change with
the recording's level.

The gate here is the batched twin of the shipped one (`training.voice.gate_loss`), held to it by
tests.
"""

import itertools
from dataclasses import dataclass, replace

import numpy as np
import torch

from benchmarks import tables
from benchmarks.machine import describe
from benchmarks.part import Part
from gate.decision import ClassicRule, EvidenceRule
from realtime.models import find_model
from training.corpus.mixtures import Mixer
from training.voice.evaluate import (
    OnnxNet,
    ask,
    hear,
    heard_by,
    key_error_db,
    key_levels,
    level_changes,
)
from training.voice.gate_loss import (
    WEIGHTS,
    GateLossSettings,
    UserSettings,
    decided,
    draw_user_settings,
    gate_loss,
    gated_signal_loss,
    split_by_threshold,
)

BANDS_HZ = tuple(itertools.product((125.0, 200.0, 300.0, 500.0), (1500.0, 2500.0, 4000.0, 7500.0)))
"""Fixed keys that are tried, lower and upper edge."""

PRESENCES, HYSTERESES = (0.4, 0.5, 0.6, 0.7, 0.8), (0.05, 0.1, 0.2, 0.3)
HOLDS_S, ATTACKS_S, RELEASES_S = (0.0, 0.03, 0.06, 0.1, 0.2), (0.0005, 0.002), (0.002, 0.005, 0.02)
"""Fixed values that are tried, each with each; then finer around the best."""

_REFINE = (0.5, 0.7, 1.0, 1.4, 2.0)


@dataclass(frozen=True)
class Way:
    """One way to run the gate.

    Attributes
    ----------
    rule : EvidenceRule or ClassicRule
    hold_s : float
        Of the classic rule.
    attack_s, release_s : float or None
        None where learned.
    key : str or tuple of float
        ``learned``, ``off``, or edges in Hz.
    """

    rule: EvidenceRule | ClassicRule
    hold_s: float = 0.0
    attack_s: float | None = None
    release_s: float | None = None
    key: object = "learned"

    @property
    def text(self):
        """The fixed values for people."""
        return (
            f"presence {self.rule.threshold:.2f} less {self.rule.hysteresis:.2f}, hold / attack / "
            f"release {1e3 * self.hold_s:.3g} / {1e3 * self.attack_s:.3g} / "
            f"{1e3 * self.release_s:.3g} ms"
        )


class Material:
    """What the detector says of a set of mixtures, ready for the gate.

    Parameters
    ----------
    recordings : list of training.voice.evaluate.Heard
        After `ask`; mixtures of one length, their parts known.
    columns : list of int
        Presence columns of the target.
    n_draws : int
        Users' settings a mixture.
    seed : int
        Of those.
    """

    def __init__(self, recordings, columns, n_draws=2, seed=0):
        self.recordings, self.n_draws = recordings, n_draws
        n = self._n = min(len(h.features) for h in recordings)
        self.clusters = np.array([h.cluster for h in recordings])
        self.groups = np.array([h.group for h in recordings])
        self._presence = self._stack([h.presence[:n, columns].max(axis=1) for h in recordings])
        self._ballistics = self._stack([h.ballistics[:n] for h in recordings])
        self._s = self._stack([h.s_energy[: 4 * n] for h in recordings])
        self._n_fine = self._stack([h.n_energy[: 4 * n] for h in recordings])
        self._own_level = self._stack([h.s_level_db[:n] for h in recordings])
        s_power = 10.0 ** (self._own_level.unsqueeze(-1) / 10.0)
        generator = torch.Generator().manual_seed(seed)
        draws = [draw_user_settings(s_power, s_power, generator) for _ in range(n_draws)]
        self._users = [UserSettings(*values) for values in draws]
        self._levels = {}

    @staticmethod
    def _stack(arrays):
        return torch.from_numpy(np.stack(arrays)).float()

    def _level(self, key):
        if key not in self._levels:
            levels = [key_levels(h, key)[: self._n] for h in self.recordings]
            self._levels[key] = self._stack(levels)
        return self._levels[key]

    def subset(self, rows):
        """Some of the mixtures, as another `Material` with the same draws."""
        other = object.__new__(Material)
        other.__dict__.update(self.__dict__)
        other.recordings = [self.recordings[row] for row in rows]
        other.clusters, other.groups = self.clusters[rows], self.groups[rows]
        for name in ("_presence", "_ballistics", "_own_level", "_s", "_n_fine"):
            setattr(other, name, getattr(self, name)[rows])
        other._users = [UserSettings(*(v[rows] for v in user)) for user in self._users]
        other._levels = {}
        return other

    @torch.no_grad()
    def run(self, way):
        """Loss, share lost, share passed, variation and openings a minute, (N, 5)."""
        ballistics = self._ballistics.clone()
        for column, value in ((0, way.attack_s), (2, way.release_s)):
            if value is not None:
                ballistics[..., column] = value
        settings = GateLossSettings(rule=way.rule, hold_s=way.hold_s)
        results = []
        for user in self._users:
            opened = decided(self._presence, self._level(way.key), user.threshold_db, settings)
            found = gate_loss(
                opened, ballistics, self._s, self._n_fine, user, self._own_level, settings
            )
            begins = (opened[:, 1:] & ~opened[:, :-1]).sum(dim=1) + opened[:, 0].long()
            minutes = self._n * settings.hop_s / 60.0
            results.append(torch.stack([*found[:4], begins / minutes], dim=1).numpy())
        return np.mean(results, axis=0)

    @torch.no_grad()
    def run_open(self):
        """The same of an always-open gate."""
        results = []
        for user in self._users:
            parts = split_by_threshold(self._s, self._n_fine, self._own_level, user.threshold_db)
            found = gated_signal_loss(torch.ones_like(self._s), *parts)
            results.append(torch.stack([*found[:4], torch.zeros(len(self._s))], dim=1).numpy())
        return np.mean(results, axis=0)


def search_fixed(material):
    """Fixed presence, hysteresis, hold, attack and release with the lowest mean loss."""
    few = material.subset(
        np.flatnonzero(np.unique(material.clusters, return_inverse=True)[1] % 3 == 0)
    )

    def best_of(candidates, where):
        return min(candidates, key=lambda way: where.run(way)[:, 0].mean())

    grid = itertools.product(PRESENCES, HYSTERESES, HOLDS_S, ATTACKS_S, RELEASES_S)
    best = best_of([Way(ClassicRule(p, min(h, p)), hold, a, r) for p, h, hold, a, r in grid], few)
    for _ in range(2):
        for name in ("hold_s", "attack_s", "release_s"):
            value = getattr(best, name) or 0.01
            best = best_of([best, *(replace(best, **{name: value * f}) for f in _REFINE)], material)
        for threshold, hysteresis in ((0.05, 0.0), (-0.05, 0.0), (0.0, 0.05), (0.0, -0.05)):
            rule = best.rule
            threshold = min(max(rule.threshold + threshold, 0.05), 0.95)
            hysteresis = min(max(rule.hysteresis + hysteresis, 0.0), threshold)
            moved = replace(best, rule=ClassicRule(threshold, hysteresis))
            best = best_of([best, moved], material)
    return best


def search_band(material, rule, bands_hz=BANDS_HZ):
    """Fixed key band with the lowest mean loss, the rest learned."""
    return min(bands_hz, key=lambda band: material.run(Way(rule, key=band))[:, 0].mean())


def interval(values, clusters, n_resamples=2000, seed=0):
    """Mean and its 95 % bootstrap interval; clusters are drawn whole.

    Parameters
    ----------
    values : array_like, shape (n,)
    clusters : array_like, shape (n,)
        Values with the same label are drawn together.

    Returns
    -------
    mean, low, high : float
    """
    _, index = np.unique(clusters, return_inverse=True)
    sums = np.bincount(index, values)
    counts = np.bincount(index)
    picks = np.random.default_rng(seed).integers(len(sums), size=(n_resamples, len(sums)))
    means = sums[picks].sum(axis=1) / counts[picks].sum(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(np.mean(values)), float(low), float(high)


def compare(dev, judged, rule):
    """Search on `dev`, judge on `judged`: rows of (name, result (N, 5)).

    `rule` is the detector's own, by evidence.
    """
    fixed, band = search_fixed(dev), search_band(dev, rule)
    ways = {
        "all learned": Way(rule),
        f"best fixed: {fixed.text}": fixed,
        "its presence, hysteresis and hold, the rest learned": replace(
            fixed, attack_s=None, release_s=None
        ),
        "its attack and release, the rest learned": Way(
            rule, attack_s=fixed.attack_s, release_s=fixed.release_s
        ),
        "key off, the rest learned": Way(rule, key="off"),
        f"best fixed key, {band[0]:g}-{band[1]:g} Hz, the rest learned": Way(rule, key=band),
        "all fixed at these": replace(fixed, key=band),
    }
    rows = {name: judged.run(way) for name, way in ways.items()}
    rows["always open"] = judged.run_open()
    return rows


def rows_table(rows, clusters):
    """Loss of every way, and how much more it is than with everything learned."""
    learned = rows["all learned"]
    lines = []
    for name, result in rows.items():
        mean, low, high = interval(result[:, 0], clusters)
        more = interval(result[:, 0] - learned[:, 0], clusters)
        more = "" if result is learned else f"{more[0]:+.4f} ({more[1]:+.4f} to {more[2]:+.4f})"
        lost, passed, variation, opens = result[:, 1:].mean(axis=0)
        lines.append([name, f"{mean:.4f} ({low:.4f} to {high:.4f})", more,
                      f"{lost:.3f}", f"{passed:.3f}", f"{variation:.2f}",
                      f"{opens:.1f}"])  # fmt: skip
    header = ["gate", "loss", "more than learned", "speech lost", "rest passed",
              "variation a second", "openings a minute"]  # fmt: skip
    return tables.table(header, lines)


def groups_table(rows, groups, clusters):
    """What fixed costs more than learned, a ratio of voice to the rest."""
    learned = rows["all learned"][:, 0]
    lines = []
    for name, result in rows.items():
        if name in ("all learned", "always open"):
            continue
        cells = []
        for group in dict.fromkeys(groups):
            more = (result[:, 0] - learned)[groups == group]
            mean, low, high = interval(more, clusters[groups == group])
            cells.append(f"{mean:+.3f} ({low:+.3f} to {high:+.3f})")
        lines.append([name, *cells])
    return tables.table(["more than learned at", *dict.fromkeys(groups)], lines)


def ballistics(args, config, command, say):
    """Learned against fixed, on the split."""
    torch.set_num_threads(1)
    net = OnnxNet(find_model(config.engine.model))
    info, target = net.detector.info, config.gate.target
    rule = info.rule(target)
    ears = heard_by(info)
    columns = info.target_columns(target)
    n_mixtures = 4 if args.quick else args.mixtures

    def prepare(split, seed):
        say(f"ballistics: {split}")
        clips = Mixer(args.data, split, seed).clips(n_mixtures)
        recordings = ask(net, [hear(clip, ears) for clip in clips], together=1)
        return clips, Material(recordings, columns, args.draws, args.seed)

    # On dev itself, the search gets mixtures that the table is not made from.
    _, dev = prepare("dev", args.seed + (args.split == "dev"))
    clips, judged = prepare(args.split, args.seed)
    say("ballistics: searching")
    rows = compare(dev, judged, rule)
    errors = key_error_db(judged.recordings)
    groups = list(dict.fromkeys(judged.groups))
    changed = level_changes(net, clips[:50], rule, ears)
    body = "\n\n".join((
        f"{args.split}: {len(clips)} mixtures x {args.draws} draws of threshold and range; loss = "
        f"{WEIGHTS.lost:g} x share of speech lost + {WEIGHTS.passed:g} x share of the rest passed "
        f"+ {WEIGHTS.movement:g} x variation a second; mean (95 % interval).",
        rows_table(rows, judged.clusters),
        groups_table(rows, judged.groups, judged.clusters),
        tables.table(["median error of the key level", *groups],
                     [["against the voice alone", *(f"{errors[g]:.1f} dB" for g in groups)]]),
        f"Presence decisions that change from -10 to -50 dBFS: {100 * changed:.2f} % of hops.",
    ))  # fmt: skip
    data = {
        "meta": describe(command, args.seed),
        "rows": {name: result.mean(axis=0).tolist() for name, result in rows.items()},
        "key_error_db": errors,
        "level_changes": changed,
    }
    return Part(f"ballistics:{args.split}", "Learned and fixed", body, data)
