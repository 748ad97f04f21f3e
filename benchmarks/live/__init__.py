"""`gate-live` on a sound server: how steady it is, and whether every sample is right."""
