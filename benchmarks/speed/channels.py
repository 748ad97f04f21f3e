"""How cost grows with microphones: a gate each, a process each, or one detector call for all."""

import multiprocessing
import time
from dataclasses import dataclass

import numpy as np

from benchmarks.signals import talk
from realtime.bank import GateBank
from realtime.engine import open_detector, open_gate
from realtime.models import find_model
from realtime.native_core import library_path
from realtime.onnx_detector import OnnxDetector

COUNTS = (1, 2, 4, 8, 16, 32)
_RATE = 48000
_BLOCK = 480


@dataclass(frozen=True)
class ChannelRun:
    """Cost of a number of microphones, processor seconds a second of sound (1 = a full core).

    Attributes
    ----------
    channels : int
    separate : float
        One gate each in one process.
    processes : float or nan
        One process each, running at once; time of all together, without their start.
    bank : float
        One `GateBank`: the detector runs once a hop for all.
    native : float or nan
        A gate of the engine ``native`` each in one process, where it is built.
    detector_us, batched_us : float
        The detector alone, a hop and a channel: called for each, called once for all.
    difference : float
        Largest difference between the outputs of the bank and of separate gates.
    """

    channels: int
    separate: float
    processes: float
    bank: float
    native: float
    detector_us: float
    batched_us: float
    difference: float


def _stream(process, sound):
    begin = time.process_time()
    parts = [process(sound[i : i + _BLOCK]) for i in range(0, len(sound), _BLOCK)]
    return time.process_time() - begin, np.concatenate(parts)


def _gate(config, kind="python"):
    return open_gate(config.gate, sample_rate=_RATE, model=config.engine.model, engine=kind)


def _native(config, sound):
    """Processor time of a native gate a channel, NaN where there is no library."""
    if not library_path().is_file():
        return float("nan")
    gates = [_gate(config, "native") for _ in range(sound.shape[1])]
    return sum(_stream(one.process, sound[:, k : k + 1])[0] for k, one in enumerate(gates))


def _one_process(config, sound, queue):
    gate = _gate(config)
    gate.process(sound[:_RATE])
    queue.put(_stream(gate.process, sound)[0])


def _process_each(config, sound):
    """Processor time of one process a channel."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [
        context.Process(target=_one_process, args=(config, sound[:, k : k + 1], queue))
        for k in range(sound.shape[1])
    ]
    for worker in workers:
        worker.start()
    total = sum(queue.get() for _ in workers)
    for worker in workers:
        worker.join()
    return total


def _detector_times(config, channels, hops=400):
    """Microseconds a hop and channel of single calls and of one call for all."""
    single = open_detector(config.engine.model)
    batched = OnnxDetector(find_model(config.engine.model), channels=channels)
    features = np.random.default_rng(0).normal(-4, 2, (channels, 64)).astype(np.float32)
    times = []
    for call in (
        lambda: [single.process(features[k : k + 1]) for k in range(channels)],
        lambda: batched.process(features),
    ):
        for _ in range(20):
            call()
        begin = time.process_time()
        for _ in range(hops):
            call()
        times.append(1e6 * (time.process_time() - begin) / hops / channels)
    return times


def run_channels(config, channels, seconds, with_processes=True):
    """Measure one number of channels.

    Parameters
    ----------
    config : realtime.config.Config
    channels : int
    seconds : float
        Of sound.
    with_processes : bool

    Returns
    -------
    ChannelRun
    """
    sound = talk(_RATE, seconds, channels)
    gates = [_gate(config) for _ in range(channels)]
    separate = [_stream(gate.process, sound[:, k : k + 1]) for k, gate in enumerate(gates)]
    bank = GateBank(config.gate, sample_rate=_RATE, channels=channels, model=config.engine.model)
    bank_s, banked = _stream(bank.process, sound)
    apart = np.concatenate([out for _, out in separate], axis=1)
    processes = _process_each(config, sound) / seconds if with_processes else float("nan")
    detector_us, batched_us = _detector_times(config, channels)
    return ChannelRun(
        channels, sum(t for t, _ in separate) / seconds, processes, bank_s / seconds,
        _native(config, sound) / seconds, detector_us, batched_us,
        float(np.abs(banked - apart).max()),
    )  # fmt: skip
