"""Adapters around the gate: detector runtime, files, devices and command lines."""
