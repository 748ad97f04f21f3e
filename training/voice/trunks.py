"""Compares trunks of the voice network by size and by time: ``python -m training.voice.trunks``.

The weights are random: time does not depend on them. Prints a Markdown table with the median of
a hop's time in onnxruntime, one thread, called with numpy arrays and with bound buffers, and the
time a hop of one call over a long sequence.
"""

import argparse
import time

import numpy as np
import torch

from realtime.onnx_session import open_session
from training.voice.export import (
    OUTPUTS,
    DetectorCard,
    build_model,
    check_session,
    example_features,
)
from training.voice.network import VoiceNet, VoiceSettings

TRUNKS = {
    "GRU 64": VoiceSettings(gru_sizes=(64,)),
    "GRU 128": VoiceSettings(gru_sizes=(128,)),
    "2 x GRU 64": VoiceSettings(gru_sizes=(64, 64)),
    "2 x GRU 96": VoiceSettings(gru_sizes=(96, 96)),
    "2 x GRU 128 (default)": VoiceSettings(),
    "2 x GRU 128, embedding of the last": VoiceSettings(embed_all_layers=False),
    "linear 64, 2 x GRU 128": VoiceSettings(front_size=64),
    "linear 96, 2 x GRU 96": VoiceSettings(front_size=96, gru_sizes=(96, 96)),
    "conv 3 hops 64, 2 x GRU 128": VoiceSettings(front_size=64, front_kernel=3),
}


def time_hops(run, n_hops):
    """Median and 99th percentile of `n_hops` calls of ``run(i)``, microseconds."""
    elapsed = np.empty(n_hops)
    for i in range(n_hops):
        start = time.perf_counter_ns()
        run(i)
        elapsed[i] = time.perf_counter_ns() - start
    return np.percentile(elapsed[n_hops // 10 :] / 1e3, (50, 99))


def time_trunk(net, n_hops):
    """Times of a network, microseconds a hop.

    Returns
    -------
    dict
        ``run`` and ``bound``: (p50, p99); ``sequence``: mean; ``difference``: the largest
        between torch and ONNX, stream and sequence.
    """
    card = DetectorCard("trunk", {}, {}, {}, "none", "none")
    session = open_session(build_model(net, card).SerializeToString())
    features = example_features()
    difference = max(value for _, value in check_session(session, net, features).values())

    names = [*OUTPUTS, "state_out"]
    states = [np.zeros((1, 1, net.settings.state_size), dtype=np.float32) for _ in range(2)]
    feed = {"features": features[:1], "state": states[0]}

    def run(i):
        feed["features"] = features[i % len(features)][None]
        feed["state"] = session.run(names, feed)[-1]

    # Two bindings, so that each hop's state_out is the next hop's state without a copy.
    hop = np.zeros((1, net.settings.n_mels), dtype=np.float32)
    outputs = [np.empty_like(array[:1]) for array in session.run(names[:-1], feed)]
    bindings = []
    for j in range(2):
        binding = session.io_binding()
        bound = [("features", hop), ("state", states[j])]
        for name, array in bound:
            binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        for name, array in zip(names, [*outputs, states[1 - j]], strict=True):
            binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        bindings.append(binding)

    def run_bound(i):
        hop[0] = features[i % len(features)]
        session.run_with_iobinding(bindings[i & 1])

    long = np.resize(features, (n_hops, net.settings.n_mels))
    zero = np.zeros_like(states[0])
    start = time.perf_counter()
    session.run(names, {"features": long, "state": zero})
    sequence = (time.perf_counter() - start) / n_hops * 1e6
    return {
        "run": time_hops(run, n_hops),
        "bound": time_hops(run_bound, n_hops),
        "sequence": sequence,
        "difference": difference,
    }


def main(argv=None):
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hops", type=int, default=60000, help="calls a trunk (60000)")
    parser.add_argument("--repeats", type=int, default=3, help="runs; the fastest counts (3)")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    print("| trunk | parameters | µs a hop, p50 / p99 | with bound buffers | whole sequence |")
    print("|---|---|---|---|---|")
    for name, settings in TRUNKS.items():
        torch.manual_seed(0)
        net = VoiceNet(settings)
        runs = [time_trunk(net, args.hops // args.repeats) for _ in range(args.repeats)]
        best = {key: min(run[key][0] for run in runs) for key in ("run", "bound")}
        tail = {key: min(run[key][1] for run in runs) for key in ("run", "bound")}
        sequence = min(run["sequence"] for run in runs)
        print(
            f"| {name} | {net.count_parameters():,} | {best['run']:.1f} / {tail['run']:.0f} "
            f"| {best['bound']:.1f} / {tail['bound']:.0f} | {sequence:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
