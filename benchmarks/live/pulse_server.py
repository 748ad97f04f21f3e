"""Sound servers with null sinks and a socket of their own: PulseAudio, or PipeWire in its place.

Nobody's own server is touched; processes are stopped by their numbers.
"""

import contextlib
import os
import subprocess
import time

from benchmarks.live.rig import Unavailable, require_programs

SINKS = ("speakers", "cable")


class PulseServer:
    """A PulseAudio server with two null sinks; a context.

    Parameters
    ----------
    folder : Path
        Its home; a short path, for a socket's name has at most 108 characters.

    Raises
    ------
    Unavailable
        Where it is not installed or does not run.
    """

    packages = (("pulseaudio", "pulseaudio"), ("pactl", "pulseaudio-utils"))

    def __init__(self, folder):
        require_programs(**dict(self.packages))
        self.folder = folder
        self.socket = self._socket_in(folder)
        home = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "XDG_CONFIG_HOME": str(folder)}
        self.env = {**os.environ, **home, "PULSE_SERVER": f"unix:{self.socket}"}
        for name in ("PULSE_SINK", "PULSE_SOURCE", "JACK_DEFAULT_SERVER"):
            self.env.pop(name, None)
        self.env["JACK_NO_START_SERVER"] = "1"
        self._processes = []

    def _socket_in(self, folder):
        return folder / "native"

    @property
    def process(self):
        """The server itself."""
        return self._processes[0]

    def _start(self):
        # Samples of 32-bit float, so that nothing is rounded on the way.
        settings = self.folder / "daemon.conf"
        settings.write_text("default-sample-format = float32le\n")
        self.env["PULSE_CONFIG"] = str(settings)
        modules = [f"module-native-protocol-unix socket={self.socket} auth-anonymous=1"]
        modules += [f"module-null-sink sink_name={n} rate=48000" for n in SINKS]
        command = ["pulseaudio", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "-n"]
        for module in modules:
            command += ["-L", module]
        self._run(command)

    def _run(self, command):
        self._processes.append(
            subprocess.Popen(
                command, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        )

    def __enter__(self):
        self._processes.clear()
        self._start()
        deadline = time.monotonic() + 30
        while SINKS[-1] not in self.pactl("list", "short", "sinks"):
            dead = any(process.poll() is not None for process in self._processes)
            if dead or time.monotonic() > deadline:
                self.__exit__()
                raise Unavailable(f"{self.packages[0][0]} does not run here")
            time.sleep(0.1)
        self.pactl("set-default-source", f"{SINKS[-1]}.monitor")
        return self

    def pactl(self, *arguments):
        """What ``pactl`` says of it."""
        done = subprocess.run(["pactl", *arguments], env=self.env, capture_output=True, text=True)
        return done.stdout

    def __exit__(self, *exc):
        for process in self._processes:  # what needs the first of them ends with it
            if process is self._processes[0]:
                process.terminate()
            for end in (process.terminate, process.kill, None):
                try:
                    process.wait(5)
                    break
                except subprocess.TimeoutExpired:
                    end()


class PipeWireServer(PulseServer):
    """PipeWire, its session manager and its stand-in for PulseAudio, each with the same sinks."""

    packages = (
        *((program, program) for program in ("pipewire", "wireplumber", "pipewire-pulse")),
        ("dbus-run-session", "dbus"),
        ("pactl", "pulseaudio-utils"),
    )

    def _socket_in(self, folder):
        return folder / "pulse" / "native"

    def _start(self):
        self.env |= {"PIPEWIRE_RUNTIME_DIR": str(self.folder), "XDG_STATE_HOME": str(self.folder)}
        for program, made in (("pipewire", "pipewire-0"), ("pipewire-pulse", "pulse/native")):
            self._run([program])
            deadline = time.monotonic() + 10
            while not (self.folder / made).exists() and time.monotonic() < deadline:
                time.sleep(0.05)
        # It does not run without a bus.
        self._run(["dbus-run-session", "--", "wireplumber"])
        for name in SINKS:
            with contextlib.suppress(OSError):
                self.pactl("load-module", "module-null-sink", f"sink_name={name}", "rate=48000")
