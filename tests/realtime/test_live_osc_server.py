"""Settings and meters over Open Sound Control, with sockets."""

import socket
import time

import pytest
from fed_gate import meters
from pythonosc.osc_packet import OscPacket
from waiting import free_port, until
from waiting import osc as osc_message

from gate.key import KeyBand
from gate.settings import GateSettings
from realtime.live.osc import OscServer
from realtime.live_settings import OscSettings


class _Client(socket.socket):
    """Knows its server."""

    server = None


@pytest.fixture
def osc(control, said, state):
    port = free_port(socket.SOCK_DGRAM)
    server = OscServer(OscSettings(port=port, meter_rate_hz=100.0), state, control, said.append)
    server.start()
    client = _Client(socket.AF_INET, socket.SOCK_DGRAM)
    client.bind(("127.0.0.1", 0))
    client.settimeout(2.0)
    client.server = ("127.0.0.1", port)
    yield client
    client.close()
    server.stop()


def _send(client, address, *arguments):
    client.sendto(osc_message(address, *arguments).dgram, client.server)


def _receive(client):
    data, _ = client.recvfrom(65536)
    return {m.message.address: m.message.params for m in OscPacket(data).messages}


def test_osc_sets_every_kind_of_setting(osc, control):
    _send(osc, "/gate/threshold_db", -42.5)
    _send(osc, "/gate/hold_ms", "learned")
    _send(osc, "/gate/attack_ms", 5)
    _send(osc, "/gate/mode", "duck")
    _send(osc, "/gate/bypass", 1)
    _send(osc, "/gate/key_listen", True)
    _send(osc, "/gate/target", "voice")
    _send(osc, "/gate/key", 200.0, 3000.0)
    _send(osc, "/gate/muted", 1)
    until(lambda: control.muted)
    expected = GateSettings(
        threshold_db=-42.5, attack_ms=5.0, mode="duck", bypass=True, key_listen=True,
        target="voice", key=KeyBand(200.0, 3000.0),
    )  # fmt: skip
    assert control.settings == expected
    _send(osc, "/gate/get")
    answers = {}
    while "/gate/profile" not in answers:
        answers |= _receive(osc)
    assert answers["/gate/threshold_db"] == [-42.5] and answers["/gate/key"] == [200.0, 3000.0]


def test_osc_sends_meters_to_who_subscribed(osc, state):
    state.put_hop(meters(key_level_dbfs=-33.0))
    _send(osc, "/gate/subscribe")
    found = _receive(osc)
    assert found["/gate/meter/key_level_dbfs"] == [pytest.approx(-33.0)]
    assert found["/gate/meter/open"] == [1] and found["/gate/meter/status"] == ["starting"]
    _send(osc, "/gate/unsubscribe")
    time.sleep(0.1)
    osc.settimeout(0.15)
    with pytest.raises(TimeoutError):
        while True:
            _receive(osc)


@pytest.mark.parametrize(
    ("address", "arguments", "error"),
    [
        ("/gate/threshold_db", [50.0], "threshold_db=50 must be from -100 to 0"),
        ("/gate/threshold_db", [float("nan")], "must be a number"),
        ("/gate/threshold_db", [], "one argument"),
        ("/gate/threshold_db", ["loud"], "must be a number"),
        ("/gate/bypass", [7], "bypass=7 must be 0 or 1"),
        ("/gate/mode", ["reverse"], "mode='reverse' must be one of gate, duck"),
        ("/gate/treshold", [1], "unknown address"),
    ],
)
def test_osc_answers_what_is_wrong(osc, control, address, arguments, error):
    _send(osc, address, *arguments)
    assert error in _receive(osc)["/gate/error"][0]
    assert control.settings == GateSettings() and control.host.sent == []
    osc.sendto(b"/gate/threshold_db\0\0,f\0\0", osc.server)  # cut off
    assert "/gate/error" in _receive(osc)
    _send(osc, "/gate/threshold_db", -12.25)  # and it goes on
    until(lambda: control.settings.threshold_db == -12.25)
