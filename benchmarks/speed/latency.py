"""What a block costs and how late the gate is."""

import functools
import gc
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.signals import SENTENCES_S, sample_talk, talk
from gate.metrics import Tally, measure, open_segments
from realtime.engine import open_gate
from training.corpus.decode import resample
from training.corpus.manifest import has_manifest
from training.corpus.mixtures import Mixer

RATES = (44100, 48000, 96000, 192000)
BLOCK_SIZES = (16, 32, 64, 100, 128, 256, 480, 512, 1024, 2048, 4096)
STAGES = ("decimate", "mel", "ears", "detector", "key level", "control", "envelope")
_WARM_UP_S = 0.5


@dataclass(frozen=True)
class Run:
    """Times of one run.

    Attributes
    ----------
    sample_rate, block_size : int
    paced, gc_on, loaded : bool
        At the real pace or back to back; collector on; with a busy neighbour.
    block_us : ndarray
        Time of each block.
    late_us : ndarray
        At the real pace, how long after its due time each block was done; else empty.
    computed_late : ndarray of bool
        Where a block was late because computing took too long, its own or the one before's;
        else waking up did.
    floor_us : ndarray
        What `floor_work` took in the gate's place, in seconds in turn with it; else empty.
    fifo : bool
        Whether the system scheduled it in real time (``SCHED_FIFO``).
    engine : str
        What ran the gate.
    """

    sample_rate: int
    block_size: int
    paced: bool
    gc_on: bool
    loaded: bool
    block_us: np.ndarray
    late_us: np.ndarray
    computed_late: np.ndarray = field(default_factory=lambda: np.zeros(0))
    floor_us: np.ndarray = field(default_factory=lambda: np.zeros(0))
    fifo: bool = False
    engine: str = "python"

    @property
    def deadline_us(self):
        """Duration of a block."""
        return 1e6 * self.block_size / self.sample_rate

    @property
    def misses(self):
        """Blocks that were not done before the next was due."""
        measured = self.late_us if self.paced else self.block_us
        return int(np.sum(measured > self.deadline_us))

    @property
    def misses_by_computing(self):
        """Those that no sooner waking would have helped."""
        if not self.paced:
            return self.misses
        return int(np.sum(self.computed_late & (self.late_us > self.deadline_us)))

    @property
    def over_floor(self):
        """The percentiles over those of the floor in the same run, or None."""
        if not len(self.floor_us):
            return None
        floor = [*np.percentile(self.floor_us, [50, 99, 99.9]), float(self.floor_us.max())]
        return [ours / theirs for ours, theirs in zip(self.percentiles(), floor, strict=True)]

    @property
    def share(self):
        """Share of the real time that went into the gate."""
        return float(self.block_us.mean() / self.deadline_us)

    def percentiles(self):
        """Median, p99, p99.9 and maximum of a block, µs."""
        return [*np.percentile(self.block_us, [50, 99, 99.9]), float(self.block_us.max())]


@contextmanager
def busy_neighbours(count):
    """Processes that compute all the time while the block runs."""
    code = "x = 0\nwhile True: x = (x * 31 + 7) % 1000003"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def real_time(wanted):
    """Scheduling in real time where the system allows it; yields whether it does."""
    if not wanted or not hasattr(os, "sched_setscheduler"):
        yield False
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(20))
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        os.sched_setscheduler(0, *before)


def floor_work(block, out):
    """Three small numpy calls: what any gate in Python costs a block, and the least it can."""
    np.multiply(block, 0.5, out=out)
    np.add(out, block, out=out)
    return float(np.dot(block[:, 0], out[:, 0]))


def run_blocks(
    config, sample_rate, block_size, seconds, paced=False, gc_on=True, load=0, fifo=False
):
    """Stream the sample talk through the gate and time every block.

    Parameters
    ----------
    config : realtime.config.Config
    sample_rate, block_size : int
    seconds : float
        Of sound.
    paced : bool
        Wait for each block's due time instead of going back to back.
    gc_on : bool
        Leave Python's garbage collector on.
    load : int
        Busy neighbour processes.
    fifo : bool
        Ask for scheduling in real time.

    At the real pace seconds of the gate and seconds of `floor_work` take turns, so that both
    meet the same machine.

    Returns
    -------
    Run
    """
    sound = talk(sample_rate, seconds + _WARM_UP_S)
    gate = _gate(config, sample_rate)
    blocks = [sound[i : i + block_size] for i in range(0, len(sound) - block_size, block_size)]
    warm = max(1, round(_WARM_UP_S * sample_rate / block_size))
    out = np.empty((block_size, 1), np.float32)
    for block in blocks[:warm]:
        gate.process(block, out=out)
    blocks = blocks[warm:]
    work, floor = functools.partial(_gate_block, gate, out), functools.partial(floor_work, out=out)
    was_on = gc.isenabled()
    gc.collect()
    (gc.enable if gc_on else gc.disable)()
    try:
        with busy_neighbours(load), real_time(fifo) as in_real_time:
            if not paced:
                took = _times(work, blocks)
                return Run(
                    sample_rate, block_size, False, gc_on, load > 0, took, np.zeros(0),
                    engine=config.engine.kind,
                )  # fmt: skip
            period, a_second = block_size / sample_rate, max(1, sample_rate // block_size)
            ours, floors = [], []
            for first in range(0, len(blocks), a_second):
                part = blocks[first : first + a_second]
                ours.append(_paced_times(work, part, period))
                floors.append(_paced_times(floor, part, period)[0])
    finally:
        (gc.enable if was_on else gc.disable)()
    took, late, computed = (np.concatenate(column) for column in zip(*ours, strict=True))
    return Run(
        sample_rate, block_size, True, gc_on, load > 0, took, late, computed,
        np.concatenate(floors), in_real_time, config.engine.kind,
    )  # fmt: skip


def _gate_block(gate, out, block):
    gate.process(block, out=out)


def _times(work, blocks):
    """Microseconds of each block, back to back."""
    clock, took = time.perf_counter, np.zeros(len(blocks))
    for k, block in enumerate(blocks):
        begin = clock()
        work(block)
        took[k] = clock() - begin
    return 1e6 * took


def _paced_times(work, blocks, period):
    """Of each block at the real pace: its µs, µs after it was due, whether computing was late."""
    clock = time.perf_counter
    took, late = np.zeros(len(blocks)), np.zeros(len(blocks))
    computed = np.zeros(len(blocks), bool)
    behind = False  # the block before computed into this one's time
    start = clock() + period
    for k, block in enumerate(blocks):
        due = start + k * period
        wait = due - clock()
        if wait > 0:
            time.sleep(wait)
            behind = False
        begin = clock()
        work(block)
        end = clock()
        took[k], late[k] = end - begin, end - due
        behind = computed[k] = behind or end - begin > period
    return 1e6 * took, 1e6 * late, computed


def _gate(config, sample_rate, settings=None):
    return open_gate(
        settings or config.gate, sample_rate=sample_rate, model=config.engine.model,
        profile=config.engine.profile, engine=config.engine.kind,
    )  # fmt: skip


class _Timed:
    """A stage with a stopwatch."""

    def __init__(self, stage):
        self._stage, self.times = stage, []

    def process(self, *args):
        begin = time.perf_counter()
        result = self._stage.process(*args)
        self.times.append(time.perf_counter() - begin)
        return result

    def __getattr__(self, name):
        return getattr(self._stage, name)


def stage_times(config, sample_rate, seconds):
    """Median time of each stage, µs a hop of 10 ms, in blocks of one hop; the rest is glue.

    Returns
    -------
    dict of str to float
        `STAGES`, ``other`` and ``total``; the stopwatches themselves cost about 0.2 µs each.
    """
    sound, gate = talk(sample_rate, seconds), _gate(config, sample_rate)
    lane = gate.lanes[0]
    front = lane.frontend
    places = [(front, "decimator"), (front, "log_mel"), (lane, "ears"), (lane, "detector"),
              (lane, "key_level"), (lane, "control"), (lane, "envelope")]  # fmt: skip
    watches = {}
    for stage, (owner, name) in zip(STAGES, places, strict=True):
        watches[stage] = _Timed(getattr(owner, name))
        setattr(owner, name, watches[stage])
    block, totals = sample_rate // 100, []
    for i in range(0, len(sound) - block, block):
        begin = time.perf_counter()
        gate.process(sound[i : i + block])
        totals.append(time.perf_counter() - begin)
    hops = max(1, gate.counters.hops)
    result = {
        # The second ear works on one hop in three: its mean counts.
        stage: 1e6 * sum(watch.times) / hops
        if stage == "ears"
        else 1e6 * float(np.median(watch.times)) * len(watch.times) / hops
        for stage, watch in watches.items()
    }
    total = 1e6 * float(np.median(totals))
    return {**result, "other": total - sum(result.values()), "total": total}


def algorithmic_latency(config, sample_rate):
    """Delay of an impulse through the gate held open, and the delay that it declares, samples."""
    settings = replace(config.gate, bypass=True)
    gate = _gate(config, sample_rate, settings)
    at = sample_rate // 2  # well after bypass has opened the gate
    sound = np.zeros((sample_rate, 1), np.float32)
    sound[at] = 0.5
    out = np.concatenate([gate.process(sound[i : i + 100]) for i in range(0, len(sound), 100)])
    return int(np.argmax(np.abs(out[:, 0]))) - at, gate.latency_samples


def words(folder, split, seed, count):
    """Recordings with real words: clean ones of the corpus, else the sample talk's sentences.

    Returns
    -------
    list of (ndarray, int, ndarray)
        Samples, sample rate and wanted segments.
    what : str
        What they are, in words.
    """
    if has_manifest(folder):
        found = [clip.load() for clip in Mixer(folder, split, seed).clips(count, (None,))]
        what = f"the words in {count} clean mixtures of the {split} split"
        return [(f.sound.audio, f.sample_rate, f.segments) for f in found], what
    samples, rate = sample_talk()
    what = "the sentences of the sample talk (`models/sample/talk.flac`)"
    return [(samples, rate, np.array(SENTENCES_S))], what


def onset_latency(config, sample_rate, recordings):
    """Onset-to-open delays at a sample rate.

    Parameters
    ----------
    config : realtime.config.Config
    sample_rate : int
    recordings : list
        From `words`.

    Returns
    -------
    gate.metrics.Tally
    """
    total = Tally()
    for samples, rate, segments in recordings:
        sound = resample(samples, rate, sample_rate)
        gate = _gate(config, sample_rate)
        gain = gate.process_many(np.ones((len(sound), 1), np.float32), key_input=sound)[:, 0]
        opened = open_segments(gain, sample_rate, config.gate.range_db)
        total = total + measure(segments, opened, len(sound) / sample_rate)
    return total
