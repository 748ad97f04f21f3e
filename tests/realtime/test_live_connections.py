"""Where the sound server connects the gate: loops undone, devices that go and come, channels."""

import os
import subprocess
import sys

import numpy as np
import pytest
from pulse_server import PulseServer
from sound_servers import Live, require_programs

from gate.errors import ConfigError, DeviceError
from realtime.live import connection_watch, server_route
from realtime.live.connection_watch import SILENCE, ConnectionWatch
from realtime.live.server_route import CHANNELS_SOURCE, ServerRoute
from realtime.live.sound_server import Graph
from realtime.live_settings import LiveSettings

PID = 77


def _graph(source, sink=1, sources=("mic", "headset")):
    """A server with microphones, speakers (sink 0) and the gate's own sink (1) and source."""
    named = {
        10: {"index": 10, "name": "speakers.monitor", "monitor_source": "speakers"},
        11: {"index": 11, "name": "gate_live.monitor", "monitor_source": "gate_live"},
        12: {"index": 12, "name": "gate_live_mic", "monitor_source": "", "owner_module": 5},
        13: {"index": 13, "name": f"{SILENCE}.monitor", "monitor_source": SILENCE},
    }
    for index, name in enumerate(sources):
        named[20 + index] = {"index": 20 + index, "name": name, "monitor_source": ""}
    where = next(i for i, s in named.items() if s["name"] == source)
    mine = {"application.process.id": str(PID)}
    return Graph(
        sources=named,
        sinks={
            i: {"index": i, "name": name}
            for i, name in enumerate(["speakers", "gate_live", SILENCE])
        },
        source_outputs={
            # Programs' streams belong to the module of the protocol: no connection between them.
            30: {"index": 30, "source": where, "owner_module": 0, "client": 9, "properties": mine},
            31: {"index": 31, "source": 11, "owner_module": "5", "properties": {}},
        },
        sink_inputs={
            40: {"index": 40, "sink": sink, "owner_module": 0, "client": 9, "properties": mine},
            42: {"index": 42, "sink": 0, "owner_module": 0, "client": 8, "properties": {}},
        },
    )


@pytest.fixture
def moves(monkeypatch):
    moves = []

    def pactl(*arguments, **_):
        moves.append(arguments)
        return "1\n"

    monkeypatch.setattr(connection_watch, "pactl", pactl)
    monkeypatch.setattr(connection_watch, "default_source", lambda: "gate_live_mic")
    monkeypatch.setattr(connection_watch, "unload_named", lambda *n: moves.append(("unload", *n)))
    return moves


@pytest.fixture
def watch(moves, said):
    """Knows the input's name, and that all was well."""
    watch = ConnectionWatch(lambda: PID, said.append, "gate_live", "mic")
    watch.look(_graph("mic"))
    assert moves == said == []
    return watch


def test_the_gates_own_source_is_a_loop_by_way_of_any_remapping():
    graph = _graph("gate_live_mic")
    assert graph.is_loop(12, 1) and graph.is_loop(11, 1)
    assert not graph.is_loop(20, 1) and not graph.is_loop(10, 1)
    # A loopback module carries the gate's sink to the speakers: their monitor is a loop, too.
    graph.source_outputs[32] = {"index": 32, "source": 11, "owner_module": 8}
    graph.sink_inputs[41] = {"index": 41, "sink": 0, "owner_module": 8}
    assert graph.is_loop(10, 1) and not graph.is_loop(20, 1)


@pytest.mark.parametrize("source", ["gate_live_mic", "gate_live.monitor"])
def test_a_stream_moved_onto_the_gates_own_source_is_moved_back(watch, moves, said, source):
    assert watch.status()["input_device"] == "mic"
    watch.look(_graph(source))
    assert moves == [("move-source-output", "30", "mic")]
    assert said == [f"the input was moved to {source}, which is the gate's own: moved to mic"]
    assert watch.status() == {
        "input_device": "mic", "output_device": "gate_live", "connection": None,
    }  # fmt: skip


def test_another_microphone_is_taken_where_that_one_is_gone_and_left_when_it_is_back(
    watch, moves, said
):
    watch.look(_graph("gate_live_mic", sources=("headset",)))
    assert moves.pop() == ("move-source-output", "30", "headset")
    watch.look(_graph("headset"))
    assert moves == [("move-source-output", "30", "mic")]
    assert said[-1] == "the input is back on mic"


def test_without_any_other_microphone_it_hears_silence_until_there_is_one(watch, moves, said):
    watch.look(_graph("gate_live_mic", sources=()))
    assert moves[0][1] == "module-null-sink"
    assert moves[1] == ("move-source-output", "30", f"{SILENCE}.monitor")
    assert "no microphone is left" in watch.status()["connection"] and len(said) == 1
    watch.look(_graph(f"{SILENCE}.monitor", sources=()))
    assert len(moves) == 2 and len(said) == 1
    watch.look(_graph(f"{SILENCE}.monitor", sources=("headset",)))
    assert moves[2:] == [("move-source-output", "30", "headset"), ("unload", SILENCE)]
    assert watch.status()["connection"] is None and said[-1] == "the input is back on headset"


def test_a_move_that_is_no_loop_is_accepted_and_told(watch, moves, said):
    watch.look(_graph("headset"))
    watch.look(_graph("headset"))
    assert moves == [] and said == ["the input was moved to headset"]


def test_the_output_belongs_on_the_virtual_microphone(watch, moves, said):
    watch.look(_graph("mic", sink=0))
    assert moves == [("move-sink-input", "40", "gate_live")]
    assert said == ["the output was moved to speakers: moved back to gate_live"]


def test_an_output_moved_onto_what_the_gate_listens_to_is_moved_back(moves, said):
    watch = ConnectionWatch(lambda: PID, said.append, None, None)
    watch.look(_graph("speakers.monitor", sink=1))
    assert moves == [] and said == []
    watch.look(_graph("speakers.monitor", sink=0))
    assert moves == [("move-sink-input", "40", "gate_live")]
    assert "which the gate listens to" in said[0]


def test_a_server_that_refuses_is_told_once(watch, said, monkeypatch):
    def refuse(*arguments, **_):
        raise DeviceError("the sound server: pactl move-source-output: Invalid argument")

    monkeypatch.setattr(connection_watch, "pactl", refuse)
    for _ in range(5):
        watch.look(_graph("gate_live_mic"))
    assert len(said) == 1 and "hears itself" in watch.status()["connection"]


# Channels


@pytest.fixture
def server(monkeypatch):
    """A server with sources of many forms; what it is asked for."""
    asked = []
    sources = [
        {"name": "stereo", "sample_specification": "s16le 2ch 44100Hz",
         "channel_map": "front-left,front-right"},
        {"name": "mono", "sample_specification": "s16le 1ch 16000Hz", "channel_map": "mono"},
        {"name": "pro", "sample_specification": "s32le 18ch 96000Hz",
         "channel_map": ",".join(f"aux{i}" for i in range(18))},
        {"name": "swapped", "sample_specification": "s16le 2ch 48000Hz",
         "channel_map": "front-right,front-left"},
    ]  # fmt: skip
    monkeypatch.setattr(server_route, "has_server", lambda: True)
    monkeypatch.setattr(server_route, "listed", lambda kind: sources if kind == "sources" else [])
    monkeypatch.setattr(server_route, "default_source", lambda: "stereo")
    monkeypatch.setattr(server_route, "unload_named", lambda *names: asked.append(names))
    monkeypatch.setattr(server_route, "pactl", lambda *a, **_: asked.append(a) or "9\n")
    for name in ("PULSE_SOURCE", "PULSE_SINK"):
        monkeypatch.delenv(name, raising=False)
    return asked


def test_a_source_of_the_server_is_chosen_by_its_name(server):
    live = LiveSettings(input="pro", input_channels=(3,), key_channels=(17,))
    route = ServerRoute(live)
    assert os.environ["PULSE_SOURCE"] == "pro" and route.source == "pro"
    opened = route.settings(live)
    assert opened.input == "pulse" and opened.host_api == "alsa"
    assert route.prepare(opened) == {"channels": 2, "columns": {3: 0, 17: 1}}
    load = server[-1]
    assert "master=pro" in load and "master_channel_map=aux2,aux16" in load and "remix=no" in load
    assert os.environ["PULSE_SOURCE"] == CHANNELS_SOURCE and route.asked_for == "pro"
    again = route.prepare(opened)  # as after a restart of the server
    assert again["columns"] == {3: 0, 17: 1}
    route.close()
    assert "PULSE_SOURCE" not in os.environ and server[-1] == (CHANNELS_SOURCE,)


def test_all_channels_are_opened_where_the_order_is_alsas_own(server):
    route = ServerRoute(LiveSettings())
    assert route.source is None
    assert route.prepare(LiveSettings()) == {"channels": 2, "columns": {1: 0}}
    assert route.prepare(LiveSettings(input="pulse", input_channels=(2,)))["columns"] == {2: 1}
    assert server == []
    with pytest.raises(ConfigError, match="source 'stereo' has 2 input channels"):
        route.prepare(LiveSettings(input_channels=(3,)))
    assert route.prepare(LiveSettings(input="USB Mic")) is None, "not by way of the server"


def test_one_channel_and_an_order_of_its_own(server):
    mono = ServerRoute(LiveSettings(input="mono"))
    assert mono.prepare(LiveSettings(input="pulse")) == {"channels": 1, "columns": {1: 0}}
    mono.close()
    swapped = ServerRoute(LiveSettings(input="swapped", input_channels=(1,)))
    found = swapped.prepare(LiveSettings(input="pulse", input_channels=(1,)))
    assert found == {"channels": 1, "columns": {1: 0}}
    assert "master_channel_map=front-right" in server[-1]
    swapped.close()


def test_part_of_a_name_is_not_the_servers(server):
    assert ServerRoute(LiveSettings(input="ster")).source is None


# With a server


def test_gate_live_never_hears_itself_and_each_channel_is_the_devices_own(tmp_path):
    """Default changed, device gone and back, channels apart, rate of the source, all in one run."""
    require_programs(parec="pulseaudio-utils")
    with PulseServer(tmp_path) as server:
        server.pactl("load-module", "module-null-sink", "sink_name=room", "rate=32000",
                     "channels=2")  # fmt: skip
        rng = np.random.default_rng(0)
        right = 0.2 * rng.standard_normal(32000 * 60)
        sound = np.stack([np.zeros_like(right), right], axis=1).astype(np.float32)
        (tmp_path / "right.raw").write_bytes(sound.tobytes())
        player = subprocess.Popen(
            ["pacat", "--raw", "--device=room", "--format=float32le", "--rate=32000",
             "--channels=2", str(tmp_path / "right.raw")], env=server.env,
        )  # fmt: skip
        options = ["--virtual-mic", "--input", "room.monitor", "--model", "none"]
        try:
            with Live(*options, "--threshold-db", "-40", env=server.env) as live:
                server.skip_without_alsa(live)
                status = live.wait_for(lambda s: s["input_device"] == "room.monitor")
                assert status["sample_rate"] == 32000, "of the source"
                assert "32000Hz" in server.line("sources", "gate_live_mic")
                # The right channel sounds, the left is silent: channel 1 is not their mix.
                live.wait_for(lambda s: s["frames"] > 64000)
                assert live.statuses[-1]["input_dbfs"] < -80

                server.pactl("set-default-source", "gate_live_mic")
                out = server.output_of(live.statuses[-1]["stream_pid"])
                assert out is not None
                server.pactl("move-source-output", out, "gate_live_mic")
                live.wait_for(
                    lambda s: any("gate's own: moved to room.monitor" in e for e in s["events"])
                )
                server.wait_for_source(live, "room.monitor")

                player.kill()
                player.wait()
                since = len(live.statuses)
                server.unload("sink_name=room ")
                live.wait_for(
                    lambda s: s["connection"] and "no microphone is left" in s["connection"],
                    after=since,
                )
                server.wait_for_source(live, f"{SILENCE}.monitor")
                server.pactl("load-module", "module-null-sink", "sink_name=room", "rate=32000")
                status = live.wait_for(
                    lambda s: any("back on room.monitor" in e for e in s["events"]), after=since
                )
                assert status["connection"] is None
                server.wait_for_source(live, "room.monitor")
                code, _ = live.stop()
                assert code == 0
        finally:
            player.kill()
            player.wait()
        assert "name=gate_live" not in server.pactl("list", "short", "modules")


def test_the_servers_sources_are_listed(tmp_path):
    with PulseServer(tmp_path) as server:
        command = [sys.executable, "-m", "realtime.live.cli", "--list-devices"]
        done = subprocess.run(command, env=server.env, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(done.stderr)
        assert "cable.monitor" in done.stdout and "PulseAudio" in done.stdout
