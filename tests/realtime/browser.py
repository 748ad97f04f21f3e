"""The benchmarks' browser, for tests: where it is missing they are skipped and say so."""

import contextlib

from waiting import skipping

from benchmarks.live import browser


@contextlib.contextmanager
def chromium():
    """A running browser with a fresh profile."""
    with contextlib.ExitStack() as stack:
        with skipping():
            running = stack.enter_context(browser.chromium())
        yield running
