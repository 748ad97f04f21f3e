"""Latency, throughput and gating quality, measured against peers in one run."""

import os

# One thread for whatever asks here, so that all gates are timed alike.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
