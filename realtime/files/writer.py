"""Writes an audio file like another one, whole or not at all."""

import contextlib
import io
from functools import lru_cache

import numpy as np
import soundfile

from gate.errors import AudioFileError
from realtime.files.formats import LOSSY
from realtime.outputs import Replacement

_RF64_BYTES = 4_000_000_000
_MP3_KBPS = ((32000, 32, 320), (16000, 8, 160), (0, 8, 64))


class _Sink:
    """What libsndfile writes to: nothing may be raised through it, so a failure is kept."""

    def __init__(self, file):
        self._file = file
        self.failure = None

    def _try(self, function, *args):
        try:
            return function(*args)
        except BaseException as error:
            if self.failure is None:
                self.failure = error
            return 0

    def write(self, data):
        return self._try(self._file.write, data)

    def readinto(self, buffer):
        return self._try(self._file.readinto, buffer)

    def read(self, n=-1):
        return self._try(self._file.read, n)

    def seek(self, offset, whence=0):
        return self._try(self._file.seek, offset, whence)

    def tell(self):
        return self._try(self._file.tell)


class AudioWriter(contextlib.AbstractContextManager):
    """Writes a file beside its final name; `commit` renames it.

    Leaving the context without `commit` leaves nothing.

    Parameters
    ----------
    path : str or Path
        Final name.
    info : AudioInfo
        Format to write; a WAV that would pass 4 GB becomes RF64.
    tags : dict
        Title and so on.
    quality : float, optional
        Of lossy formats, 0 (small) to 10 (best); None takes `info.bitrate_bps`, or libsndfile's
        default where that is not known either.

    Raises
    ------
    AudioFileError
    """

    def __init__(self, path, info, tags=None, quality=None):
        self.path = path
        self._info, self._bits = info, info.bits
        self._output = Replacement(path)
        self._sink = _Sink(self._output.file)
        size = (info.frames or 0) * info.channels * (self._bits or 32) // 8
        major = "RF64" if info.format in ("WAV", "WAVEX") and size > _RF64_BYTES else info.format
        try:
            self._file = soundfile.SoundFile(
                self._sink,
                "w",
                samplerate=info.sample_rate,
                channels=info.channels,
                format=major,
                subtype=info.subtype,
                endian=info.endian,
                **_compression(info, quality),
            )
        except (soundfile.LibsndfileError, ValueError, TypeError) as error:
            self._output.discard()
            self._raise_failure()
            reason = getattr(error, "error_string", error)
            raise AudioFileError(f"{path}: cannot be written ({reason})") from None
        except BaseException:
            self._output.discard()
            raise
        for name, text in (tags or {}).items():
            with contextlib.suppress(soundfile.LibsndfileError, AttributeError, UnicodeError):
                setattr(self._file, name, text)

    def write(self, samples):
        """Append float32 samples (n, channels).

        Raises
        ------
        AudioFileError
            For a full disk, among others.
        """
        if self._bits is not None:
            samples = whole_numbers(samples, self._bits)
        try:
            self._file.write(samples)
        except (soundfile.LibsndfileError, AssertionError) as error:
            self._raise_failure()
            raise AudioFileError(f"{self.path}: cannot be written ({error})") from None
        self._raise_failure()

    def _raise_failure(self):
        failure = self._sink.failure
        if isinstance(failure, OSError):
            raise self._output.failure(failure) from None
        if failure is not None:
            raise failure

    def commit(self, finish=None):
        """Close and give the file its final name.

        Parameters
        ----------
        finish : callable, optional
            Called with the whole file, open for reading and writing, before it gets its name.

        Raises
        ------
        AudioFileError
        """
        try:
            self._file.close()
        except soundfile.LibsndfileError as error:
            self._raise_failure()
            raise AudioFileError(f"{self.path}: cannot be written ({error})") from None
        self._raise_failure()
        try:
            if self._info.format == "FLAC" and self._output.file.seek(0, 2) == 0:
                self._output.file.write(_empty_flac(self._info))
            self._output.file.flush()
            if finish is not None:
                finish(self._output.file)
        except OSError as error:
            raise self._output.failure(error) from None
        self._output.commit()

    def __exit__(self, *exc):
        with contextlib.suppress(soundfile.LibsndfileError):
            self._file.close()
        self._output.discard()


def whole_numbers(samples, bits):
    """Samples rounded to so many bits: int16 for 16, else in the upper bits of int32."""
    kind = np.float32 if bits <= 24 else np.float64  # in which every step is exact
    full_scale = kind(2.0 ** (bits - 1))
    whole = np.multiply(samples, full_scale, dtype=kind)
    np.rint(whole, out=whole)
    np.clip(whole, -full_scale, full_scale - kind(1.0), out=whole)
    return whole.astype(np.int16) if bits == 16 else whole.astype(np.int32) << (32 - bits)


def _empty_flac(info):
    """What libsndfile leaves out where there is no sound: a header."""
    rate_etc = info.sample_rate << 44 | (info.channels - 1) << 41 | (info.bits - 1) << 36
    about = (4096).to_bytes(2, "big") * 2 + bytes(6) + rate_etc.to_bytes(8, "big") + bytes(16)
    return b"fLaC\x80" + len(about).to_bytes(3, "big") + about


def _compression(info, quality):
    """Libsndfile's settings for about the input's bitrate, or for a quality."""
    if info.subtype not in LOSSY:
        return {}
    if quality is not None:
        level = {"compression_level": min(0.999, 1.0 - quality / 10.0)}
        return level | ({"bitrate_mode": "AVERAGE"} if info.format == "MP3" else {})
    if info.bitrate_bps is None:
        return {}
    kbps = info.bitrate_bps / 1000.0
    if info.subtype == "VORBIS":
        return {"compression_level": _vorbis_level(info.sample_rate, info.channels, round(kbps))}
    if info.subtype == "OPUS":
        low, high = 6.0 * info.channels, 256.0 * info.channels
    else:
        low, high = next(k[1:] for k in _MP3_KBPS if info.sample_rate >= k[0])
    level = float(np.clip((high - kbps) / (high - low), 0.0, 0.999))
    if info.format != "MP3":
        return {"compression_level": level}
    # Small frames have no room for the header that tells the exact length.
    room = info.constant_bitrate and 144_000 * kbps / info.sample_rate > 210
    return {"compression_level": level, "bitrate_mode": "CONSTANT" if room else "AVERAGE"}


@lru_cache(maxsize=64)
def _vorbis_level(sample_rate, channels, kbps):
    """The level whose nominal bitrate is nearest; Vorbis knows qualities, not bitrates."""
    low, high = 0.0, 1.0
    for _ in range(8):
        middle = (low + high) / 2.0
        nominal = _vorbis_kbps(sample_rate, channels, middle)
        low, high = (middle, high) if nominal > kbps else (low, middle)
    return (low + high) / 2.0


def _vorbis_kbps(sample_rate, channels, level):
    data = io.BytesIO()
    with soundfile.SoundFile(data, "w", sample_rate, channels, "VORBIS", format="OGG",
                             compression_level=level) as file:  # fmt: skip
        file.write(np.zeros((1, channels), np.float32))
    at = data.getvalue().find(b"\x01vorbis")
    return int.from_bytes(data.getvalue()[at + 20 : at + 24], "little", signed=True) / 1000.0
