"""Open Sound Control packets, read strictly.

The library that decodes them fills up what a cut-off packet lacks with zeros, and a missing
threshold of 0 dBFS would shut every gate. So the packet is walked through first: every length in
it must be what it holds, to the byte (Open Sound Control 1.0). The library takes a colour for a
number, too, and passes over characters and impulses: what no setting is made of is refused.
"""

import struct

from gate.errors import ConfigError

_SIZES = {"i": 4, "f": 4, "h": 8, "d": 8, "T": 0, "F": 0, "N": 0, "[": 0, "]": 0}
_BUNDLE = b"#bundle\0"
_DEEPEST = 8


def read_packet(data):
    """Messages of a datagram, bundles opened.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    list of tuple
        Address and list of arguments.

    Raises
    ------
    ConfigError
        If it is not a whole OSC packet.
    """
    _check_element(data, 0)
    from pythonosc.osc_packet import OscPacket

    try:
        messages = [timed.message for timed in OscPacket(data).messages]
    except Exception:  # the library raises all kinds of things
        raise ConfigError("not an OSC message") from None
    return [(message.address, list(message.params)) for message in messages]


def _check_element(data, depth):
    if len(data) == 0 or len(data) % 4:
        raise ConfigError(f"not an OSC message ({len(data)} bytes must be a multiple of 4)")
    if not data.startswith(_BUNDLE):
        _check_message(data)
        return
    if depth >= _DEEPEST:
        raise ConfigError(f"bundles in bundles must be at most {_DEEPEST} deep")
    if len(data) < 16:
        raise ConfigError("a bundle that is cut off")
    at = 16
    while at < len(data):
        (size,) = struct.unpack_from(">i", data, at)
        at += 4
        if size <= 0 or at + size > len(data):
            raise ConfigError("a bundle that is cut off")
        _check_element(data[at : at + size], depth + 1)
        at += size


def _check_message(data):
    address, at = _text(data, 0)
    if not address.startswith(b"/"):
        raise ConfigError("not an OSC message (no address)")
    tags, at = _text(data, at)
    if not tags.startswith(b","):
        raise ConfigError("an OSC message without types")
    for tag in tags[1:].decode("latin-1"):
        if tag in "sS":
            _, at = _text(data, at)
        elif tag == "b":
            if at + 4 > len(data):
                raise ConfigError("an OSC message that is cut off")
            (size,) = struct.unpack_from(">i", data, at)
            if size < 0:
                raise ConfigError("an OSC message with a blob of negative size")
            at += 4 + (size + 3) // 4 * 4
        elif tag in _SIZES:
            at += _SIZES[tag]
        else:
            raise ConfigError(f"an OSC message of type {tag!r}, which no setting has")
        if at > len(data):
            raise ConfigError("an OSC message that is cut off")
    if at != len(data):
        raise ConfigError("an OSC message with more in it than its types say")


def _text(data, at):
    """A text that begins at `at`, and where what follows it begins."""
    end = data.find(b"\0", at)
    if end < 0:
        raise ConfigError("an OSC message that is cut off")
    after = at + (end - at) // 4 * 4 + 4
    if data[end:after].strip(b"\0"):
        raise ConfigError("an OSC message with a text that is not padded with zeros")
    return data[at:end], after
