"""Finished weights: out of the checkpoints of runs, and calibrated, with their report."""

import json
from pathlib import Path

import torch

from gate.errors import ConfigError
from training.voice.classes import CLASSES
from training.voice.network import VoiceNet, VoiceSettings


def load_average(path):
    """Network with the averaged weights of a checkpoint, in eval mode."""
    state = torch.load(path, weights_only=True)
    net = VoiceNet(VoiceSettings(**state["network"]))
    net.load_state_dict(state["average"])
    if net.settings.classes != CLASSES:
        raise ValueError(f"classes={net.settings.classes} must be {CLASSES}")
    return net.eval()


def average_checkpoints(paths, path):
    """Write the mean of the averaged weights of checkpoints, for calibration and export.

    Runs that began from the same weights lie in one basin, and their mean is better than each
    (Wortsman et al. 2022, "Model soups"). The heads that only training needs are left out.

    Parameters
    ----------
    paths : sequence of path-like
    path : path-like
        The checkpoint to write.
    """
    states = [torch.load(one, weights_only=True) for one in paths]
    network = {**states[0]["network"], "n_speakers": 0, "n_events": 0}
    shapes = VoiceNet(VoiceSettings(**network)).state_dict()
    for one, state in zip(paths, states, strict=True):
        if any(state["average"][name].shape != value.shape for name, value in shapes.items()):
            raise ConfigError(f"average={one} must be a network of the shape of {paths[0]}")
    mean = {
        name: torch.stack([state["average"][name] for state in states]).mean(dim=0)
        for name in shapes
    }
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    torch.save({"network": network, "average": mean}, path)


def save_calibrated(net, report, path):
    """Write a calibrated network and the report on it into one file."""
    plain = json.loads(json.dumps(report))  # no numpy scalars: it is read with weights_only
    network = net.settings.to_dict()
    torch.save({"network": network, "average": net.state_dict(), "report": plain}, path)


def load_calibrated(path):
    """The network and the report of `save_calibrated`."""
    report = torch.load(path, weights_only=True).get("report")
    if report is None:
        raise ConfigError(f"{path} must hold a report (run gate-train voice calibrate again)")
    return load_average(path), report
