"""Watches where the sound server connects the gate, and undoes what would make it hear itself.

A server moves streams: when the default changes, a device is unplugged, or somebody drags one in
a mixer. A gate that is moved onto its own microphone is dead when it is shut and howls when it is
open.
"""

import subprocess
import threading
import time

from gate.errors import DeviceError
from realtime.live.sound_server import Graph, default_source, environment, pactl, unload_named
from realtime.live.virtual_mic import SINK, SOURCE

SILENCE = "gate_live_silence"
_SETTLE_S = 0.1
_RETRY_S = 1.0
_OURS = ("gate_live",)


class ConnectionWatch:
    """Listens to the server's events in a thread of its own.

    Parameters
    ----------
    pid : callable
        Process number of the stream as it is now.
    say : callable
        Called with one line for people.
    own_sink : str or None
        Sink that the output belongs on, where that is the gate's own.
    wanted : str or None
        Source that was asked for by name.

    Attributes
    ----------
    input_name, output_name : str or None
        What the gate is connected to.
    trouble : str or None
        One line while something is wrong with that.
    """

    def __init__(self, pid, say, own_sink=None, wanted=None):
        self._pid, self._say = pid, say
        self._own_sink, self._wanted = own_sink, wanted
        self._good_source = self._good_sink = None
        self._silence = False
        self._said = set()  # troubles, told once until it is right again
        self._missed = False  # the source that was asked for was not there once
        self._stopping = threading.Event()
        self._listener = None
        self._thread = threading.Thread(target=self._watch, name="connections", daemon=True)
        self.input_name = self.output_name = self.trouble = None

    def start(self):
        """Begin to watch."""
        self._thread.start()

    def stop(self):
        """End, and remove what was made."""
        self._stopping.set()
        if self._listener is not None:
            self._listener.terminate()
        if self._thread.ident is not None:
            self._thread.join(2.0)
        self._drop_silence()

    def status(self):
        """What the view shows."""
        return {
            "input_device": self.input_name,
            "output_device": self.output_name,
            "connection": self.trouble,
        }

    def look(self, graph=None):
        """Look at the connections once and put right what is wrong."""
        graph = graph or Graph.read()
        outputs = graph.streams_of("source_outputs", self._pid())
        inputs = graph.streams_of("sink_inputs", self._pid())
        if not outputs or not inputs:
            return
        output, inp = outputs[0], inputs[0]
        self._look_at_output(graph, inp)
        self._look_at_input(graph, output, inp)

    def _look_at_output(self, graph, inp):
        sink = graph.sinks.get(inp["sink"])
        if sink is None:
            return
        self.output_name = sink["name"]
        own = next((i for i, s in graph.sinks.items() if s["name"] == self._own_sink), None)
        if own is None or inp["sink"] == own:
            return
        # From here on as it will be once it is moved.
        inp["sink"] = own
        self.output_name = self._own_sink
        if self._move("move-sink-input", inp["index"], self._own_sink):
            self._say(f"the output was moved to {sink['name']}: moved back to {self._own_sink}")

    def _look_at_input(self, graph, output, inp):
        end, output = self._listened(graph, output)
        source = graph.sources.get(end)
        if source is None:
            return
        name = source["name"]
        if self._wanted is not None and graph.source_named(self._wanted) is None:
            self._missed = True
        if not self._is_loop(graph, end, inp["sink"]):
            in_silence = name == f"{SILENCE}.monitor"
            if in_silence or self._returned(graph, name):
                better = next(self._candidates(graph, inp["sink"]), None)
                if better is not None and self._move("move-source-output", output["index"], better):
                    self._settled(better, f"the input is back on {better}")
                    self._drop_silence()
                return
            if not in_silence:
                line = None
                if self.trouble or (self._missed and name == self._wanted):
                    line = f"the input is back on {name}"  # the server did it
                elif self.input_name not in (None, name):
                    line = f"the input was moved to {name}"
                self._settled(name, line)
                self._drop_silence()
                self._good_sink = self.output_name
            return
        sink = graph.sinks[inp["sink"]]["name"]
        if self._good_sink not in (None, sink) and name == self._good_source:
            # The output was moved onto what the gate listens to.
            if self._move("move-sink-input", inp["index"], self._good_sink):
                self._say(f"the output was moved to {sink}, which the gate listens to: "
                          f"moved back to {self._good_sink}")  # fmt: skip
                self.output_name = self._good_sink
                return
        self.input_name = name
        better = next(
            (
                candidate for candidate in self._candidates(graph, inp["sink"])
                if self._move("move-source-output", output["index"], candidate)
            ), None,
        )  # fmt: skip
        if better is not None:
            line = f"the input was moved to {name}, which is the gate's own: moved to {better}"
            self._settled(better, line)
            return
        silence = self._make_silence()
        if silence is None or not self._move("move-source-output", output["index"], silence):
            self.trouble = f"the gate hears itself: its input is {name}; choose another"
            self._tell(self.trouble)
            return
        self.input_name = None
        self.trouble = "no microphone is left but the gate's own: it hears silence"
        self._tell(f"the input was moved to {name}, which is the gate's own: {self.trouble}")

    def _listened(self, graph, output):
        """The source at the far end of the gate's own remappings, and the stream that listens."""
        source = graph.sources.get(output["source"])
        while source is not None and source["name"].startswith("gate_live_channels"):
            feeding = graph.feeding(source)
            if feeding is None:
                break
            output, source = feeding, graph.sources.get(feeding["source"])
        return output["source"], output

    def _returned(self, graph, name):
        """Whether the source that was asked for is there again after it was not."""
        return (
            self._missed and name != self._wanted and graph.source_named(self._wanted) is not None
        )

    def _candidates(self, graph, sink_index):
        """Sources to listen to: the one asked for, the last good, the default, any microphone."""
        names = [self._wanted, self._good_source, self._default()]
        names += [s["name"] for s in graph.sources.values() if not s.get("monitor_source")]
        for name in dict.fromkeys(names):
            source = name and graph.source_named(name)
            if source and not name.startswith(_OURS):
                if not graph.is_loop(source["index"], sink_index):
                    yield name

    @staticmethod
    def _is_loop(graph, source_index, sink_index):
        """Whether the gate hears itself; its own source is known by name on any server."""
        name = graph.sources[source_index]["name"]
        return name in (SOURCE, f"{SINK}.monitor") or graph.is_loop(source_index, sink_index)

    def _default(self):
        try:
            return default_source()
        except DeviceError:
            return None

    def _settled(self, name, line):
        self.input_name = self._good_source = name
        if name == self._wanted:
            self._missed = False
        self.trouble = None
        self._said.clear()
        if line:
            self._say(line)

    def _tell(self, line):
        if line not in self._said:
            self._said.add(line)
            self._say(line)

    def _move(self, command, index, name):
        try:
            pactl(command, str(index), name)
        except DeviceError:  # gone meanwhile, or not to be moved
            return False
        return True

    def _make_silence(self):
        try:
            if not self._silence:
                about = "device.description=gate-live-silence"
                pactl("load-module", "module-null-sink", f"sink_name={SILENCE}",
                      f"sink_properties='{about}'")  # fmt: skip
                self._silence = True
        except DeviceError:
            return None
        return f"{SILENCE}.monitor"

    def _drop_silence(self):
        if self._silence:
            self._silence = False
            unload_named(SILENCE)

    def _watch(self):
        while not self._stopping.is_set():
            try:
                self._listener = subprocess.Popen(
                    ["pactl", "subscribe"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL, env=environment(),
                )  # fmt: skip
            except OSError:
                return
            with self._listener as listener:
                self._look_quietly()
                self._follow(listener)
                listener.terminate()
            self._silence = False  # it went with the server
            self._stopping.wait(_RETRY_S)

    def _follow(self, listener):
        """Look after every event that may have moved something, many at a time."""
        changed = threading.Event()

        def read():
            for line in listener.stdout:
                if b"client" not in line:
                    changed.set()
            changed.set()

        reader = threading.Thread(target=read, name="server events", daemon=True)
        reader.start()
        while not self._stopping.is_set() and reader.is_alive():
            if changed.wait(0.5):
                time.sleep(_SETTLE_S)
                changed.clear()
                self._look_quietly()

    def _look_quietly(self):
        try:
            self.look()
        except (DeviceError, KeyError, TypeError):  # gone, or about to: the next event tells
            pass
