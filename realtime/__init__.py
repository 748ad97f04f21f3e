"""Adapters around the gate: detector runtime, files, devices and command lines.

`open_gate` is the way in for every program that wants a gate.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from realtime.engine import open_gate

__all__ = ["open_gate"]


def __getattr__(name):
    # On first use, so that a command can set numpy's threads before numpy is loaded.
    if name == "open_gate":
        from realtime.engine import open_gate

        return open_gate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
