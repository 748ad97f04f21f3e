"""Keys of the live view, and the terminal as it was before."""

import errno
import os
import sys

import pytest

from realtime.live.keyboard import Keyboard, parse_keys


def test_keys_of_terminals_are_told_apart():
    assert parse_keys(b"b\x1b[A\x1bOB\x1b[15~\x1b[1;5Cq\x1b") == ["b", "up", "down", "q"]
    assert parse_keys(bytes(range(256)))  # any noise is survived


@pytest.fixture
def terminal(monkeypatch):
    """(where keys are pressed, the terminal), with a given `tcsetattr`; standard input is there."""
    if sys.platform == "win32":
        pytest.skip("terminals of POSIX")
    import pty
    import termios
    import tty

    main, terminal = pty.openpty()
    with os.fdopen(terminal) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)

        def with_tcsetattr(function):
            for module in (termios, tty):
                monkeypatch.setattr(module, "tcsetattr", function)
            return main, terminal

        yield with_tcsetattr
    os.close(main)


def test_the_terminal_is_put_back_though_signals_interrupt(terminal):
    import termios

    real, calls = termios.tcsetattr, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) % 2:
            raise termios.error(errno.EINTR, "Interrupted system call")
        return real(*args)

    main, terminal = terminal(interrupted)
    before = termios.tcgetattr(terminal)
    with Keyboard() as keyboard:
        local = termios.tcgetattr(terminal)[3]
        assert not local & (termios.ECHO | termios.ICANON)
        os.write(main, b"\x1b[Ab")
        assert keyboard.read(5.0) == ["up", "b"]
    assert termios.tcgetattr(terminal) == before
    assert len(calls) == 4


def test_another_error_of_the_terminal_is_not_swallowed(terminal):
    import termios

    def broken(*args):
        raise termios.error(errno.EIO, "Input/output error")

    terminal(broken)
    with pytest.raises(termios.error), Keyboard():
        pass
