"""Tags, pictures and chunks of a file, carried over to its gated copy.

WAV keeps its chunks, MP3 and AIFF their ID3, byte for byte; FLAC keeps its blocks, Ogg its
comments, by way of `mutagen`; and what two formats share goes from one to the other. For the rest
there are libsndfile's strings (title, artist, ...); what is lost all the same is named.
"""

import base64
import struct

from realtime.files.iff import w64_name
from realtime.files.structure import prepend, read_at

_MAX_BYTES = 64_000_000
_OWN_CHUNKS = {
    b"fmt ", b"data", b"fact", b"ds64", b"JUNK", b"junk", b"PAD ", b"FLLR", b"PEAK", b"levl",
    b"COMM", b"SSND", b"FVER", b"wavl", b"RIFF", b"FORM", b"\0\0\0\0", b"    ",
}  # fmt: skip
_ID3_CHUNKS = (b"id3 ", b"ID3 ")
_WAVES = ("WAV", "WAVEX", "RF64", "W64")
_FORMATS = {"riff": _WAVES, "rf64": _WAVES, "w64": _WAVES, "aiff": ("AIFF",), "mp3": ("MP3",)}
"""Kind of file -> formats that take its chunks or ID3 as they are."""

_BLOCKS = {2: "application data", 5: "cue sheet"}
"""Of FLAC, those that belong to no other format."""

_PICTURE = "metadata_block_picture"


class Metadata:
    """What a file holds beside its sound.

    Parameters
    ----------
    file : binary file
        Read at once.
    structure : realtime.files.structure.Structure

    Attributes
    ----------
    chunks : list of (bytes, bytes)
        Of WAV or AIFF.
    blocks, pictures : list of mutagen.flac.MetadataBlock
        Of FLAC, `_BLOCKS`; of FLAC and Ogg.
    comments : list of (str, str) or None
        Name and text.
    id3 : bytes
    tail : bytes
        APE and ID3v1 tags behind an MP3's sound.
    """

    def __init__(self, file, structure):
        self.kind = structure.kind
        self.chunks, self.blocks, self.pictures = [], [], []
        self.comments, self.id3, self.tail = None, b"", b""
        self._lost = []
        if self.kind in ("flac", "ogg"):
            self._read_comments(file)
        elif self.kind in _FORMATS:
            for chunk in sorted(structure.chunks, key=lambda chunk: chunk.start):
                self._take(file, chunk)

    def _take(self, file, chunk):
        if chunk.name in _OWN_CHUNKS:
            return
        if chunk.size > _MAX_BYTES:
            self._lost = ["what is longer than 64 MB"]
            return
        data = read_at(file, chunk.start, chunk.size)
        if chunk.name in _ID3_CHUNKS or chunk.name == b"ID3":
            self.id3 = data
        elif self.kind == "mp3":
            self.tail += data
        else:
            self.chunks.append((chunk.name, data))

    def _read_comments(self, file):
        from mutagen.flac import Picture

        try:
            found = _tagged(file)
        except Exception:  # whatever a damaged file makes of it: the sound is still good
            self._lost = ["tags that cannot be read"]
            return
        if found is None:
            return
        self.pictures = list(getattr(found, "pictures", ()))
        self.blocks = [b for b in getattr(found, "metadata_blocks", ()) if b.code in _BLOCKS]
        if found.tags is not None:
            self.comments = []
        for name, text in found.tags or ():
            try:
                if name.lower() == _PICTURE:
                    self.pictures.append(Picture(base64.b64decode(text, validate=True)))
                    continue
            except Exception:  # no picture: a comment like others
                pass
            self.comments.append((name, text))

    def strings(self, info, strings):
        """Libsndfile's strings that the writer must set: those that do not come along whole.

        Parameters
        ----------
        info : AudioInfo
            Of the copy.
        strings : dict
        """
        if info.format in _FORMATS.get(self.kind, ()):
            return {}
        return {} if self.comments is not None and info.format in ("FLAC", "OGG") else strings

    def lost(self, info, strings):
        """Names of what the copy will not hold.

        Parameters
        ----------
        info : AudioInfo
            Of the copy.
        strings : dict
            What `strings` gave.
        """
        target, names = info.format, []
        beyond = " beyond " + _listed(strings) if strings else ""
        if target not in _FORMATS.get(self.kind, ()):
            for name, data in self.chunks:
                if not (name == b"LIST" and data[:4] == b"INFO" and strings):
                    names.append(_shown(name, data))
        vorbis = target in ("FLAC", "OGG")
        if self.comments and not vorbis:
            names.append("tags" + beyond)
        if self.pictures and not vorbis:
            names.append("pictures")
        if self.id3 and target not in (*_WAVES, "AIFF", "MP3"):
            names.append("ID3 tags" + beyond)
            if b"APIC" in self.id3 or b"PIC\0" in self.id3:
                names.append("pictures")
        if self.tail and target != "MP3":
            names.append("APE or ID3v1 tags")
        if target != "FLAC":
            names += [_BLOCKS[block.code] for block in self.blocks]
        return list(dict.fromkeys(names + self._lost))

    def finish(self, file, info):
        """Put everything into the finished copy.

        Parameters
        ----------
        file : binary file
            Open for reading and writing.
        info : AudioInfo
            Of the copy.
        """
        if info.format in (*_WAVES, "AIFF"):
            chunks = self.chunks if info.format in _FORMATS.get(self.kind, ()) else []
            name = b"ID3 " if info.format == "AIFF" else b"id3 "
            _append_chunks(file, [*chunks, *([(name, self.id3)] if self.id3 else [])])
        elif info.format in ("FLAC", "OGG") and (
            self.comments is not None or self.pictures or (self.blocks and info.format == "FLAC")
        ):
            self._write_comments(file, info.format == "FLAC")
        elif info.format == "MP3":
            prepend(file, self.id3)
            file.seek(0, 2)
            file.write(self.tail)

    def _write_comments(self, file, flac):
        copy = _tagged(file)
        if copy.tags is None:
            copy.add_tags()
        if self.comments is not None or not flac:
            copy.tags[:] = self.comments or []
        for picture in self.pictures:
            data = picture.write()
            if not flac:
                copy.tags.append((_PICTURE, base64.b64encode(data).decode()))
            elif len(data) < 1 << 24:  # a block's size has three bytes
                copy.add_picture(picture)
        if flac:
            copy.metadata_blocks += self.blocks
        file.seek(0)
        copy.save(file, padding=lambda info: 0)


def _tagged(file):
    """A FLAC or Ogg file as mutagen has it; None where it is of another kind."""
    import mutagen
    from mutagen import flac, oggopus, oggvorbis

    file.seek(0)
    return mutagen.File(file, options=[flac.FLAC, oggopus.OggOpus, oggvorbis.OggVorbis])


def _listed(strings):
    names = list(strings)
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _shown(name, data):
    label = name.decode("latin-1").strip()
    return f"{label} {data[:4].decode('latin-1').strip()}" if label == "LIST" else label


def _append_chunks(file, chunks):
    """Chunks behind all others; the file's own size follows."""
    if not chunks:
        return
    head = read_at(file, 0, 40)
    wide = head[:4] == b"riff"
    order = ">" if head[:4] in (b"FORM", b"RIFX") else "<"
    file.seek(0, 2)
    for name, data in chunks:
        file.write(bytes(-file.tell() % (8 if wide else 2)))
        if wide:
            file.write(w64_name(name) + struct.pack("<Q", len(data) + 24))
        else:
            file.write(name + struct.pack(order + "I", len(data)))
        file.write(data)
    file.write(bytes(-file.tell() % (8 if wide else 2)))
    size = file.tell()
    if wide:
        file.seek(16)
        file.write(struct.pack("<Q", size))
    elif head[:4] == b"RF64":
        file.seek(20)
        file.write(struct.pack("<Q", size - 8))
    else:
        file.seek(4)
        file.write(struct.pack(order + "I", min(size - 8, 0xFFFFFFFF)))
