"""A PulseAudio server for tests; where it cannot run they are skipped."""

import json
import os
import subprocess
import time

import pytest
from sound_servers import require_programs
from waiting import until


class PulseServer:
    """A PulseAudio server with a socket of its own and two null sinks."""

    def __init__(self, folder):
        require_programs(pulseaudio="pulseaudio", pactl="pulseaudio-utils")
        self.socket = folder / "native"
        home = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
        self.env = {**os.environ, **home, "PULSE_SERVER": f"unix:{self.socket}"}
        for name in ("PULSE_SINK", "PULSE_SOURCE", "JACK_DEFAULT_SERVER"):
            self.env.pop(name, None)
        self.env["JACK_NO_START_SERVER"] = "1"

    def __enter__(self):
        modules = [f"module-native-protocol-unix socket={self.socket} auth-anonymous=1"]
        modules += [f"module-null-sink sink_name={n} rate=48000" for n in ("speakers", "cable")]
        command = ["pulseaudio", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "-n"]
        for module in modules:
            command += ["-L", module]
        self.process = subprocess.Popen(
            command, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 30
        while "cable" not in self.pactl("list", "short", "sinks"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                pytest.skip("pulseaudio does not run here")
            time.sleep(0.1)
        self.pactl("set-default-source", "cable.monitor")
        return self

    def pactl(self, *arguments):
        done = subprocess.run(["pactl", *arguments], env=self.env, capture_output=True, text=True)
        return done.stdout

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

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()


def first_error(live):
    """What it says if it ends at once, else nothing."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if live.process.poll() is not None:
            return live.process.stderr.read().strip()
        if any(s["status"] == "running" for s in live.statuses):
            return ""
        time.sleep(0.05)
    return ""
