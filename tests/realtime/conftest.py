"""What tests of the live gate share: a control without a stream, and the state it looks at."""

import pytest

from realtime.config import Config
from realtime.live.control import LiveControl
from realtime.live.shared_state import SharedState


class _Host:
    """Keeps what would go to the stream."""

    def __init__(self):
        self.sent = []

    def send(self, do, **what):
        self.sent.append((do, what))


@pytest.fixture
def said():
    return []


@pytest.fixture
def host():
    return _Host()


@pytest.fixture
def control(said, host):
    control = LiveControl(Config(), host, said.append)
    control.targets = ["speech", "voice"]
    return control


@pytest.fixture
def state():
    state = SharedState()
    yield state
    state.close()
