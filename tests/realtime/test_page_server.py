"""The page's server over real sockets: refusals, stalled pages, two pages, its start and end."""

import contextlib
import http.client
import json
import socket
import threading
import time

import pytest
from fed_gate import FedGate, bursts
from waiting import free_port, until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from benchmarks.live.browser import stalled_page
from realtime.live_settings import PageSettings
from realtime.page import server as page_server
from realtime.page.server import PageServer, read_files

TOKEN = "t" * 24


@pytest.fixture(scope="module")
def gate():
    with FedGate(bursts(), threshold_db=-40.0) as gate:
        yield gate


@contextlib.contextmanager
def served(gate, port=None, token=TOKEN):
    page = PageServer(PageSettings(port or free_port()), gate.state, gate.control,
                      gate.control.say, token)  # fmt: skip
    page.port = int(page.address.split(":")[2].split("/")[0])
    page.start()
    try:
        yield page
    finally:
        page.stop()


@pytest.fixture
def page(gate):
    with served(gate) as page:
        yield page


def ask(page, path="", headers=None):
    """(status, body, headers) of a plain request."""
    client = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)
    client.request("GET", f"/{TOKEN}/{path}", headers=headers or {})
    answer = client.getresponse()
    body = answer.read()
    client.close()
    return answer.status, body, answer.headers


def joined(page, origin=None):
    own = f"127.0.0.1:{page.port}"
    return connect(
        f"ws://{own}/{TOKEN}/socket", origin=origin or f"http://{own}", compression=None,
        open_timeout=10,
    )  # fmt: skip


def next_with(connection, name, timeout=10.0):
    """The next message that has `name`."""
    deadline = time.monotonic() + timeout
    while True:
        message = json.loads(connection.recv(max(deadline - time.monotonic(), 0.0)))
        if name in message:
            return message


def test_every_file_is_served_with_its_type_and_the_policy(page):
    for name, (body, kind) in read_files().items():
        status, got, headers = ask(page, name)
        assert (status, got, headers["Content-Type"]) == (200, body, kind)
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["Cache-Control"] == "no-store"
    client = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)
    client.request("GET", f"/{TOKEN}")
    answer = client.getresponse()
    assert answer.status == 308 and answer.headers["Location"] == f"/{TOKEN}/"
    client.close()


def test_the_files_name_no_other_host():
    for name, (body, _) in read_files().items():
        text = body.decode().replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text and "https:" not in text and "//cdn" not in text, name


def test_a_wrong_origin_is_refused_before_a_word_is_said(page):
    with pytest.raises(InvalidStatus) as refused:
        joined(page, origin="http://evil.example")
    assert refused.value.response.status_code == 403
    assert page.n_pages == 0
    assert TOKEN.encode() not in refused.value.response.body


def test_a_refusal_is_told_once(gate, page):
    before = len(gate.said)
    for _ in range(5):
        ask(page, headers={"Host": "tunnel.example"})
    told = [line for line in gate.said[before:] if "refused" in line]
    assert len(told) == 1 and "tunnel.example" in told[0] and "127.0.0.1" in told[0]


def test_a_page_gets_everything_and_changes_the_gate(gate, page):
    with joined(page) as one:
        hello = next_with(one, "hello")
        assert hello["now"]["threshold_db"] == gate.control.settings.threshold_db
        assert hello["now"]["stream"]["input"] == "USB microphone"
        one.send(json.dumps({"do": "change", "settings": {"threshold_db": -37.5}}))
        while next_with(one, "now")["now"].get("threshold_db") != -37.5:
            pass
        until(lambda: gate.settings["threshold_db"] == -37.5)  # the engine's own
        one.send(json.dumps({"do": "change", "settings": {"threshold_db": 3}}))
        assert "must be from -100 to 0" in next_with(one, "error")["error"]
        assert gate.settings["threshold_db"] == -37.5
        for noise in ("", "{", b"\xff\x00", "[]", "null"):
            one.send(noise)
            next_with(one, "error")
        with pytest.raises(ConnectionClosed):
            one.send("x" * 10000)
            next_with(one, "never")
    assert ask(page)[0] == 200, "and others are served"


def test_frames_come_twenty_times_a_second_with_every_hop(gate, page):
    with joined(page) as one:
        end = next_with(one, "hello")
        row = end["row"] + len(end["hops"])
        started, n = time.monotonic(), 0
        while time.monotonic() < started + 1.0:
            message = json.loads(one.recv(5))
            assert message["row"] == row, "no hop is left out"
            row += len(message["hops"])
            n += 1
        assert n <= 22


def test_a_stalled_page_has_a_bounded_queue_and_is_let_go(gate, monkeypatch):
    monkeypatch.setattr(page_server, "_MOST_WAITING", 4096)
    monkeypatch.setattr(page_server, "_PATIENCE_S", 1.0)
    monkeypatch.setattr(page_server, "PERIOD_S", 0.002)
    with served(gate) as page, joined(page) as reader:
        next_with(reader, "hello")
        client = stalled_page(page.address)
        until(lambda: page.n_pages == 2)
        (other,) = [c for c, p in page._pages.items() if c.remote_address == client.getsockname()]
        largest, frames = 0, 0
        while page.n_pages == 2 and frames < 5000:
            largest = max(largest, other.transport.get_write_buffer_size())
            json.loads(reader.recv(5))
            frames += 1
        assert page.n_pages == 1, "it is let go"
        # At most one greeting of ten seconds on top of the mark.
        assert largest < 4096 + 60_000, largest
        assert json.loads(reader.recv(5))["hops"] is not None, "the other page never noticed"
        client.close()


def test_a_page_that_reads_again_gets_what_it_missed(gate, monkeypatch):
    monkeypatch.setattr(page_server, "_MOST_WAITING", 0)
    with served(gate) as page, joined(page) as one:
        hello = next_with(one, "hello")
        (connection,) = page._pages
        size = [10]
        monkeypatch.setattr(connection.transport, "get_write_buffer_size", lambda: size[0])
        gate.control.change({"range_db": -33.0})
        time.sleep(0.4)
        with contextlib.suppress(TimeoutError):
            while True:  # what was on its way
                one.recv(0.0)
        size[0] = 0
        again = next_with(one, "hello")
        assert again["now"]["range_db"] == -33.0
        assert again["row"] + len(again["hops"]) > hello["row"] + len(hello["hops"]) + 20


def test_pages_are_counted(gate, monkeypatch):
    monkeypatch.setattr(page_server, "_MOST_PAGES", 2)
    with served(gate) as page, joined(page), joined(page):
        until(lambda: page.n_pages == 2)
        with pytest.raises(InvalidStatus) as refused:
            joined(page)
        assert refused.value.response.status_code == 503


def test_only_this_machine_reaches_it(page):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; tells our address on the network
        except OSError:
            pytest.skip("no network")
        own = probe.getsockname()[0]
    if own.startswith("127."):
        pytest.skip("no other address than 127.0.0.1")
    with pytest.raises(OSError):
        socket.create_connection((own, page.port), 5)


def test_it_ends_quickly_and_its_port_and_thread_are_free(gate):
    with served(gate) as page, joined(page) as one:
        next_with(one, "hello")
        stalled = stalled_page(page.address)
        until(lambda: page.n_pages == 2)
        started = time.monotonic()
        page.stop()
        assert time.monotonic() - started < 2.5
        assert not any(thread.name == "page" for thread in threading.enumerate())
        with pytest.raises(ConnectionClosed) as closed:
            next_with(one, "never")
        assert closed.value.rcvd.code == 1001
        stalled.close()
    with served(gate, page.port) as again:
        assert ask(again)[0] == 200


def test_one_that_was_made_and_never_started_gives_its_port_back(gate):
    port = free_port()
    PageServer(PageSettings(port), gate.state, gate.control, print, TOKEN).stop()
    PageServer(PageSettings(port), gate.state, gate.control, print, TOKEN).stop()
