"""Open Sound Control: settings in, meters out.

The address map is `ADDRESSES`; the README shows it.
"""

import socket
import socketserver
import threading
import time

from gate import checks
from gate.errors import ConfigError, GateError
from gate.settings import CHOICES, RANGES
from realtime.live.control import LiveControl
from realtime.live.osc_packet import read_packet
from realtime.live.shared_state import HOP_FIELDS
from realtime.live.status import snapshot

_LEARNABLE = ("attack_ms", "hold_ms", "release_ms", "presence_threshold", "presence_hysteresis")
_SUBSCRIPTION_S = 60.0
_MOST_SUBSCRIBERS = 16
METERS = (
    *(name for name in HOP_FIELDS if name != "time_s"), "load_mean", "load_p99", "xruns",
    "nonfinite_samples", "detector_failures", "status", "hint", "hint_threshold_db",
    "teach_step", "teach_next", "teach_open_s", "teach_shut_s", "teach_level", "teach_fitted",
)  # fmt: skip
"""What is sent of a `snapshot`, as far as it is known: the hop's `Meters` and the health."""

_COMMANDS = {
    "/gate/mark_open": LiveControl.mark_open,
    "/gate/mark_shut": LiveControl.mark_shut,
    "/gate/wrong": LiveControl.wrong,
    "/gate/undo": LiveControl.undo_mark,
    "/gate/take_hint": LiveControl.take_hint,
}

ADDRESSES = {
    **{
        f"/gate/{name}": f"number {low:g} to {high:g}"
        + (' or "learned"' if name in _LEARNABLE else "")
        for name, (low, high) in RANGES.items()
    },
    **{f"/gate/{name}": " or ".join(f'"{c}"' for c in known) for name, known in CHOICES.items()},
    "/gate/bypass": "0 or 1",
    "/gate/key_listen": "0 or 1",
    "/gate/muted": "0 or 1",
    "/gate/target": "name",
    "/gate/key": '"learned", "off", or two numbers: low and high in Hz',
    "/gate/profile": 'path, or "" for none',
    **dict.fromkeys(_COMMANDS, "nothing (or 1, as buttons send; 0 does nothing)"),
    "/gate/keep": "name or path to keep what was taught, or nothing for a name of the date",
    "/gate/get": "nothing: every setting is sent back",
    "/gate/subscribe": "port or nothing: meters to the sender's port for 60 s; repeat it to go on",
    "/gate/unsubscribe": "port or nothing",
}
"""Address to its argument."""


class OscServer:
    """Listens on UDP and sends meters, in threads of the interface's process.

    Parameters
    ----------
    settings : OscSettings
    state : SharedState
    control : LiveControl
    say : callable
        Called with one line for people.

    Raises
    ------
    ConfigError
        If the port cannot be had.
    """

    def __init__(self, settings, state, control, say):
        self._settings = settings
        self._state = state
        self._control = control
        self._say = say
        self._subscribers = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._said_at = 0.0
        self._server = None
        if settings.port is not None:
            try:
                self._server = _Server((settings.host, settings.port), self._take)
            except OSError as error:
                raise ConfigError(
                    f"osc: {settings.host}:{settings.port} cannot be had ({error.strerror}); "
                    "choose another --osc-port"
                ) from None
        # Meters leave by a socket of their own: the other may be bound to this machine only.
        self._sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._threads = [threading.Thread(target=self._meter, name="osc meters", daemon=True)]
        if self._server:
            self._threads.append(
                threading.Thread(
                    target=self._server.serve_forever, args=(0.1,), name="osc", daemon=True
                )
            )

    def start(self):
        """Begin to listen and to send."""
        for thread in self._threads:
            thread.start()

    def stop(self):
        """End."""
        self._stopping.set()
        if self._server:
            self._server.shutdown()
        for thread in self._threads:
            thread.join(2.0)
        if self._server:
            self._server.server_close()
        self._sender.close()

    def _take(self, data, sender):
        try:
            messages = read_packet(data)
        except GateError as error:
            self._complain(str(error), sender)
            return
        for address, arguments in messages:
            try:
                self._act(address, arguments, sender)
            except GateError as error:
                self._complain(f"{address}: {error}", sender)
            except Exception as error:
                self._complain(f"{address}: {type(error).__name__}: {error}", sender)

    def _act(self, address, arguments, sender):
        if address not in ADDRESSES:
            raise ConfigError("unknown address; see the README for the map")
        name = address.rpartition("/")[2]
        if address in _COMMANDS:
            if not arguments or _switch(name, arguments):
                _COMMANDS[address](self._control)
        elif name == "keep":
            self._control.keep(_text(name, arguments) if arguments else None)
        elif name == "get":
            for message in self._settings_now().items():
                self._send([message], sender)
        elif name in ("subscribe", "unsubscribe"):
            self._subscribe(name == "subscribe", arguments, sender)
        elif name == "muted":
            self._control.set_muted(_switch(name, arguments))
        elif name == "profile":
            self._control.set_profile(_text(name, arguments) or None)
        elif name in ("bypass", "key_listen"):
            self._control.change({name: _switch(name, arguments)}, "osc")
        elif name == "key" and len(arguments) == 2:
            low, high = (checks.number(name, a) for a in arguments)
            self._control.change({"key": {"low_hz": low, "high_hz": high}}, "osc")
        elif name in RANGES and not isinstance(_one(name, arguments), str):
            self._control.change({name: checks.number(name, arguments[0])}, "osc")
        else:
            self._control.change({name: _text(name, arguments)}, "osc")

    def _subscribe(self, wanted, arguments, sender):
        # Only ever the sender's own address: a forged datagram must not aim the meters.
        port = sender[1] if not arguments else int(checks.number("port", arguments[0], 1, 65535))
        target = (sender[0], port)
        with self._lock:
            if wanted:
                known = target in self._subscribers
                if not known and len(self._subscribers) >= _MOST_SUBSCRIBERS:
                    raise ConfigError(f"there are {_MOST_SUBSCRIBERS} subscribers already")
                self._subscribers[target] = time.monotonic() + _SUBSCRIPTION_S
            else:
                self._subscribers.pop(target, None)

    def _settings_now(self):
        """Address to value."""
        settings = self._control.settings.to_mapping()
        settings["muted"] = self._control.muted
        settings["profile"] = self._control.profile or ""
        return {
            f"/gate/{name}": int(value) if isinstance(value, bool)
            else [value["low_hz"], value["high_hz"]] if isinstance(value, dict) else value
            for name, value in settings.items()
        }  # fmt: skip

    def _meter(self):
        told = {}
        while not self._stopping.wait(1.0 / self._settings.meter_rate_hz):
            now = time.monotonic()
            with self._lock:
                self._subscribers = {a: t for a, t in self._subscribers.items() if t > now}
                targets = list(self._subscribers)
            if self._settings.destination is not None:
                targets.append(self._settings.destination)
            if not targets:
                continue
            status = snapshot(self._state, self._control)
            found = [(n, status.get(n)) for n in METERS]
            messages = [
                (f"/gate/meter/{n}", int(v) if isinstance(v, bool) else v)
                for n, v in found
                if v is not None
            ]
            before, told = told, self._settings_now()
            messages += [(a, v) for a, v in told.items() if before.get(a) != v]
            for target in targets:
                self._send(messages, target)

    def _send(self, messages, target):
        """A bundle of (address, value) to an address; one that is gone is no error."""
        from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
        from pythonosc.osc_message_builder import OscMessageBuilder

        bundle = OscBundleBuilder(IMMEDIATELY)
        for address, value in messages:
            message = OscMessageBuilder(address)
            for part in value if isinstance(value, list | tuple) else [value]:
                if isinstance(part, str):  # a path need not be UTF-8
                    part = part.encode("utf-8", "replace").decode("utf-8")
                message.add_arg(part)
            bundle.add_content(message.build())
        own = self._server is not None and target != self._settings.destination
        try:
            (self._server.socket if own else self._sender).sendto(bundle.build().dgram, target)
        except OSError:
            pass

    def _complain(self, text, sender):
        """Tell the sender always, and people once a second at most."""
        text = "".join(c if c.isprintable() else "?" for c in text)[:200]
        self._send([("/gate/error", text)], sender)
        now = time.monotonic()
        if now - self._said_at > 1.0:
            self._said_at = now
            self._say(f"osc: {text}")


class _Server(socketserver.UDPServer):
    max_packet_size = 65536

    def __init__(self, address, take):
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self._take = take
        super().__init__(address, None)

    def finish_request(self, request, client_address):
        self._take(request[0], client_address)

    def handle_error(self, request, client_address):
        """Print nothing: `_take` raises nothing."""


def _one(name, arguments):
    if len(arguments) != 1:
        raise ConfigError(f"{name} must have one argument, not {len(arguments)}")
    return arguments[0]


def _switch(name, arguments):
    value = _one(name, arguments)
    if value not in (0, 1):
        raise ConfigError(f"{name}={value!r} must be 0 or 1")
    return bool(value)


def _text(name, arguments):
    value = _one(name, arguments)
    return value if value == "" else checks.text(name, value)
