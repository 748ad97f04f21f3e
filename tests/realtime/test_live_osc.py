"""OSC packets that are cut off, swollen or of the wrong types change nothing."""

import random
import struct
from pathlib import Path

import pytest
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from waiting import osc as _message

from benchmarks.files.fuzz import mutate
from gate.errors import ConfigError
from gate.meters import Meters
from gate.settings import GateSettings
from realtime.live.osc import ADDRESSES, METERS, OscServer
from realtime.live.osc_packet import read_packet
from realtime.live.status import snapshot
from realtime.live_settings import OscSettings


def _bundle(*messages):
    bundle = OscBundleBuilder(IMMEDIATELY)
    for message in messages:
        bundle.add_content(message)
    return bundle.build()


GOOD = [
    _message("/gate/threshold_db", -42.5).dgram,
    _message("/gate/threshold_db", (-42.5, "d")).dgram,
    _message("/gate/threshold_db", -42).dgram,
    _message("/gate/hold_ms", "learned").dgram,
    _message("/gate/key", 200.0, 3000.0).dgram,
    _message("/gate/bypass", True).dgram,
    _message("/gate/get").dgram,
    _message("/gate/range_db", b"\1\2\3\4\5").dgram,
    _bundle(_message("/gate/threshold_db", -30.0), _message("/gate/range_db", -20.0)).dgram,
    _bundle(_bundle(_message("/gate/threshold_db", -30.0)), _message("/gate/mute", 1)).dgram,
]


class _Server(OscServer):
    """One without sockets: it keeps its answers."""

    def __init__(self, control):
        super().__init__(OscSettings(send_to="127.0.0.1:9"), None, control, lambda line: None)
        self.answers = []

    def _send(self, messages, target):
        self.answers += messages


@pytest.fixture
def server(control):
    server = _Server(control)
    yield server
    server._sender.close()


@pytest.mark.parametrize("data", GOOD, ids=range(len(GOOD)))
def test_a_whole_packet_is_read_and_none_of_its_parts_is(data):
    whole = read_packet(data)
    assert whole
    for end in range(len(data)):
        try:
            part = read_packet(data[:end])
        except ConfigError:
            continue
        # A bundle may end after any of its messages.
        assert data.startswith(b"#bundle") and part == whole[: len(part)]
    for more in (1, 4, 8):
        with pytest.raises(ConfigError):
            read_packet(data + b"\0" * more)


def test_a_cut_off_threshold_does_not_become_full_scale(server, control):
    whole = GOOD[0]
    for end in range(len(whole)):
        server._take(whole[:end], ("127.0.0.1", 1))
    assert control.settings == GateSettings()
    assert len(server.answers) == len(whole)
    assert all(address == "/gate/error" for address, _ in server.answers)
    server._take(whole, ("127.0.0.1", 1))
    assert control.settings.threshold_db == -42.5


@pytest.mark.parametrize("arguments", [
    (), (None,), (True,), ("-40",), (b"\0\0\0\0",), (float("nan"),), (float("inf"),), (1e30,),
    (-40.0, -40.0), ([-40.0],), ((-40, "h"), 1),
])  # fmt: skip
def test_a_threshold_of_the_wrong_kind_is_refused(server, control, arguments):
    server._take(_message("/gate/threshold_db", *arguments).dgram, ("127.0.0.1", 1))
    assert control.settings == GateSettings()
    assert server.answers and server.answers[0][0] == "/gate/error"


@pytest.mark.parametrize("data", [
    b"", b"\0\0\0\0", b"/gate/threshold_db\0\0", b"/gate/threshold_db\0\0,f\0\0",
    b"/gate/threshold_db\0\0\0\0\0\0", b"/gate/bypass\0\0\0\0,i\0\0", b"#bundle\0",
    b"#bundle\0" + bytes(8) + struct.pack(">i", 2**31 - 1),
    b"#bundle\0" + bytes(8) + struct.pack(">i", -4),
    b"/gate/mode\0\0,s\0\0duck", b"/gate/mode\0\0,b\0\0" + struct.pack(">i", 2**31 - 1) + bytes(8),
    *(b"/gate/threshold_db\0\0,%c\0\0" % tag + bytes(4) for tag in b"rcmz"),
    b"/gate/threshold_db\0\0,t\0\0" + bytes(8),
    b"/gate/threshold_db\0\0,If\0\xc2\x20\0\0", b"/gate/threshold_db\0x,f\0\0" + bytes(4),
    (b"#bundle\0" + bytes(8) + struct.pack(">i", 16)) * 3,
])  # fmt: skip
def test_damaged_packets_are_told_in_one_line(server, control, data):
    server._take(data, ("127.0.0.1", 1))
    assert control.settings == GateSettings()
    ((address, text),) = server.answers
    assert address == "/gate/error" and "\n" not in text and "Error" not in text


def test_a_profile_whose_name_is_not_utf8_is_sent_all_the_same(control):
    control.profile = "/home/m\udcfcller.gate.yaml"
    server = OscServer(OscSettings(send_to="127.0.0.1:9"), None, control, lambda line: None)
    try:
        server._take(_message("/gate/get").dgram, ("127.0.0.1", 9))
        server._send([("/gate/profile", control.profile)], ("127.0.0.1", 9))
    finally:
        server._sender.close()


def test_nested_bundles_end_somewhere(server):
    inner = _message("/gate/threshold_db", -30.0).dgram
    for _ in range(50):
        inner = b"#bundle\0" + bytes(8) + struct.pack(">i", len(inner)) + inner
    server._take(inner, ("127.0.0.1", 1))
    assert "deep" in server.answers[0][1]


def test_mutations_of_good_packets_change_nothing_unasked(server, control):
    rng = random.Random(7)
    values = [0, 1, -50, 2**31 - 1, 1e30, float("inf"), float("nan"), "", "learned", "x" * 300,
              b"\x00\x01", True, False, None]  # fmt: skip
    for turn in range(10000):
        if turn % 4:
            data = rng.choice(GOOD)
        else:
            address = rng.choice([*ADDRESSES, "/gate/", "/", "/gate/meter/open"])
            data = _message(address, *rng.choices(values, k=rng.randrange(4))).dgram
        server._take(mutate(data, rng), ("127.0.0.1", 1))
    for address, text in server.answers:
        assert address != "/gate/error" or "Error:" not in text, text
    assert GateSettings.from_mapping(control.settings.to_mapping()) == control.settings


def test_every_meter_is_a_name_of_the_snapshot(control, state):
    late = {"hint", "hint_threshold_db"} | {m for m in METERS if m.startswith("teach_")}
    hop = set(Meters.__dataclass_fields__)
    assert set(METERS) - hop - late <= set(snapshot(state, control))
    assert hop - {"time_s"} <= set(METERS)


def test_the_page_on_live_names_every_address_and_meter():
    text = (Path(__file__).parents[2] / "docs" / "live.md").read_text(encoding="utf-8")
    for address in ADDRESSES:
        assert f"`{address}`" in text, address
    for meter in METERS:
        assert f"`{meter}`" in text, meter
