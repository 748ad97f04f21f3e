"""The benchmarks' browser, for tests: where it is missing they are skipped and say so."""

import contextlib

import pytest

from benchmarks.live import browser
from benchmarks.live.rig import Unavailable


@contextlib.contextmanager
def chromium():
    """A running browser with a fresh profile."""
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(browser.chromium())
        except Unavailable as reason:
            pytest.skip(str(reason))
        yield running
