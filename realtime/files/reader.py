"""Reads audio files in chunks: as they are, not as their headers say.

libsndfile scales a float 1.0 to 32767 when it writes and to 1/32768 when it reads, which is not
the identity. Whole-number formats therefore pass as int16 or int32 and are rounded to their own
width by the writer: what the gate leaves alone comes out bit for bit.
"""

import os
import re
import stat
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import soundfile

from gate.errors import AudioFileError
from realtime.files.examine import examine
from realtime.files.formats import AudioInfo, check_taken
from realtime.files.metadata import Metadata
from realtime.files.structure import View
from realtime.outputs import why

_TAGS = ("title", "artist", "album", "date", "genre", "comment", "copyright", "tracknumber")
_SALVAGE_FRAMES = 4096


class AudioReader(AbstractContextManager):
    """Reads an audio file in chunks.

    Parameters
    ----------
    path : str or Path
    allow_truncated : bool
        Take a file whose end is missing, and read it as far as it goes.

    Attributes
    ----------
    info : AudioInfo
    notes : list of str
        Lines for people: where header and file disagree, what is missing. More may come while
        it is read.
    frames_read : int
        Samples a channel so far.
    structure : realtime.files.structure.Structure

    Raises
    ------
    AudioFileError
        One line: the file and the rule that it breaks.
    """

    def __init__(self, path, allow_truncated=False):
        self.path = Path(path)
        self.notes = []
        self.frames_read = 0
        self._salvage = allow_truncated
        self._sound = self._view = None
        self._raw = self._open()
        try:
            self.structure = examine(self._raw)
            self._judge()
            self._parts = self._find_parts()
            self.info = self._check()
        except OSError as error:
            self.close()
            raise AudioFileError(f"{self.path}: {why(error)}") from None
        except BaseException:
            self.close()
            raise

    def _open(self):
        try:
            if self.path.is_dir():
                raise AudioFileError(f"{self.path}: is a folder")
            state = self.path.stat()
            if not stat.S_ISREG(state.st_mode):
                raise AudioFileError(f"{self.path}: is no file (take - for standard input)")
            if state.st_size == 0:
                raise AudioFileError(f"{self.path}: is empty (0 bytes)")
            return self.path.open("rb", buffering=0)
        except OSError as error:
            raise AudioFileError(f"{self.path}: {why(error)}") from None

    def _judge(self):
        found = self.structure
        if found.refused:
            raise AudioFileError(f"{self.path}: {found.refused}")
        if found.cut:
            self._cut(found.cut)
        self.notes += found.notes

    def _cut(self, what):
        """The end is missing: refuse, or say so."""
        if not self._salvage:
            raise AudioFileError(
                f"{self.path}: truncated: {what} (--allow-truncated gates what is there)"
            )
        self.notes.append(f"truncated: {what}; read as far as it goes")

    def _find_parts(self):
        """The streams that follow one another, each a view; None for the file as it is."""
        found = self.structure
        size = os.fstat(self._raw.fileno()).st_size
        if len(found.links) > 1 or (found.links and (found.raw or found.prefix)):
            return [(start, end) for start, end in found.links]
        return [(0, size)] if found.patches or found.prefix else [None]

    def _decode(self, part):
        """Open a part with libsndfile."""
        self._view = None
        if part is not None:
            found = self.structure
            self._view = View(self._raw, *part, found.patches, found.prefix)
        try:
            # As bytes: a name need not be text.
            more = self.structure.raw or {}
            return soundfile.SoundFile(self._view or os.fsencode(self.path), **more)
        except (soundfile.LibsndfileError, TypeError) as error:
            self._raise_failure()
            reason = str(getattr(error, "error_string", error)).rstrip(".")
            if self.structure.cut:
                reason = "cut off before the first sound"
            raise AudioFileError(f"{self.path}: not a readable audio file ({reason})") from None

    def _raise_failure(self):
        """Raise what libsndfile could not hand on."""
        if self._view is not None and self._view.failure is not None:
            raise self._view.failure

    def _check(self):
        found = self.structure
        first, frames = None, 0
        for part in reversed(self._parts):
            if self._sound is not None:
                self._sound.close()
            self._sound = self._decode(part)
            info = self._sound.samplerate, self._sound.channels
            check_taken(self.path, *info)
            if first is not None and info != first:
                raise AudioFileError(
                    f"{self.path}: is a chain of streams of different kind: "
                    f"{info[0]} Hz, {info[1]} channels and {first[0]} Hz, {first[1]} channels"
                )
            first = info
            frames += self._sound.frames
        sound = self._sound
        if found.frames is not None and len(self._parts) == 1:
            frames = found.frames
        unknown = not 0 <= frames < 2**62
        if len(self._parts) > 1:
            self.notes.append(f"is a chain of {len(self._parts)} streams; all are read")
        self._told_by_libsndfile(sound.extra_info)
        return AudioInfo(
            sound.samplerate, sound.channels, None if unknown else frames,
            "WAV" if found.raw is not None else sound.format, sound.subtype, sound.endian,
            found.bitrate_bps, found.constant_bitrate,
        )  # fmt: skip

    def _told_by_libsndfile(self, log):
        """Formats that are not looked at here: what libsndfile's log knows."""
        if self.structure.kind:
            return
        self._raw.seek(0)
        nist = self._sound.format == "NIST"
        count = re.search(rb"sample_count -i (\d+)", self._raw.read(1024)) if nist else None
        if "truncated file" in log:
            self._cut("the header promises more than the file holds")
        elif count and int(count[1]) > self._sound.frames:
            self._cut(f"the header promises {int(count[1]):,} samples, the file holds "
                      f"{self._sound.frames:,}")  # fmt: skip

    def chunks(self, frames):
        """Yield float32 arrays (n, channels) of at most `frames` samples.

        Raises
        ------
        AudioFileError
            If the file cannot be decoded to its end.
        """
        for index, part in enumerate(self._parts):
            if index:
                self._sound.close()
                self._sound = self._decode(part)
            yield from self._part_chunks(frames)
        if self.structure.cut and not self.frames_read:
            raise AudioFileError(f"{self.path}: {self.structure.cut}: nothing is left to read")
        promised = self.info.frames
        if promised is not None and self.frames_read < promised and not self.structure.cut:
            self._cut(f"the header promises {promised:,} samples, {self.frames_read:,} are there")

    def _part_chunks(self, frames):
        kind, scale = "float32", None
        if self.info.bits is not None:
            kind = "int16" if self.info.bits == 16 else "int32"
            scale = np.float32(2.0**-15 if kind == "int16" else 2.0**-31)
        if self.structure.cut:
            frames = min(frames, _SALVAGE_FRAMES)  # a call that fails loses what it had decoded
        while True:
            try:
                data = self._sound.read(frames, dtype=kind, always_2d=True)
            except soundfile.LibsndfileError as error:
                self._raise_failure()
                after = f"after {self.frames_read / self.info.sample_rate:.2f} s"
                if not self._salvage:
                    reason = error.error_string.strip() or "cannot be decoded"
                    raise AudioFileError(f"{self.path}: damaged {after} ({reason})") from None
                self.notes.append(f"damaged {after}; read as far as it goes")
                return
            self._raise_failure()
            if not len(data):
                return
            self.frames_read += len(data)
            yield data if scale is None else np.multiply(data, scale, dtype=np.float32)

    @cached_property
    def metadata(self):
        """What the file holds beside its sound."""
        return Metadata(self._raw, self.structure)

    @property
    def info_read(self):
        """`info` with the length that there really was."""
        return replace(self.info, frames=self.frames_read)

    @property
    def tags(self):
        """Title, artist and so on, where the file has them."""
        tags = {name: getattr(self._sound, name, "") for name in _TAGS}
        return {name: text for name, text in tags.items() if text}

    def close(self):
        """Close the file."""
        if self._sound is not None:
            self._sound.close()
        self._raw.close()

    def __exit__(self, *exc):
        self.close()
