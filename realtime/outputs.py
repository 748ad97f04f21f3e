"""What may be written, and how: beside the final name, whole, then renamed.

Every output of every command passes `check_output` before anything is written and is written
through `Replacement`. A process that is interrupted takes its unfinished files with it
(`discard_partials`); one that is killed leaves them under a name that `partial_owner` knows.
"""

import contextlib
import errno
import hashlib
import io
import os
import re
import stat
import unicodedata
import uuid
import zipfile
from pathlib import Path

from gate.errors import AudioFileError

MAX_NAME_BYTES = 255
"""Longest file name of the common file systems."""

_PARTIAL = re.compile(r"\..*\.([0-9a-f]{12})\.\d+-[0-9a-f]{8}\.partial", re.S)
_REASONS = {
    errno.ENOSPC: "no space left on device",
    errno.EDQUOT: "no space left within the disk quota",
    errno.ENAMETOOLONG: f"the name is too long, {MAX_NAME_BYTES} bytes are possible",
}
_PENDING = set()  # partial files of this process


def why(error):
    """What an OSError says, in words."""
    return _REASONS.get(error.errno) or error.strerror or str(error) or type(error).__name__


def name_too_long(path):
    """A line for a name that no common file system takes, or an empty one."""
    fits = len(os.fsencode(path.name)) <= MAX_NAME_BYTES
    return "" if fits else f"{path}: {_REASONS[errno.ENAMETOOLONG]}"


def printable(text):
    """A name or message on one line, whatever is in it: bytes that are no text, controls."""
    text = os.fspath(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def partial_name(path):
    """A name beside `path` that no other process, on no other machine, writes to.

    As long for a name of 255 bytes as for a short one.
    """
    path = Path(path)
    owner = _digest(path.name)
    shown = path.name[:40]
    return path.with_name(f".{shown}.{owner}.{os.getpid()}-{uuid.uuid4().hex[:8]}.partial")


def partial_owner(name, wanted):
    """Which of the file names `wanted` the partial file `name` is of, or None."""
    found = _PARTIAL.fullmatch(name)
    return next((w for w in wanted if found and _digest(w) == found[1]), None)


def _digest(name):
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:12]


def discard_partials():
    """Remove what this process has begun and not finished; for the way out."""
    for partial in list(_PENDING):
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        _PENDING.discard(partial)


def identities(paths):
    """(device, inode) of those of `paths` that exist, to its name."""
    found = {}
    for path in paths:
        with contextlib.suppress(OSError, ValueError):
            state = os.stat(path)
            found[state.st_dev, state.st_ino] = path
    return found


class OutputRules:
    """Decides what a command may write.

    Never an input, whatever name it goes by (links, ``..``, another case); never two outputs on
    one name; never what is there already, unless told.

    Parameters
    ----------
    inputs : iterable of path
        Everything that the command reads.
    overwrite : bool
        What is there may be replaced.
    """

    def __init__(self, inputs=(), overwrite=False):
        self._inputs = identities(inputs)
        self._overwrite = overwrite
        self._taken = {}
        self._folded = {}

    def claim(self, path, what="output"):
        """Take a name for an output; refuse what could never be written there.

        Raises
        ------
        AudioFileError
            One line: the name and the rule.
        """
        path = Path(path)
        if not path.name:
            raise AudioFileError(f"{path}: is a folder; name a file for the {what}")
        if line := name_too_long(path):
            raise AudioFileError(f"{line} ({what})")
        try:
            state = os.stat(path)
        except (OSError, ValueError):
            state = None
        if state is not None:
            if (state.st_dev, state.st_ino) in self._inputs:
                raise AudioFileError(f"{path}: is the input; choose another {what}")
            if stat.S_ISDIR(state.st_mode):
                raise AudioFileError(f"{path}: is a folder; name a file for the {what}")
        key = os.path.join(os.path.realpath(path.parent), path.name)
        self._take(key, path, what, os.path.realpath(path) if path.is_symlink() else key)

    def _take(self, key, path, what, final):
        for name in {key, final}:
            if name in self._taken:
                raise AudioFileError(f"{path}: would be written twice, as {what} and as "
                                     f"{self._taken[name]}")  # fmt: skip
        folded = unicodedata.normalize("NFC", final).casefold()
        other = self._folded.get(folded)
        if other is not None and _ignores_case(os.path.dirname(key)):
            raise AudioFileError(f"{path}: would be written twice, as {what} and as {other} "
                                 "(this file system does not tell their names apart)")  # fmt: skip
        for name in {key, final}:
            self._taken[name] = what
        self._folded[folded] = what

    def check_there(self, path):
        """Refuse what is there already, unless it may be replaced.

        Raises
        ------
        AudioFileError
        """
        if not self._overwrite and os.path.lexists(path) and not _is_device(path):
            raise AudioFileError(f"{path}: exists already (--overwrite replaces it)")

    def check(self, path, what="output"):
        """Both: `claim` and `check_there`."""
        self.claim(path, what)
        self.check_there(path)


def check_output(path, what="output", inputs=(), overwrite=False):
    """`OutputRules` for a command with one output.

    Raises
    ------
    AudioFileError
    """
    OutputRules(inputs, overwrite).check(path, what)


def _ignores_case(folder):
    """Whether names in a folder that may not exist yet are the same in any case."""
    folder = Path(folder)
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    probe = partial_name(folder / "Case")
    try:
        with probe.open("xb"):
            pass
        return probe.with_name(probe.name.swapcase()).exists()
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def _is_device(path):
    """A pipe, a terminal, /dev/null: written to as it is."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


class Replacement(contextlib.AbstractContextManager):
    """A file that takes its name when it is whole; leaving without `commit` leaves nothing.

    Parameters
    ----------
    path : str or Path
        Final name; folders on the way are made. A link is followed. Pipes and devices are
        written to as they are.

    Attributes
    ----------
    file : binary file
        Where to write; may be sought in.

    Raises
    ------
    AudioFileError
    """

    def __init__(self, path):
        self.path = Path(path)
        self._partial = None
        try:
            if _is_device(path):
                self.file = open(path, "wb")
                return
            final = Path(os.path.realpath(path))
            final.parent.mkdir(parents=True, exist_ok=True)
            self._final = final
            self._partial = partial_name(final)
            _PENDING.add(self._partial)
            self.file = open(self._partial, "w+b", buffering=1 << 18)
        except OSError as error:
            failure = self.failure(error)
            self.discard()
            raise failure from None
        except ValueError as error:
            self.discard()
            raise AudioFileError(f"{path}: cannot be written ({error})") from None

    def failure(self, error):
        """The error to raise for an OSError."""
        where = error.filename
        if where is None or str(where) in (str(self._partial), str(self.path)):
            return AudioFileError(f"{self.path}: cannot be written ({why(error)})")
        return AudioFileError(f"{where}: {why(error)}")

    def text(self):
        """`file` for text in UTF-8; closed by `commit`."""
        self.file = io.TextIOWrapper(self.file, "utf-8", "surrogateescape", newline="")
        return self.file

    def write(self, data):
        """Append bytes.

        Raises
        ------
        AudioFileError
        """
        try:
            self.file.write(data)
            self.file.flush()
        except OSError as error:
            raise self.failure(error) from None

    def commit(self):
        """Close it and give it its name.

        Raises
        ------
        AudioFileError
            For a full disk, among others; nothing is left then.
        """
        try:
            self.file.close()
            if self._partial is not None:
                with contextlib.suppress(OSError):  # who could read the old one can read the new
                    os.chmod(self._partial, stat.S_IMODE(self._final.stat().st_mode))
                os.replace(self._partial, self._final)
                _PENDING.discard(self._partial)
                self._partial = None
        except OSError as error:
            failure = self.failure(error)
            self.discard()
            raise failure from None

    def discard(self):
        """Leave nothing."""
        with contextlib.suppress(OSError, AttributeError, ValueError):
            self.file.close()
        if self._partial is not None:
            with contextlib.suppress(OSError):
                self._partial.unlink(missing_ok=True)
            _PENDING.discard(self._partial)
            self._partial = None

    def __exit__(self, *exc):
        self.discard()


def write_bytes(path, data):
    """Write a whole file.

    Raises
    ------
    AudioFileError
        If that is not possible; what was there is still there.
    """
    with Replacement(path) as output:
        output.write(data)
        output.commit()


def pack_arrays(**arrays):
    """The bytes of a .npz of named arrays, compressed."""
    import numpy as np

    data = io.BytesIO()
    np.savez_compressed(data, **arrays)
    return data.getvalue()


def write_arrays(path, **arrays):
    """Write a whole .npz of named arrays, packed for the wheel: slower, and a seventh smaller.

    Raises
    ------
    AudioFileError
    """
    import numpy as np

    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
    write_bytes(path, data.getvalue())


def write_text(path, text):
    """Write a whole text file in UTF-8.

    Raises
    ------
    AudioFileError
    """
    write_bytes(path, text.encode("utf-8", "surrogateescape"))
