"""A PulseAudio server for tests; where it cannot run they are skipped."""

import json

import pytest
from waiting import skipping, until

from benchmarks.live import pulse_server


class PulseServer(pulse_server.PulseServer):
    """Skips the test where PulseAudio cannot run; knows who listens to what."""

    def __init__(self, folder):
        with skipping():
            super().__init__(folder)

    def __enter__(self):
        with skipping():
            return super().__enter__()

    def listed(self, kind):
        return json.loads(self.pactl("--format=json", "list", kind) or "[]")

    def line(self, kind, name):
        """How a source or sink is listed in short."""
        lines = self.pactl("list", "short", kind).splitlines()
        return next((line for line in lines if line.split("\t")[1] == name), "")

    def output_of(self, pid):
        """Number of the stream with which a process listens, as text; None where it does not."""
        for found in self.listed("source-outputs"):
            if found["properties"].get("application.process.id") == str(pid):
                return str(found["index"])
        return None

    def source_of(self, pid):
        """Name of the source to which a process listens, or None."""
        names = {s["index"]: s["name"] for s in self.listed("sources")}
        for found in self.listed("source-outputs"):
            if found["properties"].get("application.process.id") == str(pid):
                return names.get(found["source"])
        return None

    def wait_for_source(self, live, name):
        """Until `gate-live` listens to a source."""
        until(lambda: self.source_of(live.statuses[-1]["stream_pid"]) == name,
              lambda: live.events[-5:])  # fmt: skip

    def unload(self, text):
        """Remove the module that was loaded with this in its arguments."""
        for line in self.pactl("list", "short", "modules").splitlines():
            if text in line:
                self.pactl("unload-module", line.split("\t")[0])

    def skip_without_alsa(self, live):
        """Skip the test where ALSA has no way to the server."""
        if "fits no" in (missing := first_error(live)):
            pytest.skip(f"{missing} (apt-get install libasound2-plugins)")


def first_error(live):
    """What it says if it ends at once, else nothing."""
    ended = lambda: live.process.poll() is not None  # noqa: E731
    until(lambda: ended() or any(s["status"] == "running" for s in live.statuses))
    return live.process.stderr.read().strip() if ended() else ""
