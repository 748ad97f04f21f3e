"""What tests share: a control without a stream, the state it looks at, a profile."""

import shutil
import subprocess

import pytest
from teaching import ProjectionDetector, examples

from realtime.config import Config
from realtime.learn.remarks import TeachingNotes
from realtime.learn.teach import teach
from realtime.live.control import LiveControl
from realtime.live.shared_state import STATUS, SharedState


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


@pytest.fixture
def running(state):
    """The state of a stream that runs."""
    state.status, state.sample_rate, state.block_frames = STATUS.index("running"), 48000, 100
    return state


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a file system of a size; a test may ask once."""
    disk = tmp_path / "small"
    disk.mkdir()

    def mount(size):
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("no file system can be mounted here (as root on Linux one can)")
        return disk

    yield mount
    if disk.is_mount():
        subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture(scope="session")
def lesson():
    """Low tones against high noise, taught once."""
    return teach(examples(5.0), ProjectionDetector(), TeachingNotes(), "low tones", world=None)


@pytest.fixture(scope="session")
def profile(lesson):
    return lesson.profile
