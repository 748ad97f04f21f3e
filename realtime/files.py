"""Audio files in and out, sample-exact where the gate is open.

libsndfile scales a float 1.0 to 32767 when it writes and to 1/32768 when it reads, which is not
the identity. Whole-number formats therefore pass as int32 and are rounded to their own width
here: what the gate leaves alone comes out bit for bit.
"""

import contextlib
import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from gate.errors import AudioFileError
from gate.settings import MAX_CHANNELS, MAX_SAMPLE_RATE, MIN_SAMPLE_RATE

AUDIO_SUFFIXES = (
    ".wav", ".wave", ".w64", ".rf64", ".flac", ".aif", ".aiff", ".aifc", ".ogg", ".oga", ".opus"
)  # fmt: skip
"""Names under which audio files are looked for."""

_FAMILIES = (
    (".wav", ".wave", ".w64", ".rf64"), (".flac",), (".aif", ".aiff", ".aifc"),
    (".ogg", ".oga", ".opus"),
)  # fmt: skip
_BITS = {"PCM_U8": 8, "PCM_S8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
_FLOATS = ("FLOAT", "DOUBLE", "VORBIS", "OPUS")
_TAGS = ("title", "artist", "album", "date", "genre", "comment", "copyright", "tracknumber")
_RF64_BYTES = 4_000_000_000


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says, checked.

    Attributes
    ----------
    sample_rate, channels, frames : int
    format, subtype, endian : str
        libsndfile's names.
    """

    sample_rate: int
    channels: int
    frames: int
    format: str
    subtype: str
    endian: str

    @property
    def seconds(self):
        """Duration."""
        return self.frames / self.sample_rate

    @property
    def bits(self):
        """Width of whole-number samples; None for float and lossy formats."""
        if self.subtype in _FLOATS:
            return None
        return _BITS.get(self.subtype, 16)


class AudioReader:
    """Reads an audio file in chunks.

    Parameters
    ----------
    path : str or Path
    allow_truncated : bool
        Take a file whose header promises more than there is.

    Raises
    ------
    AudioFileError
        One line: the file and the rule that it breaks.
    """

    def __init__(self, path, allow_truncated=False):
        self.path = Path(path)
        self._file = self._open()
        try:
            self.info = self._check(allow_truncated)
        except BaseException:
            self._file.close()
            raise

    def _open(self):
        if self.path.is_dir():
            raise AudioFileError(f"{self.path}: is a folder")
        try:
            if self.path.stat().st_size == 0:
                raise AudioFileError(f"{self.path}: is empty (0 bytes)")
            with self.path.open("rb"):
                pass
        except OSError as error:
            raise AudioFileError(f"{self.path}: {error.strerror}") from None
        try:
            return soundfile.SoundFile(self.path)
        except (soundfile.LibsndfileError, TypeError) as error:
            reason = str(getattr(error, "error_string", error)).rstrip(".")
            raise AudioFileError(f"{self.path}: not a readable audio file ({reason})") from None

    def _check(self, allow_truncated):
        file = self._file
        if not 1 <= file.channels <= MAX_CHANNELS:
            raise AudioFileError(
                f"{self.path}: channels={file.channels} must be from 1 to {MAX_CHANNELS}"
            )
        if not MIN_SAMPLE_RATE <= file.samplerate <= MAX_SAMPLE_RATE:
            raise AudioFileError(
                f"{self.path}: sample_rate={file.samplerate} must be from {MIN_SAMPLE_RATE} to "
                f"{MAX_SAMPLE_RATE} Hz"
            )
        promised = _promised_bytes(file.extra_info)
        if promised and not allow_truncated:
            raise AudioFileError(
                f"{self.path}: truncated: the header promises {promised[0]:,} bytes of audio, the "
                f"file holds {promised[1]:,} (--allow-truncated gates what is there)"
            )
        return AudioInfo(
            file.samplerate, file.channels, file.frames, file.format, file.subtype, file.endian
        )

    def chunks(self, frames):
        """Yield float32 arrays (n, channels) of at most `frames` samples.

        Raises
        ------
        AudioFileError
            If the file cannot be decoded to its end.
        """
        whole = self.info.bits is not None
        while True:
            try:
                if whole:
                    data = self._file.read(frames, dtype="int32", always_2d=True)
                else:
                    data = self._file.read(frames, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                raise AudioFileError(f"{self.path}: damaged ({error.error_string})") from None
            if not len(data):
                return
            yield np.multiply(data, np.float32(2.0**-31), dtype=np.float32) if whole else data

    @property
    def tags(self):
        """Title, artist and so on, where the file has them."""
        tags = {name: getattr(self._file, name, "") for name in _TAGS}
        return {name: text for name, text in tags.items() if text}

    def close(self):
        """Close the file."""
        self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def _promised_bytes(log):
    """(promised, held) bytes where libsndfile's log tells of a short data chunk, else None."""
    found = re.search(r"^\s*(?:data|SSND)\s*: (\d+) \(should be (\d+)\)", log, re.M)
    if not found:
        return None
    promised, held = int(found[1]), int(found[2])
    # Programs that write to a pipe leave these as "unknown".
    streamed = promised in (0, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFFF) or promised >= 0xFFFFF000
    return None if streamed or held >= promised else (promised, held)


def partial_name(path):
    """A name beside `path` that no other process, on no other machine, writes to."""
    return path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.partial")


class AudioWriter:
    """Writes a file like another one, beside its final name; `commit` renames it.

    Leaving the context without `commit` removes the partial file.

    Parameters
    ----------
    path : str or Path
        Final name.
    info : AudioInfo
        Format to write; a WAV that would pass 4 GB becomes RF64.
    tags : dict
        Title and so on.

    Raises
    ------
    AudioFileError
    """

    def __init__(self, path, info, tags=None):
        self.path = Path(path)
        self._info = info
        self._partial = partial_name(self.path)
        self._bits = info.bits
        size = info.frames * info.channels * (self._bits or 32) // 8
        major = "RF64" if info.format in ("WAV", "WAVEX") and size > _RF64_BYTES else info.format
        self._open = False
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._partial.open("wb").close()
            self._file = soundfile.SoundFile(
                self._partial,
                "w",
                samplerate=info.sample_rate,
                channels=info.channels,
                format=major,
                subtype=info.subtype,
                endian=info.endian,
            )
        except OSError as error:
            raise AudioFileError(f"{error.filename or self.path}: {error.strerror}") from None
        except (soundfile.LibsndfileError, ValueError, TypeError) as error:
            self._partial.unlink(missing_ok=True)
            reason = getattr(error, "error_string", error)
            raise AudioFileError(f"{self.path}: cannot be written ({reason})") from None
        self._open = True
        for name, text in (tags or {}).items():
            with contextlib.suppress(soundfile.LibsndfileError, AttributeError):
                setattr(self._file, name, text)

    def write(self, samples):
        """Append float32 samples (n, channels)."""
        if self._bits is not None:
            full_scale = 2.0 ** (self._bits - 1)
            whole = np.rint(samples.astype(np.float64) * full_scale)
            np.clip(whole, -full_scale, full_scale - 1.0, out=whole)
            samples = whole.astype(np.int32) << (32 - self._bits)
        try:
            self._file.write(samples)
        except (soundfile.LibsndfileError, OSError) as error:
            raise AudioFileError(f"{self.path}: cannot be written ({error})") from None

    def commit(self):
        """Close and give the file its final name."""
        self._file.close()
        self._open = False
        try:
            os.replace(self._partial, self.path)
        except OSError as error:
            self._partial.unlink(missing_ok=True)
            raise AudioFileError(f"{self.path}: {error.strerror}") from None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self._open:
            with contextlib.suppress(soundfile.LibsndfileError):
                self._file.close()
            self._partial.unlink(missing_ok=True)


def fitting_suffixes(source):
    """Suffixes that a gated `source` may have, which keeps its format; empty for unknown ones."""
    suffix = Path(source).suffix.lower()
    return next((family for family in _FAMILIES if suffix in family), ())


def expand_inputs(patterns):
    """Audio files named by paths, globs and folders, in order, each once.

    Parameters
    ----------
    patterns : sequence of str

    Returns
    -------
    list of (Path, Path)
        The file, and its name relative to the folder that was given.

    Raises
    ------
    AudioFileError
        For a name that matches nothing, or a folder without audio.
    """
    import glob

    found = {}
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            inside = sorted(
                p for p in path.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES and p.is_file()
            )
            inside = [p for p in inside if not p.name.startswith(".")]
            if not inside:
                raise AudioFileError(f"{pattern}: folder without audio files")
            found.update({p: p.relative_to(path) for p in inside})
        elif path.exists() or not glob.has_magic(pattern):
            found[path] = Path(path.name)
        else:
            matches = sorted(Path(p) for p in glob.glob(pattern, recursive=True))
            matches = [p for p in matches if p.is_file()]
            if not matches:
                raise AudioFileError(f"{pattern}: matches no file")
            found.update({p: Path(p.name) for p in matches})
    return list(found.items())


def write_text(path, text):
    """Write a text file beside its final name and rename it.

    Raises
    ------
    AudioFileError
        If that is not possible.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise AudioFileError(f"{path}: cannot be written ({error.strerror})") from None
