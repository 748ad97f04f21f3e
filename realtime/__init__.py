"""Adapters around the gate: detector runtime, files, devices and command lines.

`open_gate` is the way in for every program that wants a gate.
"""

from realtime.engine import open_gate

__all__ = ["open_gate"]
