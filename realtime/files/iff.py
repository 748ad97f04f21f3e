"""Files made of chunks: WAV, RF64, W64 and AIFF."""

import struct

from realtime.files.structure import TRAILERS, Chunk, Structure, read_at

_MAX_CHUNKS = 10_000
_W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
_W64_TAIL = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
_BEHIND = (b"LIST", b"list", b"bext", b"iXML", b"id3 ", b"ID3 ", b"cue ", b"smpl", b"_PMX", b"PEAK",
           b"axml", b"inst", b"JUNK", b"NAME", b"ANNO", b"MARK")  # fmt: skip
SUBTYPES = {(1, 8): "PCM_U8", (1, 16): "PCM_16", (1, 24): "PCM_24", (1, 32): "PCM_32",
            (3, 32): "FLOAT", (3, 64): "DOUBLE", (6, 8): "ALAW", (7, 8): "ULAW"}  # fmt: skip
_PLAIN = (1, 3, 6, 7)  # PCM, float, A-law, mu-law: frames of one width


class Layout:
    """How the chunks of one of these containers are written.

    Parameters
    ----------
    order : str
        ``<`` or ``>``.
    wide : bool
        W64: names of 16 bytes, sizes of 8 that count the chunk's head, chunks on multiples of 8.
    """

    def __init__(self, order="<", wide=False):
        self.order, self.wide = order, wide
        self.head = 24 if wide else 8

    def parse(self, head):
        """(name, size of the content) from a chunk's head."""
        if self.wide:
            return head[:4], struct.unpack("<Q", head[16:24])[0] - 24
        return head[:4], struct.unpack(self.order + "I", head[4:8])[0]

    def size_field(self, at, size):
        """Where a chunk at `at` keeps its size, and the bytes that say `size`."""
        if self.wide:
            return at + 16, struct.pack("<Q", size + 24)
        return at + 4, struct.pack(self.order + "I", min(size, 0xFFFFFFFF))

    def after(self, start, size):
        """Where the next chunk begins."""
        end = start + size
        return (end + 7) // 8 * 8 if self.wide else end + size % 2

    def is_unknown(self, size):
        """Sizes that programs leave which could not know."""
        if self.wide:
            return not 0 < size < 2**62
        return size in (0, 0x7FFFF000, 0x7FFFFFFF) or size >= 0xFFFFF000

    def is_name(self, name):
        """Whether these bytes can name a chunk."""
        if self.wide:
            return name == _W64_RIFF or (name[4:] == _W64_TAIL and name[:4].isascii())
        return len(name) == 4 and all(32 <= byte < 127 for byte in name)

    def name_at(self, head):
        """The bytes of a head that name the chunk."""
        return head[:16] if self.wide else head[:4]


def examine(file, size, head):
    """See `realtime.files.examine.examine`."""
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        layout = Layout(">" if head[:4] == b"RIFX" else "<")
        kind = "rf64" if head[:4] in (b"RF64", b"BW64") else "riff"
        return _wave(file, size, layout, 12, kind)
    if head[:16] == _W64_RIFF:
        return _wave(file, size, Layout(wide=True), 40, "w64")
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _aiff(file, size, head[8:12] == b"AIFC")
    if head[:4] == b"FORM" and head[8:12] in (b"8SVX", b"16SV"):
        return _svx(file, size, 2 if head[8:12] == b"16SV" else 1)
    return None


def w64_name(name):
    """How W64 writes the name of a WAV chunk."""
    return name.lower() + _W64_TAIL


def walk(file, size, layout, at, strict=False):
    """Chunks from `at` on, as far as they make sense.

    Returns
    -------
    list of Chunk
        None with `strict`, where something else lies there.
    """
    chunks = []
    while at + layout.head <= size and len(chunks) < _MAX_CHUNKS:
        head = read_at(file, at, layout.head)
        name, length = layout.parse(head)
        start = at + layout.head
        sound = layout.is_name(layout.name_at(head)) and 0 <= length <= size - start
        if not sound:
            return None if strict else chunks
        chunks.append(Chunk(name, start, length))
        at = layout.after(start, length)
    return chunks


def _before_sound(file, size, layout, at, names):
    """Chunks up to the one with the sound; its head's offset and promised size, or None."""
    chunks = []
    while at + layout.head <= size and len(chunks) < _MAX_CHUNKS:
        name, length = layout.parse(read_at(file, at, layout.head))
        if name in names:
            return chunks, at, length
        start = at + layout.head
        if not 0 <= length <= size - start:
            break
        chunks.append(Chunk(name, start, length))
        at = layout.after(start, length)
    return chunks, None, 0


def _wave(file, size, layout, first, kind):
    found = Structure(kind)
    before, at, promised = _before_sound(file, size, layout, first, (b"data",))
    found.chunks = before
    if at is None:
        return found
    by_name = {chunk.name: chunk for chunk in reversed(before)}
    raw, width = _format(file, layout, by_name.get(b"fmt "))
    ds64 = by_name.get(b"ds64") if kind == "rf64" else None
    if ds64 is not None and promised == 0xFFFFFFFF:
        promised = struct.unpack("<Q", read_at(file, ds64.start + 8, 8))[0]
        unknown = not 0 < promised < 2**62
    else:
        unknown = layout.is_unknown(promised)
    start = at + layout.head
    held = _judge(file, size, layout, found, start, promised, unknown, width)
    if held != promised:
        where, data = layout.size_field(at, held)
        found.patches[where] = data
        _patch_whole(found, layout, kind, size, held, width, ds64)
        if ds64 is None and kind == "rf64":
            found.patches[0] = b"RIFF"
        if ds64 is None and held > 0xFFFFFFFF and not layout.wide and raw is not None:
            found.patches, found.raw, found.links = {}, raw, [(start, start + held)]
    elif not layout.wide:
        _whole_size(file, size, layout, found, kind, ds64)
    if read_at(file, 0, 4) == b"BW64":  # which libsndfile knows by its older name
        found.patches.setdefault(0, b"RF64")
    return found


def _format(file, layout, chunk):
    """How the samples are coded, for libsndfile (None for compressed ones), and a frame's width."""
    fmt = read_at(file, chunk.start, 40) if chunk is not None else b""
    if len(fmt) < 16:
        return None, 1
    code, channels, rate, width, bits = wave_format(fmt, layout.order)
    subtype = SUBTYPES.get((code, bits))
    if subtype is None:
        return None, max(1, width) if code in _PLAIN else 1
    endian = "LITTLE" if layout.order == "<" else "BIG"
    return {"format": "RAW", "subtype": subtype, "samplerate": rate, "channels": channels,
            "endian": endian}, max(1, width)  # fmt: skip


def wave_format(fmt, order):
    """Code, channels, Hz, bytes a frame and bits a sample of a WAV's format chunk."""
    code, channels, rate, _, width, bits = struct.unpack(order + "HHIIHH", fmt[:16])
    if code == 0xFFFE and len(fmt) >= 26:
        code = struct.unpack(order + "H", fmt[24:26])[0]
    return code, channels, rate, width, bits


def _patch_whole(found, layout, kind, size, held, width, ds64):
    """Let the sizes of the whole file say the truth, too."""
    if layout.wide:
        found.patches[16] = struct.pack("<Q", size)
    elif ds64 is not None:
        found.patches[ds64.start] = struct.pack("<QQQ", size - 8, held, held // width)
        found.patches[4] = b"\xff\xff\xff\xff"
    else:
        found.patches[4] = struct.pack(layout.order + "I", min(size - 8, 0xFFFFFFFF))


def _whole_size(file, size, layout, found, kind, ds64):
    """The sound's size is right; is that of the whole file?"""
    told = struct.unpack(layout.order + "I", read_at(file, 4, 4))[0] + 8
    if kind == "rf64":
        return
    last = found.chunks[-1] if found.chunks else None
    end = last.start + last.size if last else 0
    if told + 8 < min(size, end) or told > size + 8:
        found.notes.append("the header's size of the whole file is wrong; the file's own counts")
        found.patches[4] = struct.pack(layout.order + "I", min(size - 8, 0xFFFFFFFF))


def _judge(file, size, layout, found, start, promised, unknown, width, lead=0):
    """Bytes of sound there really are; says what is wrong and collects the chunks behind."""
    there = size - start
    if 0 <= promised <= there:
        behind = _behind(file, size, layout, start, promised, width)
        if behind is not None:
            found.chunks += [Chunk(b"data", start, promised), *behind]
            if any(chunk.name in (b"RIFF", b"FORM", b"riff") for chunk in behind):
                found.refused = "several files are joined in it; take them apart first"
            if max(0, promised - lead) % width:
                found.notes.append("the sound ends within a sample; that one is left out")
            return promised
    short = promised - there
    found.chunks.append(Chunk(b"data", start, there))
    if unknown or short < width:
        found.is_wrong(promised if 0 <= promised < 2**62 else "an unknown number of", there)
    else:
        found.is_short(promised, there)
    return there


def _behind(file, size, layout, start, promised, width):
    """The chunks behind the sound, or None where more sound lies there instead."""
    for at in dict.fromkeys((layout.after(start, promised), start + promised)):
        rest = size - at
        if rest < (layout.head if promised else width):
            return []
        chunks = walk(file, size, layout, at, strict=True)
        if chunks is not None:
            return chunks
        if promised and read_at(file, at, 12).startswith(TRAILERS):
            return []
    # Cut off within a chunk behind the sound, which is whole.
    at = layout.after(start, promised)
    if promised and read_at(file, at, 4) in _BEHIND:
        return walk(file, size, layout, at)
    return None


def _aiff(file, size, compressed):
    layout, found = Layout(">"), Structure("aiff")
    before, at, promised = _before_sound(file, size, layout, 12, (b"SSND",))
    found.chunks = before
    if at is None:
        return found
    start = at + 8
    comm = next((c for c in before if c.name == b"COMM"), None)
    if comm is None:  # may lie behind the sound
        behind = walk(file, size, layout, layout.after(start, promised))
        comm = next((c for c in behind if c.name == b"COMM"), None)
    width = 1
    if comm is not None:
        channels, _, bits = struct.unpack(">HIH", read_at(file, comm.start, 8))
        kind = read_at(file, comm.start + 18, 4) if compressed else b"NONE"
        plain = kind in (b"NONE", b"sowt", b"twos", b"raw ", b"fl32", b"FL32", b"fl64", b"FL64",
                         b"in24", b"in32", b"ulaw", b"alaw", b"ULAW", b"ALAW")  # fmt: skip
        width = max(1, channels * ((bits + 7) // 8)) if plain else 1
    # Eight bytes of offset and block size lie before the sound.
    held = _judge(file, size, layout, found, start, promised, layout.is_unknown(promised), width,
                  lead=8)  # fmt: skip
    if held != promised:
        where, data = layout.size_field(at, held)
        found.patches[where] = data
        found.patches[4] = struct.pack(">I", min(size - 8, 0xFFFFFFFF))
    if comm is not None and width > 1:
        told = struct.unpack(">I", read_at(file, comm.start + 2, 4))[0]
        count = min(max(0, held - 8) // width, 0xFFFFFFFF)
        if held != promised:
            found.patches[comm.start + 2] = struct.pack(">I", count)
        elif told != count and not any(read_at(file, start, 4)):
            found.is_wrong(told, count, "samples")
    return found


def _svx(file, size, width):
    layout, found = Layout(">"), Structure("svx")
    found.chunks, at, promised = _before_sound(file, size, layout, 12, (b"BODY",))
    if at is not None:
        unknown = layout.is_unknown(promised)
        held = _judge(file, size, layout, found, at + 8, promised, unknown, width)
        if held != promised:
            where, data = layout.size_field(at, held)
            found.patches |= {4: struct.pack(">I", min(size - 8, 0xFFFFFFFF)), where: data}
    return found
