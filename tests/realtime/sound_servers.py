"""The rig of the benchmarks, for tests: where something is missing they are skipped."""

import contextlib

import pytest
from waiting import require_programs

from benchmarks.live import rig as live_rig
from benchmarks.live.rig import Live, Peer, bursts

__all__ = ["JackServer", "Live", "Peer", "bursts", "require_programs"]


class JackServer(live_rig.JackServer):
    """Skips the test where JACK cannot run."""

    def __init__(self, *args):
        with skipping():
            super().__init__(*args)

    def start(self):
        with skipping():
            return super().start()


@contextlib.contextmanager
def skipping():
    """Skip the test where something is not installed."""
    try:
        yield
    except live_rig.Unavailable as reason:
        pytest.skip(str(reason))
