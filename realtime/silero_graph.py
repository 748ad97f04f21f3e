"""Silero VAD's network for 16 kHz, laid out anew for this gate from the weights of its file.

The file that the package ships takes one chunk a call through some ninety nodes, and batches
only chunks that do not follow each other. Here its spectrum, a convolution with 258 windowed
sines there, is numpy's FFT (with a quarter of a megabyte less to read); the other convolutions
are matrix products (over four frames half the taps meet padding), and the chunks of one call
follow each other through the LSTM. One chunk costs less than half, a chunk of a long file a
seventh (measured); a test holds the numbers to the file's.
"""

import numpy as np

from gate.errors import ModelError
from gate.features import hann_window
from realtime.onnx_bytes import write_model

CHUNK, CONTEXT = 512, 64
"""New samples a chunk, and samples of the one before that come with it."""

_FRAME, _STEP, _N_FRAMES, _BINS, _SIZE = 256, 128, 4, 129, 128
_HANN = hann_window(_FRAME).astype(np.float32)

WHOLE, TAPS = _FRAME + (_N_FRAMES - 1) * _STEP, 3 * _BINS
"""Samples of a chunk with its context and what is mirrored after it; what the network takes of a
frame: its spectrum between those of its neighbours."""


def spectra(padded, gains, out):
    """Spectra of chunks, as the network takes them.

    Parameters
    ----------
    padded : ndarray, shape (N, WHOLE), float32, contiguous
        The chunk's 512 samples after 64 of context; what comes after them is overwritten: the
        last frame reaches 64 samples beyond the end, where the signal is mirrored.
    gains : float or ndarray, shape (N, 1, 1)
    out : ndarray, shape (4 N, 3 x 129), float32
        Of four frames of 256 samples, 128 apart, each with the frame before and the one after
        it, magnitudes times gain. What lies outside the chunk is left as it is: zeros.
    """
    n = CONTEXT + CHUNK
    padded[:, n:] = padded[:, n - 2 : 2 * n - 2 - WHOLE : -1]
    shape, strides = (len(padded), _N_FRAMES, _FRAME), (4 * WHOLE, 4 * _STEP, 4)
    frames = np.ndarray(shape, np.float32, padded, 0, strides)  # a view
    magnitude = np.abs(np.fft.rfft(frames * _HANN, axis=2))
    magnitude *= gains
    taps = out.reshape(len(padded), _N_FRAMES, 3, _BINS)
    taps[:, :, 1] = magnitude
    taps[:, 1:, 0] = magnitude[:, :-1]
    taps[:, :-1, 2] = magnitude[:, 1:]


def silero_model(weights):
    """Serialized ONNX model.

    Parameters
    ----------
    weights : dict of str to ndarray
        Of the package's file for 16 kHz.

    Returns
    -------
    bytes
        Inputs ``taps`` (4 x T x C, 387), of `spectra`, of T chunks of C channels, channels
        innermost, ``h`` and ``c`` (1, C, 128); outputs ``logit`` (T x C, 1), ``h_out``, ``c_out``.

    Raises
    ------
    ModelError
        If the weights are not that network's.
    """
    try:
        values = {name: np.asarray(value, np.float32) for name, value in _values(weights).items()}
    except (KeyError, ValueError, IndexError) as error:
        raise ModelError(f"not the weights of Silero VAD for 16 kHz ({error})") from None
    values |= {
        name: np.array(value, np.int64)
        for name, value in {
            "at": [1], "to": [2], "flat": [-1, _N_FRAMES * _SIZE], "any": [-1],
            "wide": [_SIZE], "rows": [-1, _SIZE],
        }.items()
    }  # fmt: skip
    nodes = [
        ("Gemm", ["taps", "weight0", "bias0"], ["sum0"], {}),
        ("Relu", ["sum0"], ["layer0"], {}),
        ("Reshape", ["layer0", "flat"], ["flat0"], {}),
    ]
    before = "flat0"
    for k in (1, 2, 3):
        nodes.append(("Gemm", [before, f"weight{k}", f"bias{k}"], [f"sum{k}"], {}))
        nodes.append(("Relu", [f"sum{k}"], [f"layer{k}"], {}))
        before = f"layer{k}"
    nodes += [
        ("Shape", ["h"], ["h_shape"], {}),
        ("Slice", ["h_shape", "at", "to"], ["channels"], {}),
        ("Concat", ["any", "channels", "wide"], ["sequence_shape"], {"axis": 0}),
        ("Reshape", [before, "sequence_shape"], ["sequence"], {}),
        ("LSTM", ["sequence", "w", "r", "b", "", "h", "c"], ["said", "h_out", "c_out"],
         {"hidden_size": _SIZE}),
        ("Reshape", ["said", "rows"], ["said_rows"], {}),
        ("Relu", ["said_rows"], ["positive"], {}),
        ("Gemm", ["positive", "weight4", "bias4"], ["logit"], {"transB": 1}),
    ]  # fmt: skip
    state = [1, "C", _SIZE]
    return write_model(
        nodes,
        {"taps": ["F", TAPS], "h": state, "c": state},
        {"logit": ["N", 1], "h_out": state, "c_out": state},
        values,
    )


def _values(weights):
    """The weights as matrices for products from the left."""

    def of(name):
        return weights[f"model.{name}"]

    basis = of("stft.forward_basis_buffer").reshape(2 * _BINS, _FRAME)
    turns = np.arange(_BINS)[:, None] * np.arange(_FRAME) * (2j * np.pi / _FRAME)
    waves = hann_window(_FRAME) * np.exp(-turns)
    if np.abs(basis - np.concatenate([waves.real, waves.imag])).max() > 1e-5:
        raise ValueError("its spectrum is another")
    kernels = [of(f"encoder.{k}.reparam_conv.weight") for k in range(4)]
    biases = [of(f"encoder.{k}.reparam_conv.bias") for k in range(4)]
    # Layer 1, stride 2 over four frames: outputs at frames 0 and 2, as one matrix over all four.
    n_in, n_out = kernels[1].shape[1], kernels[1].shape[0]
    second = np.zeros((_N_FRAMES * n_in, 2 * n_out), np.float32)
    for out in range(2):
        for tap in range(3):
            frame = 2 * out + tap - 1
            if frame >= 0:
                columns = slice(out * n_out, (out + 1) * n_out)
                second[frame * n_in : (frame + 1) * n_in, columns] = kernels[1][:, :, tap].T
    return {
        "weight0": kernels[0].transpose(2, 1, 0).reshape(3 * _BINS, -1),
        "bias0": biases[0],
        "weight1": second,
        "bias1": np.tile(biases[1], 2),
        # Layer 2, stride 2 over two: its first tap meets padding. Layer 3 over one: its middle.
        "weight2": np.concatenate([kernels[2][:, :, 1].T, kernels[2][:, :, 2].T]),
        "bias2": biases[2],
        "weight3": kernels[3][:, :, 1].T,
        "bias3": biases[3],
        "w": _gates(of("decoder.rnn.weight_ih"))[None],
        "r": _gates(of("decoder.rnn.weight_hh"))[None],
        "b": np.concatenate([_gates(of("decoder.rnn.bias_ih")), _gates(of("decoder.rnn.bias_hh"))])[
            None
        ],
        "weight4": of("decoder.decoder.2.weight")[:, :, 0],
        "bias4": of("decoder.decoder.2.bias"),
    }


def _gates(rows):
    """From the order input, forget, cell, output to ONNX's input, output, forget, cell."""
    into, forget, cell, out = np.split(rows, 4)
    return np.concatenate([into, out, forget, cell])
