"""Serves the page: HTTP for its files, a WebSocket for the rest, in one thread.

It runs in the interface's process and reads shared memory; the process in which the sound flows
never learns of it. Nothing here grows: a page that does not read gets no frames until it does, and
is let go when it does not for ten seconds.
"""

import asyncio
import contextlib
import hashlib
import http
import logging
import socket
import threading
import time
from importlib.resources import files

from gate.errors import ConfigError
from realtime.page.commands import act
from realtime.page.feed import Feed
from realtime.page.guard import FILES, Refused, admit, response_headers
from realtime.page.secret import page_token

PERIOD_S = 0.05
_MOST_PAGES = 16
_MOST_WAITING = 1 << 16  # bytes written to a page and not yet taken by the system
_PATIENCE_S = 10.0
_MESSAGE_S = 0.005  # between two messages of one page: 200 a second are enough for a drag
_MOST_MESSAGE = 4096  # bytes


class PageServer:
    """The page of a running gate. The port is bound at once, served from `start` on.

    Parameters
    ----------
    settings : PageSettings
        With a port.
    state : SharedState
    control : LiveControl
    say : callable
        Called with one line for people.
    token : str, optional
        The random part of the address; `page_token()` by default.

    Attributes
    ----------
    address : str
        What to open in a browser.

    Raises
    ------
    ConfigError
        If the port cannot be had, or ``websockets`` is not installed.
    """

    def __init__(self, settings, state, control, say, token=None):
        try:
            import websockets.asyncio.server  # noqa: F401
        except ImportError:
            raise ConfigError(
                "page: websockets is not installed; pip install 'exemplar-gate[page]'"
            ) from None
        self._state, self._control, self._say = state, control, say
        self._token = page_token() if token is None else token
        self._files = read_files()
        self._socket = _bound(settings.port)
        self.address = f"http://127.0.0.1:{settings.port}/{self._token}/"
        self._pages = {}  # connection -> _Page
        self._feed = None
        self._loop = self._ending = self._soon = None
        self._said_at = -1.0
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)

    @property
    def n_pages(self):
        """How many pages are looked at."""
        return len(self._pages)

    def start(self):
        """Begin to serve."""
        self._say(f"page: {self.address}")
        self._loop = asyncio.new_event_loop()
        self._thread.start()

    def stop(self):
        """End, within a second or so."""
        if self._loop is None:
            self._socket.close()
            return
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._end)
        self._thread.join(3.0)

    def _end(self):
        if self._ending is not None:
            self._ending.set()

    def _run(self):
        try:
            self._loop.run_until_complete(self._serve())
        except Exception as error:  # the sound goes on without a page
            self._say(f"page: ended: {type(error).__name__}: {error}")
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    async def _serve(self):
        from websockets.asyncio.server import serve

        self._ending, self._soon = asyncio.Event(), asyncio.Event()
        self._feed = Feed(self._state, self._control, _version(self._files))
        server = await serve(
            self._meet,
            sock=self._socket,
            process_request=self._answer,
            compression=None,  # costs more than it saves on the way to oneself
            max_size=_MOST_MESSAGE,
            max_queue=4,
            open_timeout=5.0,
            ping_interval=5.0,
            ping_timeout=_PATIENCE_S,
            close_timeout=0.5,
            server_header=None,
            logger=_quiet(),
        )
        try:
            await self._beat()
        finally:
            server.close()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(server.wait_closed(), 1.5)

    async def _beat(self):
        """A frame every `PERIOD_S` to whoever keeps up."""
        due = time.monotonic()
        while not self._ending.is_set():
            due = max(due + PERIOD_S, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            if self._pages:
                soon = self._soon.is_set()
                self._soon.clear()
                self._send(self._feed.frame(soon))

    def _send(self, frame):
        from websockets.asyncio.server import broadcast

        now = time.monotonic()
        ready, greeting = [], []
        for connection, page in self._pages.items():
            if connection.transport.get_write_buffer_size() <= _MOST_WAITING:
                (greeting if page.missed else ready).append(connection)
                page.missed, page.took_at = False, now
            else:
                page.missed = True
                if now - page.took_at > _PATIENCE_S:
                    connection.transport.abort()
        broadcast(ready, frame)
        if greeting:
            broadcast(greeting, self._feed.hello())

    async def _meet(self, connection):
        """One page, from its connection to its end."""
        self._pages[connection] = _Page()  # is greeted with the next frame
        try:
            async for text in connection:
                refused = await asyncio.to_thread(act, self._control, text)
                self._soon.set()
                if refused:
                    await connection.send(_error(refused))
                await asyncio.sleep(_MESSAGE_S)
        except Exception as error:
            from websockets.exceptions import ConnectionClosed

            if not isinstance(error, ConnectionClosed):
                raise
        finally:
            del self._pages[connection]

    def _answer(self, connection, request):
        """The answer to a request; None lets a WebSocket begin."""
        headers = request.headers
        upgrade = headers.get_all("Upgrade") != []
        try:
            name = admit(request.path, headers, self._token, upgrade)
            if upgrade and len(self._pages) >= _MOST_PAGES:
                raise Refused(503, f"{_MOST_PAGES} pages are open already: close some")
        except Refused as refused:
            if refused.code == 403:
                self._complain(str(refused), headers)
            plain = response_headers("127.0.0.1", "text/plain; charset=utf-8")
            return _response(refused.code, f"gate-live: {refused}\n".encode(), plain)
        if upgrade:
            with contextlib.suppress(OSError):  # what is on its way to a page that does not read
                own = connection.transport.get_extra_info("socket")
                own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST_WAITING)
            return None
        if name is None:
            return _response(308, b"", {"Location": f"/{self._token}/", "Connection": "close"})
        body, content_type = self._files[name]
        return _response(200, body, response_headers(headers["Host"], content_type))

    def _complain(self, text, headers):
        """Tell people, seldom: it may be a tunnel of theirs."""
        now = time.monotonic()
        if now - self._said_at < 10.0:
            return
        self._said_at = now
        names = [headers.get_all(n) for n in ("Host", "Origin")]
        asked = " ".join("".join(c for c in str(v[0]) if c.isprintable())[:80] for v in names if v)
        self._say(f"page: refused a request ({asked}): {text}")


class _Page:
    """What is known of a connection: whether it missed frames, and when it last took one."""

    def __init__(self):
        self.missed = True
        self.took_at = time.monotonic()


def read_files():
    """The page's files: name to (bytes, content type)."""
    folder = files("realtime.page") / "static"
    return {name: ((folder / file).read_bytes(), kind) for name, (file, kind) in FILES.items()}


def _version(contents):
    return hashlib.sha256(b"".join(body for body, _ in contents.values())).hexdigest()[:12]


def _bound(port):
    """A socket that listens on the port, on this machine only."""
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows: the other option shares the port
            server.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen(32)
    except OSError as error:
        server.close()
        raise ConfigError(
            f"page: port {port} on 127.0.0.1 cannot be had ({error.strerror}); choose another: "
            f"--page {port + 1 if port < 65535 else port - 1}"
        ) from None
    server.setblocking(False)
    return server


def _response(code, body, headers):
    from websockets.datastructures import Headers
    from websockets.http11 import Response

    headers = Headers({**headers, "Content-Length": str(len(body))})
    return Response(code, http.HTTPStatus(code).phrase, headers, body)


def _error(text):
    import json

    return json.dumps({"error": text})


def _quiet():
    """A logger that prints nothing: the terminal is the view's."""
    logger = logging.getLogger("realtime.page")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
    return logger
