"""Sound on standard input and output: WAV as it streams, or samples without a header.

What has come is handed on at once, so that a microphone may be at one end and a loudspeaker at the
other; nothing is kept, however long it lasts.
"""

import io
import os
import struct
import sys
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import soundfile

from gate.errors import AudioFileError, ConfigError
from gate.settings import check_format
from realtime.files.formats import AudioInfo, check_taken
from realtime.files.iff import SUBTYPES, Layout, wave_format
from realtime.files.structure import Structure
from realtime.files.writer import whole_numbers
from realtime.outputs import why

PIPE = "-"
"""The name of standard input and output."""

SAMPLE_FORMATS = {
    "u8": "PCM_U8", "s16le": "PCM_16", "s24le": "PCM_24", "s32le": "PCM_32", "f32le": "FLOAT",
    "f64le": "DOUBLE",
}  # fmt: skip
"""Names of ``--raw``, as ffmpeg has them."""

_WIDTHS = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
_PCM, _FLOAT = 1, 3
_UNKNOWN = 0xFFFFFFFF
_MAX_CHUNK_BYTES = 64_000_000
_BLOCK_BYTES = 1 << 16


def parse_raw(text):
    """`AudioInfo` of ``RATE,CHANNELS,FORMAT``.

    Raises
    ------
    ConfigError
    """
    parts = text.split(",")
    names = ", ".join(SAMPLE_FORMATS)
    if len(parts) != 3 or not parts[0].isdecimal() or not parts[1].isdecimal():
        raise ConfigError(f"raw={text} must be RATE,CHANNELS,FORMAT, such as 48000,2,s16le")
    if parts[2] not in SAMPLE_FORMATS:
        raise ConfigError(f"raw={text}: format {parts[2]!r} must be one of {names}")
    rate, channels = int(parts[0]), int(parts[1])
    try:
        check_format(rate, channels)
    except ConfigError as error:
        raise ConfigError(f"raw={text}: {error}") from None
    return AudioInfo(rate, channels, None, "RAW", SAMPLE_FORMATS[parts[2]], "LITTLE")


class _Pipe(AbstractContextManager):
    """Ours to use, not to close."""

    def __exit__(self, *exc):
        pass


class PipeReader(_Pipe):
    """Reads sound from a pipe; has what `AudioReader` has.

    Parameters
    ----------
    raw : AudioInfo, optional
        Of samples without a header; None reads a WAV header.
    allow_truncated : bool
        Take sound that ends before its header says so.
    file : int, optional
        File descriptor; standard input unless given.

    Raises
    ------
    AudioFileError
    """

    path = Path("standard input")
    tags = ()

    def __init__(self, raw=None, allow_truncated=False, file=None):
        self.notes, self.frames_read = [], 0
        self.structure = Structure()
        self._salvage = allow_truncated
        self._file = sys.stdin.fileno() if file is None else file
        if os.isatty(self._file):
            raise AudioFileError(f"{self.path} is the terminal; send sound to it")
        self._left = None  # bytes of sound still promised
        self.info = raw if raw is not None else self._header()
        self._width = _WIDTHS[self.info.subtype] * self.info.channels

    def _read(self, n):
        try:
            return os.read(self._file, n)
        except OSError as error:
            raise AudioFileError(f"{self.path}: {why(error)}") from None

    def _exactly(self, n):
        parts = []
        while n > 0 and (data := self._read(min(n, _BLOCK_BYTES))):
            parts.append(data)
            n -= len(data)
        if n:
            raise AudioFileError(f"{self.path}: ends within the WAV header")
        return b"".join(parts)

    def _header(self):
        head = self._read(12)
        if not head:
            raise AudioFileError(f"{self.path}: is empty (0 bytes)")
        head += self._exactly(12 - len(head))
        if head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
            raise AudioFileError(
                f"{self.path}: must be WAV; for samples without a header take --raw "
                "RATE,CHANNELS,FORMAT, for other formats a program such as ffmpeg"
            )
        fmt, long = None, 0
        while True:
            name, size = struct.unpack("<4sI", self._exactly(8))
            if name == b"data":
                break
            if size > _MAX_CHUNK_BYTES:
                raise AudioFileError(f"{self.path}: not a readable WAV header (chunk of {size:,} "
                                     "bytes before the sound)")  # fmt: skip
            body = self._exactly(size + size % 2)
            if name == b"fmt ":
                fmt = body
            elif name == b"ds64" and size >= 16:
                long = struct.unpack("<Q", body[8:16])[0]
        if fmt is None or len(fmt) < 16:
            raise AudioFileError(f"{self.path}: not a readable WAV header (no format)")
        self._left = None if Layout().is_unknown(size) else size
        if head[:4] == b"RF64" and 0 < long < 2**62:
            self._left = long
        return self._format(fmt)

    def _format(self, fmt):
        code, channels, rate, align, bits = wave_format(fmt, "<")
        subtype = SUBTYPES.get((code, bits))
        if subtype not in _WIDTHS:
            raise AudioFileError(
                f"{self.path}: WAV format {code} with {bits} bits must be PCM or float"
            )
        check_taken(self.path, rate, channels)
        width = _WIDTHS[subtype] * channels
        if align != width:
            raise AudioFileError(f"{self.path}: block align {align} must be {width}")
        frames = None if self._left is None else self._left // width
        return AudioInfo(rate, channels, frames, "WAV", subtype, "LITTLE")

    def chunks(self, frames):
        """Yield float32 arrays (n, channels) of at most `frames` samples, as they come.

        Raises
        ------
        AudioFileError
            Where the sound ends before its header says so.
        """
        rest = b""
        while self._left is None or self._left > 0:
            wanted = frames * self._width - len(rest)
            wanted = wanted if self._left is None else min(wanted, self._left)
            data = self._read(max(1, min(wanted, 1 << 20)))
            if not data:
                break
            if self._left is not None:
                self._left -= len(data)
            data = rest + data
            n = len(data) // self._width
            rest = data[n * self._width :]
            if n:
                self.frames_read += n
                yield decode(data[: n * self._width], self.info)
        if rest:
            self.notes.append("the sound ends within a sample; that one is left out")
        if self._left:
            self._cut()
        self._drain()

    def _cut(self):
        what = f"the header promises {self._left:,} bytes of audio more than came"
        if not self._salvage:
            raise AudioFileError(f"{self.path}: truncated: {what} (--allow-truncated takes that)")
        self.notes.append(f"truncated: {what}")

    def _drain(self):
        """Read what lies behind the sound, so that who writes it is not stopped."""
        while self._left is not None and self._read(_BLOCK_BYTES):
            pass

    @property
    def metadata(self):
        """None: what a pipe holds beside its sound is not kept."""
        return None

    @property
    def info_read(self):
        """`info` with the length that there really was."""
        return replace(self.info, frames=self.frames_read)

    def close(self):
        """Nothing: standard input stays open."""


class PipeWriter(_Pipe):
    """Writes sound to a pipe; has what `AudioWriter` has.

    Parameters
    ----------
    info : AudioInfo
        Sample format, and the length for the header, where that is known.
    raw : bool
        Without a header.
    file : int, optional
        File descriptor; standard output unless given.

    Raises
    ------
    AudioFileError
        For a terminal, and for sample formats that a WAV on a pipe cannot have.
    """

    path = Path("standard output")

    def __init__(self, info, raw=False, file=None):
        self._file = sys.stdout.fileno() if file is None else file
        if os.isatty(self._file):
            raise AudioFileError(f"{self.path} is the terminal; sound is not written to it")
        if info.subtype not in _WIDTHS:
            info = replace(info, subtype="PCM_16" if info.bits else "FLOAT")
        self._info = info
        if not raw:
            self._write(wav_header(info))

    def _write(self, data):
        data = memoryview(data)
        while data:
            try:
                data = data[os.write(self._file, data) :]
            except BrokenPipeError:
                raise AudioFileError(f"{self.path}: was closed by whoever reads it") from None
            except OSError as error:
                raise AudioFileError(f"{self.path}: cannot be written ({why(error)})") from None

    def write(self, samples):
        """Append float32 samples (n, channels)."""
        self._write(encode(samples, self._info))

    def commit(self, finish=None):
        """Nothing: it has gone out already."""


def _as_raw(info):
    return {"samplerate": info.sample_rate, "format": "RAW", "subtype": info.subtype,
            "endian": "LITTLE"}  # fmt: skip


def decode(data, info):
    """Bytes of samples as float32 (n, channels)."""
    about = _as_raw(info) | {"channels": info.channels, "dtype": "float32", "always_2d": True}
    return soundfile.read(io.BytesIO(data), **about)[0]


def encode(samples, info):
    """Float32 samples as bytes; what the gate leaves alone comes out bit for bit."""
    data = io.BytesIO()
    if info.bits is not None:
        samples = whole_numbers(samples, info.bits)
    soundfile.write(data, samples, **_as_raw(info))
    return data.getvalue()


def wav_header(info):
    """A WAV header; without a length, with the sizes that mean "until the end"."""
    width = _WIDTHS[info.subtype]
    code = _FLOAT if info.subtype in ("FLOAT", "DOUBLE") else _PCM
    align = width * info.channels
    fmt = struct.pack("<HHIIHH", code, info.channels, info.sample_rate, info.sample_rate * align,
                      align, 8 * width)  # fmt: skip
    size = _UNKNOWN if info.frames is None else info.frames * align
    whole = size + 36 if size + 36 < _UNKNOWN else _UNKNOWN
    size = size if whole < _UNKNOWN else _UNKNOWN
    return (b"RIFF" + struct.pack("<I", whole) + b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt
            + b"data" + struct.pack("<I", size))  # fmt: skip
