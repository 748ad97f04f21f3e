"""Tags, pictures and chunks of a file, carried over to its gated copy byte for byte.

Nothing is understood that need not be: WAV keeps its chunks, FLAC its blocks, Ogg its comments,
MP3 and AIFF their ID3, and what two formats share goes from one to the other. For the rest there
are libsndfile's strings (title, artist, ...); what is lost all the same is named.
"""

import struct

from realtime.files import vorbis_comment
from realtime.files.iff import w64_name
from realtime.files.structure import read_at, splice

_MAX_BYTES = 64_000_000
_OWN_CHUNKS = {
    b"fmt ", b"data", b"fact", b"ds64", b"JUNK", b"junk", b"PAD ", b"FLLR", b"PEAK", b"levl",
    b"COMM", b"SSND", b"FVER", b"wavl", b"RIFF", b"FORM", b"\0\0\0\0", b"    ",
}  # fmt: skip
_ID3_CHUNKS = (b"id3 ", b"ID3 ")
_WAVES = ("WAV", "WAVEX", "RF64", "W64")
_STREAMINFO, _PADDING, _APPLICATION, _SEEKTABLE, _COMMENT, _CUESHEET, _PICTURE = range(7)


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
    blocks : list of (int, bytes)
        Of FLAC, those that belong to no other format.
    comments : list of bytes or None
        ``NAME=text``.
    pictures : list of bytes
        As FLAC has them.
    id3 : bytes
    tail : bytes
        APE and ID3v1 tags behind an MP3's sound.
    """

    def __init__(self, file, structure):
        self.kind = structure.kind
        self.chunks, self.blocks, self.pictures = [], [], []
        self.comments, self.id3, self.tail = None, b"", b""
        self._too_long = False
        if self.kind in ("riff", "rf64", "w64", "aiff"):
            self._read_chunks(file, structure)
        elif self.kind == "flac":
            self._read_flac(file, structure)
        elif self.kind == "mp3":
            self._read_mp3(file, structure)
        elif self.kind == "ogg" and structure.links:
            self.comments = vorbis_comment.read(file, structure.links[0])
            if self.comments is not None:
                self.comments, self.pictures = vorbis_comment.split_pictures(self.comments)

    def _take(self, file, chunk):
        if chunk.size > _MAX_BYTES:
            self._too_long = True
            return None
        return read_at(file, chunk.start, chunk.size)

    def _read_chunks(self, file, structure):
        for chunk in structure.chunks:
            if chunk.name in _OWN_CHUNKS:
                continue
            data = self._take(file, chunk)
            if data is None:
                continue
            if chunk.name in _ID3_CHUNKS:
                self.id3 = data
            else:
                self.chunks.append((chunk.name, data))

    def _read_flac(self, file, structure):
        for chunk in structure.chunks:
            kind = chunk.name[0]
            data = self._take(file, chunk)
            if data is None:
                continue
            if kind == _COMMENT:
                self.comments = vorbis_comment.parse(data)
            elif kind == _PICTURE:
                self.pictures.append(data)
            elif kind in (_APPLICATION, _CUESHEET):
                self.blocks.append((kind, data))

    def _read_mp3(self, file, structure):
        for chunk in sorted(structure.chunks, key=lambda chunk: chunk.start):
            data = self._take(file, chunk) or b""
            if chunk.name == b"ID3":
                self.id3 = data
            else:
                self.tail += data

    def strings(self, info, strings):
        """Libsndfile's strings that the writer must set: those that do not come along whole.

        Parameters
        ----------
        info : AudioInfo
            Of the copy.
        strings : dict
        """
        own = {"riff": _WAVES, "rf64": _WAVES, "w64": _WAVES, "aiff": ("AIFF",), "mp3": ("MP3",)}
        if info.format in own.get(self.kind, ()):
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
        same = target in _WAVES if self.kind in ("riff", "rf64", "w64") else (
            self.kind == "aiff" and target == "AIFF"
        )  # fmt: skip
        if not same:
            for name, data in self.chunks:
                if not (name == b"LIST" and data[:4] == b"INFO" and strings):
                    names.append(_shown(name, data))
        vorbis = target in ("FLAC", "OGG")
        if self.comments and not vorbis:
            names.append("tags beyond " + _listed(strings) if strings else "tags")
        if self.pictures and not vorbis:
            names.append("pictures")
        if self.id3 and target not in (*_WAVES, "AIFF", "MP3"):
            names.append("ID3 tags beyond " + _listed(strings) if strings else "ID3 tags")
            if b"APIC" in self.id3 or b"PIC\0" in self.id3:
                names.append("pictures")
        if self.tail and target != "MP3":
            names.append("APE or ID3v1 tags")
        if target != "FLAC":
            names += [{2: "application data", 5: "cue sheet"}[kind] for kind, _ in self.blocks]
        if self._too_long:
            names.append("what is longer than 64 MB")
        return list(dict.fromkeys(names))

    def finish(self, file, info):
        """Put everything into the finished copy.

        Parameters
        ----------
        file : binary file
            Open for reading and writing.
        info : AudioInfo
            Of the copy.
        """
        if info.format in _WAVES:
            same = self.kind in ("riff", "rf64", "w64")
            chunks = [*(self.chunks if same else []), *([(b"id3 ", self.id3)] if self.id3 else [])]
            _append_chunks(file, chunks)
        elif info.format == "AIFF":
            same = self.kind == "aiff"
            chunks = [*(self.chunks if same else []), *([(b"ID3 ", self.id3)] if self.id3 else [])]
            _append_chunks(file, chunks)
        elif info.format == "FLAC":
            _replace_blocks(file, self.comments, self.pictures, self.blocks)
        elif info.format == "OGG" and (self.comments is not None or self.pictures):
            vorbis_comment.replace(file, self.comments or [], self.pictures)
        elif info.format == "MP3":
            if self.id3:
                splice(file, 0, 0, self.id3)
            if self.tail:
                file.seek(0, 2)
                file.write(self.tail)


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


def _replace_blocks(file, comments, pictures, blocks):
    """FLAC's own STREAMINFO and seek table, then what came along."""
    if comments is None and not pictures and not blocks:
        return
    at, last, kept, vendor = 4, False, [], b""
    while not last and len(head := read_at(file, at, 4)) == 4:
        kind, length = struct.unpack(">B3s", head)
        last, kind, length = bool(kind & 0x80), kind & 0x7F, int.from_bytes(length, "big")
        data = read_at(file, at + 4, length)
        if kind in (_STREAMINFO, _SEEKTABLE) or (kind == _COMMENT and comments is None):
            kept.append((kind, data))
        elif kind == _COMMENT:
            vendor = vorbis_comment.vendor(data)
        at += 4 + length
    if comments is not None:
        kept.append((_COMMENT, vorbis_comment.build(vendor, comments)))
    kept += [(_PICTURE, data) for data in pictures] + blocks
    kept = [(kind, data) for kind, data in kept if len(data) < 1 << 24]
    header = b""
    for index, (kind, data) in enumerate(kept, 1):
        last = 0x80 if index == len(kept) else 0
        header += bytes([kind | last]) + len(data).to_bytes(3, "big") + data
    splice(file, 4, at - 4, header)
