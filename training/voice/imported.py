"""A network out of an exported detector: to adapt it, or to train on from it."""

import json

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from gate.errors import ModelError
from realtime.onnx_detector import OnnxDetector
from training.voice.network import VoiceNet, VoiceSettings

_MATCH = 1e-3  # largest difference between the file and the network read from it


def network_from_onnx(path):
    """`VoiceNet` with the weights of an exported detector.

    Raises
    ------
    ModelError
        If the file is no export of a `VoiceNet`, or the network does not give what the file
        gives.
    """
    arrays = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in onnx.load(str(path)).graph.initializer
    }
    try:
        meta = {p.key: p.value for p in onnx.load(str(path)).metadata_props}
        decay = float(arrays["level_r"][0, 0, 0])
        low = arrays["ballistics_low"].ravel().astype(float)
        high = low * arrays["ballistics_ratio"].ravel().astype(float)
        sizes = []
        while f"gru{len(sizes)}_r" in arrays:
            sizes.append(arrays[f"gru{len(sizes)}_r"].shape[-1])
        settings = VoiceSettings(
            n_ears=len(json.loads(meta.get("ears", "[]"))),
            classes=tuple(json.loads(meta["classes"])),
            gru_sizes=tuple(sizes),
            embedding_size=arrays["embed_w"].shape[1],
            level_tau_s=-0.01 / np.log(decay),
            clip_low=float(arrays["clip_low"].item()),
            clip_high=float(arrays["clip_high"].item()),
            attack_s=(low[0], high[0]), hold_s=(low[1], high[1]), release_s=(low[2], high[2]),
        )  # fmt: skip
        net = VoiceNet(settings)
        with torch.no_grad():
            # The export folds the input's scaling into the first weights.
            net.input_mean.zero_()
            net.input_scale.fill_(1.0)
            for index, gru in enumerate(net.grus):
                _set_gru(gru, *(arrays[f"gru{index}_{part}"][0] for part in "wrb"))
            for name, layer in (("embed", net.embed), ("heads", net.heads)):
                layer.weight.copy_(torch.from_numpy(arrays[f"{name}_w"].T.copy()))
                layer.bias.copy_(torch.from_numpy(arrays[f"{name}_b"].copy()))
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path}: no network of this trainer ({error})") from None
    _check_same(net, path)
    return net.eval()


def _set_gru(gru, w, r, b):
    """ONNX's (z, r, h) to torch's (r, z, n)."""

    def reorder(array):
        update, reset, new = array.reshape(3, gru.hidden_size, -1)
        return torch.from_numpy(np.concatenate([reset, update, new]))

    half = len(b) // 2
    gru.weight_ih_l0.copy_(reorder(w))
    gru.weight_hh_l0.copy_(reorder(r))
    gru.bias_ih_l0.copy_(reorder(b[:half])[:, 0])
    gru.bias_hh_l0.copy_(reorder(b[half:])[:, 0])


def _check_same(net, path):
    rng = np.random.default_rng(0)
    features = rng.uniform(-9, 0, (120, 64)).astype(np.float32)
    ears = rng.uniform(-2, 2, (120, net.settings.n_ears)).astype(np.float32)
    heard = (ears,) if net.settings.n_ears else ()
    found = OnnxDetector(path).process(features, *heard)
    with torch.no_grad():
        mine = net.eval()(torch.from_numpy(features)[None], torch.from_numpy(ears)[None])
    pairs = {
        "embedding": (mine["embedding"][0], found.embedding),
        "presence": (mine["presence_logits"].sigmoid()[0], found.presence),
        "ballistics": (mine["ballistics"][0], found.ballistics),
    }
    for name, (ours, theirs) in pairs.items():
        difference = float(np.abs(ours.numpy() - theirs).max())
        if not difference < _MATCH:
            raise ModelError(
                f"{path}: not what its network gives: {name} differs by {difference:.2g}"
            )
