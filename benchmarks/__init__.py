"""Latency, throughput and gating quality, measured against peers in one run."""
