"""Single key presses from the terminal, which is put back as it was."""

import errno
import os
import select
import sys
import time

_NAMES = {
    b"\x1b[A": "up", b"\x1b[B": "down", b"\x1b[C": "right", b"\x1b[D": "left",
    b"\x1bOA": "up", b"\x1bOB": "down", b"\x1bOC": "right", b"\x1bOD": "left",
}  # fmt: skip
_WINDOWS = {"H": "up", "P": "down", "M": "right", "K": "left"}


def parse_keys(data):
    r"""Names of the keys in what a terminal sent; unknown sequences are left out.

    Examples
    --------
    >>> parse_keys(b"b\x1b[A\x1b[15~q")
    ['b', 'up', 'q']
    """
    keys, at = [], 0
    while at < len(data):
        if data[at : at + 1] != b"\x1b":
            char = data[at : at + 1].decode("latin-1")
            if char.isprintable():
                keys.append(char)
            at += 1
            continue
        end = at + 1
        if data[end : end + 1] in (b"[", b"O"):
            end += 1
            while end < len(data) and not 0x40 <= data[end] <= 0x7E:
                end += 1
            end += 1
        name = _NAMES.get(data[at:end])
        if name:
            keys.append(name)
        at = end
    return keys


def _uninterrupted(call, *args):
    """`call`, again as long as a signal (the window's new size, a child's end) interrupts it.

    Python does this for its own calls (PEP 475), not for `termios`; a terminal that is not set
    back would stay without echo.
    """
    import termios

    while True:
        try:
            return call(*args)
        except termios.error as error:
            if error.args[0] != errno.EINTR:
                raise


class Keyboard:
    """Reads keys without waiting for a line; a context."""

    def __enter__(self):
        if sys.platform == "win32":
            return self
        import termios
        import tty

        self._fd = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._fd)
        _uninterrupted(tty.setcbreak, self._fd, termios.TCSANOW)
        return self

    def __exit__(self, *exc):
        if sys.platform == "win32":
            return
        import termios

        _uninterrupted(termios.tcsetattr, self._fd, termios.TCSADRAIN, self._before)

    def read(self, wait_s):
        """Keys pressed, after at most `wait_s` seconds."""
        if sys.platform == "win32":
            return self._read_windows(wait_s)
        ready, _, _ = select.select([self._fd], [], [], wait_s)
        if not ready:
            return []
        data = os.read(self._fd, 256)
        if not data:  # the terminal is gone
            return ["q"]
        return parse_keys(data)

    def _read_windows(self, wait_s):
        import msvcrt

        until = time.monotonic() + wait_s
        while time.monotonic() < until:
            if msvcrt.kbhit():
                char = msvcrt.getwch()
                return [_WINDOWS.get(msvcrt.getwch(), "")] if char in "\x00\xe0" else [char]
            time.sleep(0.01)
        return []
