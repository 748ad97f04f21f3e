"""Gating a microphone: `gate-live`."""
