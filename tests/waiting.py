"""Waiting for what another thread or process does, talking to it, and doing without it."""

import contextlib
import socket

import pytest
from pythonosc.osc_message_builder import OscMessageBuilder

from benchmarks.live import rig
from benchmarks.live.rig import until

__all__ = ["free_port", "osc", "require_programs", "send_osc", "skipping", "until"]


@contextlib.contextmanager
def skipping():
    """Skip the test where something is not installed."""
    try:
        yield
    except rig.Unavailable as reason:
        pytest.skip(str(reason))


def free_port(kind=socket.SOCK_STREAM):
    """A port of this machine that nobody has."""
    with socket.socket(socket.AF_INET, kind) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def osc(address, *arguments):
    """An OSC packet; an argument may be (value, type)."""
    message = OscMessageBuilder(address)
    for argument in arguments:
        message.add_arg(*argument if isinstance(argument, tuple) else (argument,))
    return message.build()


def send_osc(port, address, *arguments):
    """One message to a server on this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(osc(address, *arguments).dgram, ("127.0.0.1", port))


def require_programs(**packages):
    """Skip unless the programs are there: program=Debian package."""
    with skipping():
        rig.require_programs(**packages)
