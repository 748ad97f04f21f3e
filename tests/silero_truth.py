"""What the second ear must say: the network of the package's own file, chunk by chunk."""

import math

import numpy as np

from realtime.ears import find_ear_file
from realtime.onnx_session import open_session


def package_says(samples, spec):
    """What is said after every hop of 160 samples at 16 kHz, as the spec has it."""
    net = open_session(find_ear_file(spec.package, spec.file, spec.sha256))
    state, rate = np.zeros((2, 1, 128), np.float32), np.array(16000, np.int64)
    keep = math.exp(-spec.chunk / 16000.0 / spec.level_tau_s)
    level = weight = 0.0
    before, said = np.zeros(spec.context, np.float32), [0.0]
    for begin in range(0, len(samples) - spec.chunk + 1, spec.chunk):
        new = samples[begin : begin + spec.chunk]
        square = float(np.mean(new.astype(np.float64) ** 2))
        level = keep * level + (1.0 - keep) * square
        weight = keep * weight + (1.0 - keep)
        loud = math.sqrt(max(level / weight, square / 10.0) + 1e-9)
        gain = np.float32(10.0 ** (spec.level_dbfs / 20.0) / loud)
        window = (np.concatenate([before, new]) * gain)[None]
        chance, state = net.run(None, {"input": window, "state": state, "sr": rate})
        chance = float(chance[0, 0])
        logit = math.log(chance / (1.0 - chance))
        said.append(min(max(spec.scale * logit, -spec.clip), spec.clip))
        before = new[-spec.context :]
    return np.array(said)[160 * np.arange(1, len(samples) // 160 + 1) // spec.chunk]
