"""`gate-bench page-memory`: an hour of updates in a browser, and whether anything grows.

Talk flows through a running `gate-live` on a clocked sound server; its page is open, and twice a
minute somebody moves a slider. What the page holds is looked at after a forced collection, what
the processes hold as the system sees it.
"""

import json
import tempfile
import time

import numpy as np

from benchmarks import tables
from benchmarks.live.browser import Heap, chromium, renderer_mb
from benchmarks.live.page import address_of, gate_with_page
from benchmarks.live.rig import end_servers_on_sigterm, resident_mb
from benchmarks.machine import describe
from benchmarks.part import Part

_LOOK_S = 30.0
_COUNT_FRAMES = """
  const Plain = WebSocket;
  window.gotten = { frames: 0, bytes: 0 };
  window.WebSocket = class extends Plain {
    constructor(url) {
      super(url);
      this.addEventListener("message", (event) => {
        window.gotten.frames++;
        window.gotten.bytes += event.data.length;
      });
    }
  };
"""
# What may be added over the whole run, by the trend. If every frame were kept, an hour would add
# 72,000 of them, 20 MB.
LIMITS = {
    "heap_kb": 250.0,
    "objects": 60.0,
    "nodes": 60.0,
    "listeners": 10.0,
    "browser_mb": 12.0,
    "interface_mb": 6.0,
    "audio_mb": 6.0,
}


def page_memory(args, config, command, say):
    """What the page, its browser and both processes of `gate-live` hold, over time."""
    end_servers_on_sigterm()
    with chromium() as browser, tempfile.TemporaryDirectory() as folder:
        with gate_with_page(args, config, folder) as live:
            seen, gotten, seconds = follow(browser, live, args.minutes, say)
    rows, failures = judge(seen)
    body = tables.table(
        ["memory", "at first", "at the end", "most", "trend over the run", "may be", "verdict"],
        rows,
    )
    body += (
        f"\n\n{gotten['frames']:,} frames ({gotten['frames'] / seconds:.1f} a second, "
        f"{gotten['bytes'] / 1e6:.1f} MB) in {seconds / 60:.1f} minutes, {len(seen)} looks, each "
        "after a forced collection. First, end: medians of a tenth of the looks; trend: the "
        "median slope between any two looks (Theil and Sen) after the first tenth, times the run.\n"
    )
    if gotten["frames"] < 10 * seconds:
        failures.append(f"only {gotten['frames']} frames in {seconds:.0f} s")
    data = {"meta": describe(command), "memory": seen, "gotten": gotten, "seconds": seconds}
    return Part("page-memory", "The page's memory", body, data, failures=failures)


def follow(browser, live, minutes, say):
    """Look twice a minute; returns the looks, what the page was sent, and the seconds it took."""
    opened = browser.new_page(viewport={"width": 300, "height": 600})
    opened.set_default_timeout(600_000)  # on a busy machine the page may be let go for a while
    opened.add_init_script(_COUNT_FRAMES)
    opened.goto(address_of(live))
    opened.wait_for_selector("#offline", state="hidden")
    heap = Heap(opened)
    started = time.monotonic()
    seen, ends = [], started + 60.0 * minutes
    while (left := ends - time.monotonic()) > 0:
        time.sleep(min(_LOOK_S, left))
        opened.fill("#range_db", str(-60 + len(seen) % 2))
        seen.append({
            "minute": round((time.monotonic() - started) / 60, 2),
            **heap.look(),
            "browser_mb": renderer_mb(browser),
            "interface_mb": resident_mb(live.process.pid),
            "audio_mb": resident_mb(json.loads(live.lines[-1])["stream_pid"]),
        })  # fmt: skip
        say(f"page-memory: {seen[-1]}")
    return seen, opened.evaluate("window.gotten"), time.monotonic() - started


def judge(seen):
    """Rows of the table, and a line for each that grows by more than `LIMITS` over the run."""
    tenth = max(len(seen) // 10, 1)
    minutes = np.array([look["minute"] for look in seen])
    rows, failures = [], []
    for name, limit in LIMITS.items():
        values = np.array([look[name] for look in seen], np.float64)
        growth = theil_sen(minutes[tenth:], values[tenth:]) * minutes[-1]
        first, last = np.median(values[:tenth]), np.median(values[-tenth:])
        flat = growth <= limit
        rows.append([name.replace("_", " "), f"{first:g}", f"{last:g}", f"{values.max():g}",
                     f"{growth:+.1f}", f"{limit:g}", "flat" if flat else "GROWS"])  # fmt: skip
        if not flat:
            failures.append(f"{name} grows by {growth:.1f} in {minutes[-1]:.0f} minutes")
    return rows, failures


def theil_sen(x, y):
    """The median of the slopes between all pairs of points; 0 for fewer than two."""
    i, j = np.triu_indices(len(x), 1)
    return float(np.median((y[j] - y[i]) / (x[j] - x[i]))) if len(i) else 0.0
