"""Waiting for what another thread or process does, talking to it, and doing without it."""

import shutil
import socket
import time

import pytest
from pythonosc.osc_message_builder import OscMessageBuilder


def until(condition, what="not met in time", seconds=240.0):
    """Wait for the condition, and return what it gave; a busy machine is slow.

    `what` may be a function that tells at the end what there is instead.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(what() if callable(what) else what)
        time.sleep(0.02)
    return found


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
    for program, package in packages.items():
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (apt-get install {package})")
