r"""Where a user's profiles live, so that programs find them by name.

Linux: ``$XDG_DATA_HOME/exemplar-gate/profiles`` (``~/.local/share`` unless set); macOS:
``~/Library/Application Support/exemplar-gate/profiles``; Windows:
``%APPDATA%\exemplar-gate\profiles``.
"""

import os
import sys
from pathlib import Path

from gate.errors import ConfigError

SUFFIX = ".gate.yaml"


def profile_folder():
    """The folder; it need not be there."""
    home = Path.home()
    if sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    elif sys.platform == "win32":
        base = Path(os.environ.get("APPDATA") or home / "AppData" / "Roaming")
    else:
        given = os.environ.get("XDG_DATA_HOME", "")
        base = Path(given) if os.path.isabs(given) else home / ".local" / "share"
    return base / "exemplar-gate" / "profiles"


def profile_path(name):
    """Path of a profile by its name, or by a path that ends with ``.gate.yaml``.

    Parameters
    ----------
    name : str
        ``mine`` is ``mine.gate.yaml`` in the user's folder.

    Raises
    ------
    ConfigError
        For a name that cannot be a file's.
    """
    text = str(name).strip()
    if text.endswith(SUFFIX) and ("/" in text or os.sep in text):
        return Path(text).expanduser()
    text = text.removesuffix(SUFFIX)
    good = text and text[0] != "." and not set(text) & set('/\\:*?"<>|') and text.isprintable()
    if not good or len(os.fsencode(text)) > 200:
        raise ConfigError(
            f'profile {str(name)!r} must be a name of up to 200 bytes without / \\ : * ? " < > |, '
            f"or a path that ends with {SUFFIX}"
        )
    return profile_folder() / f"{text}{SUFFIX}"


def listed_profiles():
    """Names and paths of the profiles in the user's folder, in order of name.

    Returns
    -------
    list of tuple of str
    """
    try:
        found = sorted(profile_folder().glob(f"*{SUFFIX}"))
    except OSError:
        found = []
    return [(path.name.removesuffix(SUFFIX), str(path)) for path in found]
