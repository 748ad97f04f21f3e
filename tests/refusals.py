"""What is refused is refused in one line."""

import contextlib
import re

import pytest


@contextlib.contextmanager
def one_line(kind, message):
    """As `pytest.raises`; what is raised must be told in one line."""
    with pytest.raises(kind, match=message) as caught:
        yield caught
    assert "\n" not in str(caught.value)


def refuses(main, arguments, code, message, capsys):
    """A command ends with this code, and on standard error with one line in which this is found."""
    try:
        got = main(list(map(str, arguments)))
    except SystemExit as end:  # of argparse
        got = end.code
    error = capsys.readouterr().err
    assert got == code and error.count("\n") == 1 and re.search(message, error), (got, error)
