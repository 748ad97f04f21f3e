"""What a file really holds, whatever its header says.

Programs that die, pipes and cut-off downloads leave headers that are wrong. The modules beside
this one look at the bytes of each format and say what is there; libsndfile then decodes a view
of the file in which the header is put right.
"""

import io
import os
from dataclasses import dataclass, field

TRAILERS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICSBEGIN")
"""What tags that some programs put behind a file begin with."""


@dataclass
class Structure:
    """What was found.

    Attributes
    ----------
    kind : str
        ``riff``, ``rf64``, ``w64``, ``aiff``, ``svx``, ``caf``, ``au``, ``flac``, ``ogg``, ``mp3``;
        empty for others.
    patches : dict of int to bytes
        Bytes of the header to read otherwise, by offset.
    links : list of (int, int)
        Parts of the file that are each a whole stream: chained Ogg.
    frames : int or None
        Samples a channel, where the structure tells.
    prefix : bytes
        Bytes to read before the file's first.
    raw : dict or None
        Where the sound lies and how it is coded, where no header could say so: `links` has the
        place, this what libsndfile needs.
    cut : str or None
        What shows that the end is missing.
    refused : str or None
        Why not all of the sound could be read.
    notes : list of str
        Lines for people: where header and file disagree.
    chunks : list of Chunk
        The parts beside the sound, as they lie in the file.
    bitrate_bps : float or None
    constant_bitrate : bool
    """

    kind: str = ""
    patches: dict = field(default_factory=dict)
    links: list = field(default_factory=list)
    frames: int | None = None
    prefix: bytes = b""
    raw: dict | None = None
    cut: str | None = None
    refused: str | None = None
    notes: list = field(default_factory=list)
    chunks: list = field(default_factory=list)
    bitrate_bps: float | None = None
    constant_bitrate: bool = False

    def is_short(self, promised, there):
        """The end is missing."""
        self.cut = f"the header promises {promised:,} bytes of audio, the file holds {there:,}"

    def is_wrong(self, promised, there, unit="bytes of sound"):
        """The header could not know how much there would be."""
        promised = promised if isinstance(promised, str) else f"{promised:,}"
        self.notes.append(
            f"the header promises {promised} {unit}, the file holds {there:,}: "
            "the file's length counts"
        )


@dataclass(frozen=True)
class Chunk:
    """A part of a file: its name, where its content begins and how long it is."""

    name: bytes
    start: int
    size: int


class View(io.RawIOBase):
    """A part of a file, with some bytes replaced and some put before it, as a file of its own.

    Parameters
    ----------
    file : binary file
        Sought in; stays open when the view is closed.
    start, end : int
    patches : dict of int to bytes
        By offset in the file.
    prefix : bytes

    Attributes
    ----------
    failure : BaseException or None
        What went wrong while libsndfile read: nothing may be raised through it.
    """

    def __init__(self, file, start, end, patches=None, prefix=b""):
        self._file, self._start = file, start - len(prefix)
        self._size = end - self._start
        self._patches = [(at - self._start, data) for at, data in (patches or {}).items()]
        if prefix:
            self._patches.append((0, prefix))
        self._prefix = len(prefix)
        self._at = 0
        self.failure = None

    def readable(self):
        """Yes."""
        return True

    def seekable(self):
        """Yes."""
        return True

    def seek(self, offset, whence=os.SEEK_SET):
        """Go there."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self):
        """Where the view stands."""
        return self._at

    def readinto(self, buffer):
        """Fill the buffer as far as there is something."""
        try:
            return self._readinto(buffer)
        except BaseException as error:
            self.failure = error
            return 0

    def _readinto(self, buffer):
        wanted = min(len(buffer), max(0, self._size - self._at))
        before = min(wanted, max(0, self._prefix - self._at))
        data = bytes(before)
        if wanted > before:
            self._file.seek(self._start + self._at + before)
            data += self._file.read(wanted - before)
        begin, end = self._at, self._at + len(data)
        for at, patch in self._patches:
            low, high = max(at, begin), min(at + len(patch), end)
            if low < high:
                data = bytearray(data)
                data[low - begin : high - begin] = patch[low - at : high - at]
        buffer[: len(data)] = data
        self._at = end
        return len(data)


def read_at(file, at, n):
    """`n` bytes from `at`, fewer at the file's end."""
    file.seek(at)
    return file.read(n)


def prepend(file, data):
    """Put bytes before all others."""
    step = 1 << 20
    for begin in reversed(range(0, file.seek(0, 2) if data else 0, step)):
        block = read_at(file, begin, step)
        file.seek(begin + len(data))
        file.write(block)
    file.seek(0)
    file.write(data)
