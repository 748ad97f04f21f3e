"""The work whose instructions are counted: ``PATH RATE SECONDS MODEL``, in its own process."""

import sys

import numpy as np


def main(argv):
    """Gate seeded noise bursts; nothing is read but the detector."""
    from realtime.engine import open_gate

    path, rate, seconds, model = argv[0], int(argv[1]), int(argv[2]), argv[3]
    rng = np.random.default_rng(0)
    sound = rng.normal(0.0, 0.05, (seconds * rate, 1)).astype(np.float32)
    sound *= np.repeat(np.arange(2 * seconds) % 2, rate // 2)[:, None]
    gate = open_gate(sample_rate=rate, model=None if model == "none" else model)
    if path == "whole":
        gate.process_many(sound)
    else:
        for begin in range(0, len(sound), 100):
            gate.process(sound[begin : begin + 100])


if __name__ == "__main__":
    main(sys.argv[1:])
