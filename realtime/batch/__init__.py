"""Gating audio files: `gate-batch`."""
