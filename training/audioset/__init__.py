"""Classifiers on AudioSet's released embeddings: `gate-train audioset`."""
