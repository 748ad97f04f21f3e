"""`gate-bench page`: what the page costs the sound and the interface.

`gate-live` runs on a clocked sound server without a page, and with one: in a browser, for ten
clients that only read, for ten that do not even read. The four take turns of a few seconds, in
another order each round, and are compared within their round: a machine that gets busier in the
meantime does so for all of them.
"""

import contextlib
import json
import os
import selectors
import socket
import tempfile
import threading
import time

import numpy as np

from benchmarks import tables
from benchmarks.live.browser import chromium, stalled_page
from benchmarks.live.jitter import running
from benchmarks.live.rig import end_servers_on_sigterm
from benchmarks.machine import describe
from benchmarks.part import Part

_N_CLIENTS = 10
_SETTLE_S = 1.0
_TURN_S = 5.4  # `load_mean` and `load_p99` of a status are over the 5 s before it
_MOST_OF_A_CORE = 0.03
_FIGURES = {
    "callback mean, us": "mean_us",
    "callback p99, us": "p99_us",
    "interface, % of a core": "interface",
}
_COUNTS = ("callbacks", "late_callbacks", "xruns", "detector_overruns")


def page(args, config, command, say):
    """The audio callbacks' figures and the interface's processor time, with and without pages."""
    end_servers_on_sigterm()
    rng = np.random.default_rng(0)
    turns = {"no page": [], "a browser": [], "ten idle": [], "ten stalled": []}
    with chromium() as browser, tempfile.TemporaryDirectory() as folder:
        for number in range(args.rounds):
            say(f"page: round {number + 1} of {args.rounds}")
            kinds = [running(args, config.engine.model), gate_with_page(args, config, folder)]
            for kind in rng.permutation(2):
                with kinds[kind] as live:
                    if kind == 0:
                        turns["no page"].append(_turn(args, live))
                        continue
                    besides = {"a browser": _one_page(browser), "ten idle": _idle,
                               "ten stalled": _stalled}  # fmt: skip
                    for name in rng.permutation(list(besides)):
                        with besides[name](address_of(live)):
                            turns[str(name)].append(_turn(args, live))
    rows, ratios = _compared(turns)
    body = tables.table(["median of the rounds (ratio to no page, 95 % interval)", *turns], rows)
    counts = [[n.replace("_", " "), *(sum(t[n] for t in turns[k]) for k in turns)] for n in _COUNTS]
    body += "\n\n" + tables.table([f"sum of {args.rounds} rounds", *turns], counts) + "\n"
    failures = [
        f"{name}: {figure} is at least {low:.3f} times that without a page"
        for name in ("ten idle", "ten stalled")
        for figure in ("mean_us", "p99_us")
        if (low := ratios[name][figure][1]) > 1.02
    ]
    used = float(np.median([turn["interface"] for turn in turns["a browser"]]))
    if used >= 100 * _MOST_OF_A_CORE:
        failures.append(f"the interface uses {used:.1f} % of a core")
    data = {"meta": describe(command), "turns": turns, "ratios": ratios}
    return Part("page", "The page", body, data, failures=failures)


def _turn(args, live):
    """Figures of a few seconds of a running gate."""
    time.sleep(_SETTLE_S)
    before, cpu, at = json.loads(live.lines[-1]), _cpu_s(live.process.pid), time.monotonic()
    time.sleep(_TURN_S)
    cpu, took = _cpu_s(live.process.pid) - cpu, time.monotonic() - at
    after, block_us = json.loads(live.lines[-1]), args.period / args.sample_rate * 1e6
    return {
        "mean_us": after["load_mean"] * block_us,
        "p99_us": after["load_p99"] * block_us,
        "interface": 100.0 * cpu / took,
        **{name: after[name] - before[name] for name in _COUNTS},
    }


def _compared(turns):
    """Rows of the table, and each ratio to ``no page`` with its interval."""
    ratios, rows = {name: {} for name in turns}, []
    for title, figure in _FIGURES.items():
        base = np.array([turn[figure] for turn in turns["no page"]])
        row = [title]
        for name, taken in turns.items():
            values = np.array([turn[figure] for turn in taken])
            ratios[name][figure] = ratio, low, high = _ratio(values, base)
            row.append(
                tables.number(float(np.median(values)))
                + (f" ({ratio:.2f}, {low:.2f} to {high:.2f})" if name != "no page" else "")
            )
        rows.append(row)
    return rows, ratios


def _ratio(values, base, n_draws=2000):
    """Median of the ratios within rounds, and its 95 % interval by bootstrap over rounds."""
    of_rounds = values / np.maximum(base, 1e-9)
    drawn = np.random.default_rng(0).choice(of_rounds, (n_draws, len(of_rounds)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return float(np.median(of_rounds)), float(low), float(high)


@contextlib.contextmanager
def gate_with_page(args, config, folder):
    """A running gate with a page whose address is of no use to anyone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--page", str(port)]
    with running(args, config.engine.model, options, XDG_STATE_HOME=folder) as live:
        yield live


def address_of(live):
    """Where the page of a running gate is."""
    (line,) = [event for event in live.events if event.startswith("page: http")][:1]
    return line.removeprefix("page: ")


def _one_page(browser):
    @contextlib.contextmanager
    def beside(address):
        opened = browser.new_page(viewport={"width": 300, "height": 600})
        opened.goto(address)
        opened.wait_for_selector("#offline", state="hidden")
        try:
            yield
        finally:
            opened.close()

    return beside


@contextlib.contextmanager
def _stalled(address):
    """Ten that have asked for news and never read them."""
    with contextlib.ExitStack() as clients:
        for _ in range(_N_CLIENTS):
            clients.enter_context(contextlib.closing(stalled_page(address)))
        yield


@contextlib.contextmanager
def _idle(address):
    """Ten that read what they are sent and do nothing with it."""
    with contextlib.ExitStack() as clients, selectors.DefaultSelector() as ready:
        for _ in range(_N_CLIENTS):
            client = clients.enter_context(contextlib.closing(stalled_page(address, 1 << 16)))
            ready.register(client, selectors.EVENT_READ)
        ended = threading.Event()

        def read():
            while not ended.is_set():
                for key, _ in ready.select(0.1):
                    key.fileobj.recv(1 << 16)
                ended.wait(0.04)  # as seldom as there are frames

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            yield
        finally:
            ended.set()
            reader.join()


def _cpu_s(pid):
    """Processor time of a process, its children not counted."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
