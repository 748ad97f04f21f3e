"""Teach gates by example, test them on other recordings, compare.

Every task of `benchmarks.learn.tasks` is taught with 5, 10, 30 and 60 s a side and tested once,
through the gate itself (16 kHz, default threshold and range). Wanted and unwanted time is the
time in which a test recording sounds; silence counts for nobody. Balanced accuracy is the mean
of the share of wanted time passed and of unwanted time shut out; onset delay as in `gate.metrics`.

Each task has a second test: the same wanted recordings among sounds of kinds that nobody showed
the gate (`benchmarks.learn.untaught`).

Beside the taught gate: the untaught default; a level gate with the best threshold and ballistics
for the examples; and a nearest-centroid rule on the same embedding, in the same gate.
"""

import sys
import time
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.learn.tasks import RATE, performance, teaching, test_scene
from gate.decision import EvidenceRule
from gate.detector import NoDetector
from gate.errors import GateError
from gate.metrics import measure, merge_segments, open_segments
from gate.processor import GateProcessor
from gate.settings import GateSettings
from realtime.engine import open_detector
from realtime.learn.examples import from_samples, listeners
from realtime.learn.hops import embedding_of
from realtime.learn.profile_detector import ProfileDetector
from realtime.learn.recording import OPEN, SHUT, unpack_ears, unpack_log_mel
from realtime.learn.remarks import TeachingNotes
from realtime.learn.teach import teach
from realtime.learn.world import SHIPPED

SECONDS = (5.0, 10.0, 30.0, 60.0)
STANDARD_S = 30.0
"""Seconds of examples a side for the comparison."""

METHODS = ("taught", "centroid", "default", "level")

PARTS = {
    "no world": (None, False, False),
    "world": (SHIPPED, False, False),
    "world, exclusion": (SHIPPED, True, False),
    "world, exclusion, metric": (SHIPPED, True, True),
}
"""What each part of teaching brings: the world, leaving out what resembles, the metric."""


@dataclass(frozen=True)
class Score:
    """How a gate did on a task.

    Attributes
    ----------
    balanced_accuracy, opens, passes : float
        Mean of `opens` and 1 - `passes`: shares of wanted and of unwanted time passed.
    onset_p50_ms, onset_p95_ms : float
    """

    balanced_accuracy: float
    opens: float
    passes: float
    onset_p50_ms: float
    onset_p95_ms: float


def score_gate(processor, audio, wanted, unwanted):
    """`Score` of a gate on a scene at 16 kHz."""
    gains = []
    processor.on_gains = lambda lane, gain: gains.append(gain.copy())
    for start in range(0, len(audio), 30 * RATE):
        processor.process_many(audio[start : start + 30 * RATE, None])
    heard = open_segments(np.concatenate(gains), RATE, processor.settings.range_db)
    duration = len(audio) / RATE
    wanted, unwanted = merge_segments(wanted), merge_segments(unwanted)
    tally = measure(wanted, heard, duration).summary()
    opens, passes = _share_open(wanted, heard), _share_open(unwanted, heard)
    return Score(
        0.5 * (opens + 1.0 - passes), opens, passes, tally["onset_p50_ms"], tally["onset_p95_ms"]
    )


def _share_open(segments, heard):
    grid = np.concatenate([[0.0], heard.ravel()])
    lengths = heard[:, 1] - heard[:, 0]
    open_then = np.cumsum(lengths)
    so_far = np.column_stack([open_then - lengths, open_then]).ravel()
    so_far = np.concatenate([[0.0], so_far])
    inside = np.interp(segments[:, 1], grid, so_far) - np.interp(segments[:, 0], grid, so_far)
    return float(inside.sum() / (segments[:, 1] - segments[:, 0]).sum())


def centroid_profile(profile, recordings, detector):
    """The same gate with a nearest-centroid rule on the embedding in place of the head."""
    sides = ([], [])
    for recording in recordings:
        ears = None if recording.ears is None else unpack_ears(recording.ears)
        embedding = embedding_of(unpack_log_mel(recording.log_mel), ears, detector)
        for label in (OPEN, SHUT):
            sides[label].append(embedding[(recording.label == label) & recording.sounding])
    shut, opened = (np.concatenate(side) for side in sides)
    scale = np.concatenate([shut, opened]).std(axis=0) + 1e-3
    near, far = opened.mean(axis=0) / scale, shut.mean(axis=0) / scale
    # |e - far|^2 > |e - near|^2 is a linear rule.
    weights = 2.0 * (near - far) / scale
    bias = float(far @ far - near @ near)
    coefficients = np.zeros_like(profile.coefficients)
    coefficients[: len(weights)] = weights
    return replace(
        profile,
        coefficients=coefficients.astype(np.float32),
        bias=bias,
        presence_threshold=0.5,
        rule=EvidenceRule(),
    )


def level_gate(profile):
    """A gate without a detector, with the settings fitted to the examples."""
    c = profile.classic
    settings = GateSettings(
        threshold_db=c["threshold_db"],
        hysteresis_db=c["hysteresis_db"],
        attack_ms=c["attack_ms"],
        hold_ms=c["hold_ms"],
        release_ms=c["release_ms"],
    )
    return GateProcessor(settings, sample_rate=RATE, detector=NoDetector())


@dataclass(frozen=True)
class Scene:
    """A test: 16 kHz audio, and where wanted and unwanted sounds are, seconds."""

    audio: np.ndarray
    wanted: np.ndarray
    unwanted: np.ndarray

    def score(self, processor):
        """`Score` of a gate."""
        return score_gate(processor, self.audio, self.wanted, self.unwanted)


def run_task(task, model, seconds=SECONDS, parts=False):
    """All figures of a task.

    Parameters
    ----------
    task : benchmarks.learn.tasks.Task
    model : str
        Detector.
    seconds : tuple of float
        Amounts of examples a side.
    parts : bool
        Also teach without the world, and without leaving anything out of it.

    Returns
    -------
    dict
        Method or seconds to `Score`; ``teach_cpu_s`` and ``cross_validated`` at 30 s. Under
        ``untaught`` the `Score` of seconds, and of parts, among sounds of untaught kinds.
    """
    detector = open_detector(model)
    ears = listeners(detector.info)
    taught, strange = (Scene(*test_scene(task, strangers=flag)) for flag in (False, True))
    recorded = performance if task.group == "drum" else teaching
    clips = {OPEN: recorded(task.open_teach, max(seconds)),
             SHUT: recorded(task.shut_teach, max(seconds))}  # fmt: skip
    result = {"available_s": {label: sum(map(len, c)) / RATE for label, c in clips.items()},
              "untaught": {}}  # fmt: skip

    def gate_of(profile):
        wrapped = ProfileDetector(detector.fork(), profile)
        return GateProcessor(GateSettings(), sample_rate=RATE, detector=wrapped)

    for amount in seconds:
        recordings = [
            from_samples(samples, RATE, label, f"{side} {i}", ears)
            for label, side in ((OPEN, "open"), (SHUT, "shut"))
            for i, samples in enumerate(_first(clips[label], amount))
        ]
        started = time.process_time()
        try:
            lesson = teach(recordings, detector, TeachingNotes(), task.name)
        except GateError as error:
            if amount >= STANDARD_S:
                raise
            # So little of it sounds that gate-learn refuses: an untaught gate is a coin.
            print(f"{task.name}, {amount:g} s: {error}; counts as .5", file=sys.stderr)
            result[amount] = result["untaught"][amount] = None
            continue
        spent = time.process_time() - started
        result[amount] = taught.score(gate_of(lesson.profile))
        result["untaught"][amount] = strange.score(gate_of(lesson.profile))
        if amount != STANDARD_S:
            continue
        result["teach_cpu_s"] = spent
        result["cross_validated"] = lesson.profile.expected["balanced_accuracy"]
        result["left_out"] = lesson.profile.world.get("left_out", {})
        result["taught"] = result[amount]
        centroid = centroid_profile(lesson.profile, recordings, detector)
        result["centroid"] = taught.score(gate_of(centroid))
        default = GateProcessor(GateSettings(), sample_rate=RATE, detector=detector.fork())
        result["default"] = taught.score(default)
        result["level"] = taught.score(level_gate(lesson.profile))
        if parts:
            result["parts"] = {}
            for name, (world, leave_out, learned) in PARTS.items():
                profile = teach(recordings, detector, TeachingNotes(), task.name, world=world,
                                leave_out=leave_out, learned=learned).profile  # fmt: skip
                scores = (scene.score(gate_of(profile)) for scene in (taught, strange))
                result["parts"][name] = tuple(scores)
    return result


def _first(clips, seconds):
    left, taken = int(seconds * RATE), []
    for samples in clips:
        if left <= 0:
            break
        taken.append(samples[:left])
        left -= len(samples)
    return taken


def block_cost(model, seconds=20.0, rounds=7):
    """CPU microseconds a block of 100 samples at 48 kHz, without and with a profile.

    Returns
    -------
    plain, taught : float
        Smallest of several rounds in turn, so that a busy machine spoils neither.
    """
    rng = np.random.default_rng(0)
    samples = rng.standard_normal(int(8 * RATE)).astype(np.float32) * np.float32(0.05)
    detector = open_detector(model)
    recordings = [from_samples(samples, RATE, OPEN, "a"),
                  from_samples(np.diff(samples, prepend=0), RATE, SHUT, "b")]  # fmt: skip
    profile = teach(recordings, detector, TeachingNotes()).profile
    wrapped = ProfileDetector(detector.fork(), profile)
    audio = rng.standard_normal((int(seconds / rounds * 48000), 1)).astype(np.float32) * 0.05
    gates = [GateProcessor(sample_rate=48000, detector=d) for d in (detector.fork(), wrapped)]
    best = [np.inf, np.inf]
    for _ in range(rounds):
        for i, processor in enumerate(gates):
            started = time.process_time()
            for start in range(0, len(audio), 100):
                processor.process(audio[start : start + 100])
            n_blocks = len(audio) / 100
            best[i] = min(best[i], 1e6 * (time.process_time() - started) / n_blocks)
    return tuple(best)
