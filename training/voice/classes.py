"""What the detector tells apart."""

CLASSES = ("speech", "sung", "music", "human_nonspeech", "noise")
"""Columns of `presence`; several may sound at once."""
