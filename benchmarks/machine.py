"""Where and with what a benchmark ran."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

PACKAGES = ("numpy", "onnxruntime", "soundfile")


def _cpu_name():
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit():
    root = Path(__file__).resolve().parent.parent
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def describe(command, seed=None):
    """What a reader needs to run it again.

    Parameters
    ----------
    command : str
        The command line.
    seed : int, optional

    Returns
    -------
    dict
        ``command``, ``date``, ``commit`` (with ``-dirty`` after changes that are not
        committed), ``machine``, ``cores``, ``load`` (of the last minute), ``python``,
        ``versions``, ``seed``.
    """
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "missing"
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return {
        "command": command,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "machine": f"{_cpu_name()}, {platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": round(load, 2),
        "python": sys.version.split()[0],
        "versions": versions,
        "seed": seed,
    }


def one_line(meta):
    """The same as one line of Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in meta["versions"].items())
    seed = "" if meta["seed"] is None else f", seed {meta['seed']}"
    return (
        f"`{meta['command']}` on {meta['date']}, commit {meta['commit'] or 'unknown'}, "
        f"{meta['machine']}, {meta['cores']} cores, load {meta['load']:g}, "
        f"Python {meta['python']}, {versions}{seed}."
    )
