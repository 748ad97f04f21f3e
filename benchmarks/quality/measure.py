"""Gating quality: every system on the same recordings, by the measures of `gate.metrics`."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.peers.base import Hearing
from benchmarks.quality.decisions import drive
from benchmarks.stats import ClipResult, figures
from gate.metrics import hop_labels, measure, open_segments
from gate.signal_metrics import frame_gain, gated_signal_loss, weighted_energy

GROUP_ORDER = (
    "clean", "20 dB", "10 dB", "5 dB", "0 dB", "meeting", "recording", "noise", "music",
    "human_nonspeech",
)  # fmt: skip
SWEEP_GROUP_ORDER = ("10 dB", "recording", "meeting")
SWEEP_THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)

_HOP_S = 0.01
_KNOWN_S = 0.002  # a score counts for a hop if it was known 2 ms after its end
_SWEEP_RATE = 1000


@dataclass
class Comparison:
    """Results of a run.

    Attributes
    ----------
    systems : list of System
    results : dict of str to list of ClipResult
        By system.
    sweep_group : str
        The group of `sweeps`, or an empty string.
    swept_seconds : dict of str to ndarray
        By system: seconds lost, wanted, passed, unwanted at each of `SWEEP_THRESHOLDS`.
    """

    systems: list
    results: dict = field(default_factory=dict)
    sweep_group: str = ""
    swept_seconds: dict = field(default_factory=dict)

    @property
    def sweeps(self):
        """By system: (threshold, share of wanted time lost, share of unwanted time passed)."""
        return {
            name: [
                (threshold, lost / max(wanted, 1e-9), passed / max(unwanted, 1e-9))
                for threshold, (lost, wanted, passed, unwanted) in zip(
                    SWEEP_THRESHOLDS, seconds.tolist(), strict=True
                )
            ]
            for name, seconds in self.swept_seconds.items()
        }

    @property
    def groups(self):
        """Groups in the order of the tables."""
        found = {r.group for results in self.results.values() for r in results}
        known = [group for group in GROUP_ORDER if group in found]
        return known + sorted(found - set(known))

    def of(self, system, group):
        """Results of a system on a group."""
        return [r for r in self.results[system] if r.group == group]

    def table(self, seed=0):
        """Figures: group -> system -> measure -> `benchmarks.stats.Figure`."""
        return {
            group: {s.name: figures(self.of(s.name, group), seed) for s in self.systems}
            for group in self.groups
        }

    def worst(self, system, count=10):
        """Name, group and error of the clips on which a system did worst, one a cluster."""
        found = {}
        for r in sorted(self.results[system], key=lambda r: -r.error):
            found.setdefault(r.cluster, (r.name, r.group, r.error))
        return list(found.values())[:count]


def judge(clip, loaded, answer, system, energies=None):
    """Measure one answer.

    Parameters
    ----------
    clip : training.corpus.clips.Clip
    loaded : training.corpus.clips.Loaded
    answer : benchmarks.peers.base.Answer
    system : benchmarks.peers.base.System
    energies : tuple of ndarray, optional
        Weighted energies of the wanted sound and the rest, where they are known.

    Returns
    -------
    ClipResult
    """
    rate, sound = loaded.sample_rate, loaded.sound
    opened = open_segments(answer.gain, rate, system.range_db)
    tally = measure(loaded.segments, opened, loaded.duration_s)
    result = ClipResult(clip.name, clip.group, clip.cluster, tally)
    if answer.decisions is not None:
        n_hops = int(loaded.duration_s / _HOP_S)
        times = (np.arange(n_hops) + 1) * _HOP_S + _KNOWN_S
        result.score = answer.decisions.at(times).astype(np.float32)
        result.label = hop_labels(loaded.segments, n_hops, _HOP_S)
    if sound.wanted is not None:
        gain = answer.gain.astype(np.float64)
        result.lost = _energy_share((1.0 - gain) * sound.wanted, sound.wanted)
    if energies is not None and energies[1].any():
        result.passed = _energy_share(gain * sound.unwanted, sound.unwanted)
        result.loss = gated_signal_loss(frame_gain(gain, rate), *energies)
    return result


def _energy_share(part, whole):
    whole = float(np.dot(whole, whole))
    return float(np.dot(part, part)) / whole if whole > 0 else float("nan")


def compare(make_systems, clips, jobs=1, progress=None, cache=None, sweep=True):
    """Run all systems over all clips; any number of processes give the same results.

    Parameters
    ----------
    make_systems : callable
        Returns the list of `benchmarks.peers.base.System`; called once here and once a process.
    clips : list of training.corpus.clips.Clip
    jobs : int
        Processes; 1 where the platform cannot fork.
    progress : callable, optional
        Called with the number of clips done and in all.
    cache : path-like, optional
        See `benchmarks.peers.base.Hearing`.
    sweep : bool
        Also sweep the presence threshold over one group.

    Returns
    -------
    Comparison
    """
    group, systems, found = _sweep_group(clips) if sweep else "", make_systems(), {}

    def answers():
        if jobs == 1 or "fork" not in multiprocessing.get_all_start_methods():
            yield from ({i: _run_clip(systems, c, group, cache)} for i, c in enumerate(clips))
            return
        _Worker.job = (make_systems, clips, group, cache)
        tasks = {}  # clips of a cluster stay together: they share what they are made from
        for index, clip in enumerate(clips):
            tasks.setdefault(clip.cluster, []).append(index)
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("fork")) as pool:
            yield from pool.map(_Worker.run, tasks.values())

    for some in answers():
        found.update(some)
        if progress is not None:
            progress(len(found), len(clips))
    comparison = Comparison(systems, {system.name: [] for system in systems}, group)
    for results, swept in (found[index] for index in range(len(clips))):
        for name, result in results.items():
            comparison.results[name].append(result)
        for name, seconds in swept.items():
            comparison.swept_seconds[name] = comparison.swept_seconds.get(name, 0.0) + seconds
    return comparison


class _Worker:
    """What a process of `compare` keeps."""

    job = systems = None

    @classmethod
    def run(cls, indices):
        make_systems, clips, group, cache = cls.job
        if cls.systems is None:
            cls.systems = make_systems()
        return {i: _run_clip(cls.systems, clips[i], group, cache) for i in indices}


def _sweep_group(clips):
    groups = {clip.group for clip in clips}
    return next((group for group in SWEEP_GROUP_ORDER if group in groups), "")


def _run_clip(systems, clip, sweep_group, cache):
    """A clip's `ClipResult`s by system, and seconds by threshold where it is swept."""
    loaded = clip.load()
    sound = loaded.sound
    energies = None
    if sound.wanted is not None:
        energies = tuple(
            weighted_energy(part, loaded.sample_rate) for part in (sound.wanted, sound.unwanted)
        )
    hearing = Hearing(sound.audio, loaded.sample_rate, cache)
    results, swept = {}, {}
    for system in systems:
        answer = system.run(hearing)
        results[system.name] = judge(clip, loaded, answer, system, energies)
        rule = getattr(system, "rule", None)
        if rule is not None and clip.group == sweep_group:
            swept[system.name] = _sweep(answer.decisions, rule, loaded)
    return results, swept


def _sweep(decisions, rule, loaded):
    """Seconds lost, wanted, passed, unwanted at each threshold."""
    n_samples = int(loaded.duration_s * _SWEEP_RATE)
    duration = n_samples / _SWEEP_RATE
    segments = np.minimum(loaded.segments, duration)
    segments = segments[segments[:, 1] > segments[:, 0]]
    rows = []
    for threshold in SWEEP_THRESHOLDS:
        at = replace(rule, threshold=threshold, hysteresis=min(rule.hysteresis, threshold))
        gain = drive(decisions, at, n_samples, _SWEEP_RATE)
        t = measure(segments, open_segments(gain, _SWEEP_RATE, at.range_db), duration)
        lost, passed = t.front_clipped_s + t.mid_clipped_s, t.overhang_s + t.noise_passed_s
        rows.append((lost, t.wanted_s, passed, t.duration_s - t.wanted_s))
    return np.array(rows)
