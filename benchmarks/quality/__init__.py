"""Gating quality: every system on the same recordings, and the sets of recordings."""
