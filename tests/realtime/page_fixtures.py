"""A pytest plug-in: a browser, a fed gate, and its page."""

import pytest
from browser import chromium
from fed_gate import FedGate, bursts
from page_rig import looked_at
from test_page_server import served


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def fed():
    with FedGate(bursts(), threshold_db=-40.0) as fed:
        yield fed


@pytest.fixture
def gate(fed):
    """The gate that all tests of a module share, put back as it was."""
    yield fed
    fed.control.change({"threshold_db": -40.0, "range_db": -60.0, "bypass": False})


@pytest.fixture(scope="module")
def shared_server(fed):
    with served(fed) as server:
        yield server


@pytest.fixture(scope="module")
def page(browser, shared_server):
    """One that stays open from test to test, as a dock does."""
    with looked_at(browser, shared_server) as page:
        yield page
