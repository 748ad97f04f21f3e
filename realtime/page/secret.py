"""The random part of the page's address.

It is made once and kept in a file that only its owner can read, because OBS is told the address
once. Whoever deletes the file gets a new address at the next start.
"""

import os
import re
import secrets
import sys
from pathlib import Path

from gate.errors import GateError

_TOKEN = re.compile(r"[A-Za-z0-9_-]{22,64}")
_N_BYTES = 18


def secret_path():
    """Where it is kept: in the user's folder for state, by the system's habit."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return base / "exemplar-gate" / "page-token"


def page_token(path=None):
    """The token, made where there is none (or none that could have been made here).

    Parameters
    ----------
    path : Path, optional
        `secret_path()` by default.

    Returns
    -------
    str
        24 letters, digits, ``-`` and ``_``: 144 random bits.

    Raises
    ------
    GateError
        If the file can neither be read nor written.
    """
    path = secret_path() if path is None else Path(path)
    try:
        if path.exists():
            text = path.read_text(encoding="ascii", errors="replace").strip()
            if _TOKEN.fullmatch(text):
                path.chmod(0o600)  # as it was made: a copy from elsewhere may be open to others
                return text
        return _write_new(path)
    except OSError as error:
        raise GateError(f"page: {path} cannot be used ({error.strerror})") from None


def _write_new(path):
    token = secrets.token_urlsafe(_N_BYTES)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(token + "\n")
    os.replace(beside, path)
    return token
