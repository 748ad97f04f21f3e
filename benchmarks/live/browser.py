"""A headless Chromium, and pages that do not read: for the page's benchmark and tests."""

import base64
import contextlib
import os
import shutil
import socket
from urllib.parse import urlsplit

from benchmarks.live.rig import Unavailable, resident_mb

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@contextlib.contextmanager
def chromium():
    """A running browser (Playwright's) with a fresh profile.

    Raises
    ------
    Unavailable
        Where Playwright or Chromium is missing.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise Unavailable("playwright is not installed (pip install playwright)") from None
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise Unavailable("chromium is not installed (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


class Heap:
    """What a page holds, after everything that can be freed has been.

    Parameters
    ----------
    page : playwright.sync_api.Page
    """

    def __init__(self, page):
        self._session = page.context.new_cdp_session(page)
        self._session.send("Performance.enable")

    def look(self):
        """What is held now: a dict of ``heap_kb``, ``objects``, ``nodes`` and ``listeners``."""
        self._session.send("HeapProfiler.collectGarbage")
        metrics = self._session.send("Performance.getMetrics")["metrics"]
        found = {metric["name"]: metric["value"] for metric in metrics}
        return {
            "heap_kb": int(found["JSHeapUsedSize"]) // 1024,
            "objects": self._n_objects(),
            "nodes": int(found["Nodes"]),
            "listeners": int(found["JSEventListeners"]),
        }

    def _n_objects(self):
        """How many objects of the page's own world there are: exact, where bytes are not."""
        prototype = self._ask("Runtime.evaluate", expression="Object.prototype")
        found = self._session.send(
            "Runtime.queryObjects",
            {"prototypeObjectId": prototype["objectId"], "objectGroup": "look"},
        )["objects"]["objectId"]
        counted = self._ask("Runtime.callFunctionOn", objectId=found, returnByValue=True,
                            functionDeclaration="function () { return this.length; }")  # fmt: skip
        self._session.send("Runtime.releaseObjectGroup", {"objectGroup": "look"})
        return counted["value"]

    def _ask(self, method, **parameters):
        return self._session.send(method, {"objectGroup": "look", **parameters})["result"]


def renderer_mb(browser):
    """Resident memory of the browser's processes that hold pages, in MB."""
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return round(sum(resident_mb(p["id"]) for p in processes if p["type"] == "renderer"), 1)


def stalled_page(address, receive_buffer=2048):
    """A socket that has asked for the page's news and never reads them.

    Parameters
    ----------
    address : str
        As `gate-live` prints it.
    receive_buffer : int
        Bytes that its side of the connection may hold; the system has a minimum.
    """
    url = urlsplit(address)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.connect((url.hostname, url.port))
    key = base64.b64encode(os.urandom(16)).decode()
    client.sendall(
        f"GET {url.path}socket HTTP/1.1\r\nHost: {url.netloc}\r\nOrigin: http://{url.netloc}\r\n"
        f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    return client
