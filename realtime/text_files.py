"""Reads text and YAML that someone else wrote: bounded, and every fault is one line."""

import re
from pathlib import Path

from realtime.outputs import why

MAX_BYTES = 4_000_000
_MAX_NODES = 200_000
_NO_TEXT = re.compile(r"\\u[dD][89a-fA-F]")


class TextError(ValueError):
    """What is wrong, without the file's name.

    Attributes
    ----------
    line : int or None
        Where.
    """

    def __init__(self, text, line=None):
        super().__init__(text)
        self.line = line

    def of(self, name):
        """The message, with the file's name before it."""
        return f"{name}{f', line {self.line}' if self.line else ''}: {self}"


def read_bounded(path, max_bytes=MAX_BYTES):
    """A file's bytes; more than `max_bytes` are refused, whatever it says of its size.

    Raises
    ------
    TextError
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        reason = why(error) if isinstance(error, OSError) else error
        raise TextError(f"cannot be read ({reason})") from None
    if len(data) > max_bytes:
        raise TextError(f"cannot be read (more than {max_bytes / 1e6:g} MB)")
    return data


def read_utf8(path):
    """A text file's content; errors as of `read_bounded`."""
    try:
        return read_bounded(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise TextError("cannot be read (not UTF-8 text)") from None


def parse_yaml(text):
    """The plain tree of a YAML text.

    Raises
    ------
    TextError
        Also for trees that unfold without end.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    if _NO_TEXT.search(text):  # a file's name that is no text, which libyaml refuses
        loader = yaml.SafeLoader
    try:
        tree = yaml.load(text, loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = min(mark.line + 1, text.count("\n") + 1) if mark else None
        problem = getattr(error, "problem", None) or "syntax"
        raise TextError(f"not YAML ({problem})", line) from None
    except RecursionError:
        raise TextError("not YAML that can be read (nested too deeply)") from None
    except (ValueError, TypeError, OverflowError, AttributeError, KeyError) as error:
        raise TextError(f"not YAML that can be read ({error})") from None
    _bound(tree)
    return tree


def _bound(tree):
    """Refuse trees that hold themselves, or that references make huge."""
    left, n = [tree], 0
    while left:
        node = left.pop()
        n += 1
        if n > _MAX_NODES:
            raise TextError("not YAML that can be read (its references unfold too far)")
        if isinstance(node, dict):
            left += [*node.keys(), *node.values()]
        elif isinstance(node, (list, tuple, set)):
            left += node
