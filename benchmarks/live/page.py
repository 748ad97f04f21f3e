"""`gate-bench page`: what the page in the browser costs, and whether its memory is flat.

The same run of `gate-live` on a clocked sound server three times, side by side: without a page,
with one in a browser, with ten that stall. Then one page for as long as is asked.
"""

import contextlib
import os
import socket
import tempfile
import time

from benchmarks import tables
from benchmarks.live.browser import Heap, chromium, stalled_page
from benchmarks.live.jitter import figures, running
from benchmarks.live.rig import end_servers_on_sigterm
from benchmarks.machine import describe
from benchmarks.part import Part

_STALLED = 10
_SETTLE_S = 20.0


def page(args, config, command, say):
    """Jitter without pages, with one, with ten that stall; and the page's memory."""
    end_servers_on_sigterm()
    found = {}
    with chromium() as browser, tempfile.TemporaryDirectory() as folder:
        for name, beside in (("no page", _nothing), ("a browser", _one_page(browser)),
                             ("ten stalled", _stalled)):  # fmt: skip
            say(f"page: {name}, {args.seconds:g} s at the real pace")
            with _gate(args, config, folder) as live, beside(_address(live)):
                time.sleep(2.0)
                before = _cpu_s(live.process.pid), time.monotonic()
                found[name] = figures(args, live)
                used = _cpu_s(live.process.pid) - before[0]
                found[name]["interface_cpu"] = round(used / (time.monotonic() - before[1]), 4)
        say(f"page: its memory, {args.minutes:g} minutes")
        with _gate(args, config, folder) as live:
            memory = _memory(browser, live, args.minutes)
    rows = [[key.replace("_", " "), *(found[name][key] for name in found)]
            for key in found["no page"]]  # fmt: skip
    body = tables.table(["figure", *found], rows) + "\n\n"
    first, last = memory[0], memory[-1]
    body += tables.table(
        ["memory", "at first", f"after {args.minutes:g} min", "most"],
        [[key.replace("_", " "), first[key], last[key], max(m[key] for m in memory)]
         for key in ("heap_kb", "nodes", "interface_mb")],
    )  # fmt: skip
    return Part("page", "The page", body, {"meta": describe(command), "runs": found,
                                           "memory": memory})  # fmt: skip


@contextlib.contextmanager
def _gate(args, config, folder):
    """A running gate with a page whose address is of no use to anyone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--page", str(port)]
    with running(args, config.engine.model, options, XDG_STATE_HOME=folder) as live:
        yield live


def _address(live):
    (line,) = [event for event in live.events if event.startswith("page: http")][:1]
    return line.removeprefix("page: ")


@contextlib.contextmanager
def _nothing(address):
    yield


def _one_page(browser):
    @contextlib.contextmanager
    def beside(address):
        opened = browser.new_page(viewport={"width": 1200, "height": 800})
        opened.goto(address)
        opened.wait_for_selector("#offline", state="hidden")
        try:
            yield
        finally:
            opened.close()

    return beside


@contextlib.contextmanager
def _stalled(address):
    clients = [stalled_page(address) for _ in range(_STALLED)]
    try:
        yield
    finally:
        for client in clients:
            client.close()


def _memory(browser, live, minutes):
    """Heap and nodes of the page, memory of the interface's process, about twice a minute."""
    opened = browser.new_page(viewport={"width": 300, "height": 600})
    opened.goto(_address(live))
    opened.wait_for_selector("#offline", state="hidden")
    heap = Heap(opened)
    time.sleep(_SETTLE_S)  # the ring of ten seconds is full, what compiles has been compiled
    seen, ends = [], time.monotonic() + 60.0 * minutes
    while True:
        used, nodes = heap.look()
        seen.append({"heap_kb": used // 1024, "nodes": nodes,
                     "interface_mb": round(_resident_mb(live.process.pid), 1)})  # fmt: skip
        left = ends - time.monotonic()
        if left <= 0:
            return seen
        time.sleep(min(30.0, left))


def _cpu_s(pid):
    """Processor time of a process, its children not counted."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mb(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
