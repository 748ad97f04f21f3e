"""VGGish from its public weights: log-mel patches to the 8-bit embeddings AudioSet released.

The network is that of Hershey et al., "CNN Architectures for Large-Scale Audio Classification"
(ICASSP 2017). Its weights are not part of this project. They are read from the public PyTorch
port's state dict; the PCA that follows comes from the public ``vggish_pca_params.npz``.

The embedding is taken before any last activation. The port ends with a ReLU, but the PCA's means
are partly negative, which no mean of a ReLU's output is, and Google's own code dropped the ReLU
for that reason.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from gate.errors import ConfigError, ModelError
from realtime.vggish_worker import WHERE_FROM
from training.audioset.export import write_checked
from training.audioset.settings import N_DIMS
from training.onnx_write import to_onnx

N_FRAMES = 96
N_MELS = 64


class Vggish(nn.Module):
    """Log-mel patches (N, 96, 64) to embeddings (N, 128); parameter names are the port's."""

    def __init__(self, channels=(64, 128, 256, 256, 512, 512), hidden=4096):
        super().__init__()
        layers, before = [], 1
        for i, width in enumerate(channels):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            # Pooling follows the 1st, 2nd, 4th and 6th convolution.
            if i in (0, 1, 3, 5):
                layers.append(nn.MaxPool2d(2))
            before = width
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            nn.Linear(before * (N_FRAMES // 16) * (N_MELS // 16), hidden), nn.ReLU(),
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, N_DIMS),
        )  # fmt: skip

    def forward(self, patches):  # noqa: D102
        h = self.features(patches[:, None])
        # The dense layers were trained on (time, band, channel) order.
        return self.embeddings(h.permute(0, 2, 3, 1).flatten(1))


class VggishToBytes(nn.Module):
    """VGGish, PCA and 8-bit quantiser in one: patches (N, 96, 64) to uint8 (N, 128).

    Quantiser, as published: clip to -2..2, scale to 0..255, cut off the fraction. A PCA output
    of 0 gives byte 127.
    """

    def __init__(self, vggish, pca_matrix, pca_means):
        super().__init__()
        self.vggish = vggish
        self.register_buffer("pca_matrix", torch.as_tensor(pca_matrix, dtype=torch.float32))
        self.register_buffer("pca_means", torch.as_tensor(pca_means, dtype=torch.float32))

    def forward(self, patches):  # noqa: D102
        whitened = (self.vggish(patches) - self.pca_means) @ self.pca_matrix.T
        return ((whitened.clamp(-2.0, 2.0) + 2.0) * (255.0 / 4.0)).to(torch.uint8)


def load_vggish(path):
    """VGGish with the weights of a state dict of the PyTorch port; no code in it is run.

    Layer sizes are taken from the file. ``pproc.*`` entries, which the port keeps beside the
    network's, are ignored.
    """
    if not Path(path).is_file():
        raise ConfigError(f"weights={path} must be a file: {WHERE_FROM}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelError(f"{path} is not a state dict that can be read safely: {error}") from error
    state = {k: v for k, v in state.items() if not k.startswith("pproc.")}
    convolutions = [v for k, v in state.items() if k.startswith("features.") and v.ndim == 4]
    dense = [v for k, v in state.items() if k.startswith("embeddings.") and v.ndim == 2]
    if (found := (len(convolutions), len(dense))) != (6, 3):
        raise ModelError(f"{path}: convolutions and dense layers are {found}, VGGish has (6, 3)")
    vggish = Vggish(tuple(len(v) for v in convolutions), len(dense[0]))
    try:
        vggish.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit VGGish: {error}") from error
    return vggish.eval()


def load_pca(path):
    """PCA matrix (128, 128) and means (128,) from ``vggish_pca_params.npz``."""
    if not Path(path).is_file():
        raise ConfigError(f"pca={path} must be a file: {WHERE_FROM}")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            matrix, means = arrays["pca_eigen_vectors"], arrays["pca_means"].reshape(-1)
    except (KeyError, ValueError, OSError) as error:
        raise ModelError(f"{path}: no pca_eigen_vectors and pca_means: {error}") from error
    if matrix.shape != (N_DIMS, N_DIMS) or means.shape != (N_DIMS,):
        raise ModelError(f"{path}: PCA of shape {matrix.shape}, {means.shape} must be of 128")
    return matrix.astype(np.float32), means.astype(np.float32)


def export_vggish(model, path):
    """Write one ONNX from patches to bytes and hold it to the network, a `VggishToBytes`."""
    model = model.eval()
    metadata = {
        "format": "exemplar-gate-vggish", "format_version": "1", "sample_rate": 16000,
        "hop_length": 160, "n_frames": N_FRAMES, "n_mels": N_MELS, "log_offset": 0.01,
    }  # fmt: skip
    axes = {"patches": {0: "n"}, "embeddings": {0: "n"}}
    example = torch.zeros(1, N_FRAMES, N_MELS)
    graph = to_onnx(model, example, "patches", ["embeddings"], axes, metadata)
    patches = torch.randn(3, N_FRAMES, N_MELS, generator=torch.Generator().manual_seed(0)) * 2 - 2
    # A value near a step of the bytes may fall on either side.
    write_checked(path, graph, model, [patches.numpy()], max_difference=1)
