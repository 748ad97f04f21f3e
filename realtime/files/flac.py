"""FLAC: how much sound there is, from the last frame, where the header does not know."""

import struct

from realtime.files.structure import Chunk, Structure, read_at

_TAIL_BYTES = 1 << 18
_TABLES = {}


def examine(file, size, head):
    """See `realtime.files.examine.examine`."""
    at = id3_size(head)
    if read_at(file, at, 4) != b"fLaC":
        return None
    found = Structure("flac")
    at, info_at, last = at + 4, None, False
    while not last and at + 4 <= size:
        kind, length = struct.unpack(">B3s", read_at(file, at, 4))
        length = int.from_bytes(length, "big")
        last, kind = bool(kind & 0x80), kind & 0x7F
        if length > size - at - 4:
            return found
        if kind == 0 and length >= 34:
            info_at = at + 4
        found.chunks.append(Chunk(bytes([kind]), at + 4, length))
        at += 4 + length
    if info_at is not None:
        if _joined(file, at):
            found.refused = "several FLAC files are joined in it; take them apart first"
        else:
            _count(file, size, info_at, at, found)
    return found


def _joined(file, at):
    """Whether another FLAC file begins behind the first one's header."""
    mark, kept = b"fLaC\0\0\0\x22", b""
    file.seek(at)
    while data := file.read(1 << 22):
        if mark in kept + data:
            return True
        kept = data[-len(mark) :]
    return False


def id3_size(head):
    """Bytes of an ID3v2 tag that a file begins with; 0 without one."""
    if head[:3] != b"ID3" or len(head) < 10 or any(byte & 0x80 for byte in head[6:10]):
        return 0
    length = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return 10 + length + (10 if head[5] & 0x10 else 0)


def _count(file, size, info_at, first, found):
    """Compare what STREAMINFO promises with the last frame."""
    info = read_at(file, info_at, 34)
    low_block, high_block = struct.unpack(">HH", info[:4])
    packed = int.from_bytes(info[10:18], "big")
    promised = packed & (2**36 - 1)
    ends, whole = _last_frame(file, size, first, low_block if low_block == high_block else 0)
    if ends is None:
        if promised and size <= first:
            found.cut = f"the header promises {promised:,} samples, the file ends before them"
        return
    if ends == promised:
        return
    found.frames = ends
    found.patches[info_at + 10] = (packed - promised + min(ends, 2**36 - 1)).to_bytes(8, "big")
    if not whole or 0 < ends < promised:
        what = f"promises {promised:,} samples" if promised else "does not know the length"
        found.cut = f"the header {what}, the file holds {ends:,} whole ones"
    elif promised:
        found.is_wrong(promised, ends, "samples")
    else:
        found.notes.append(f"streamed: the header does not know the length; it is {ends:,} samples")


def _last_frame(file, size, first, fixed):
    """Samples up to the end of the last whole frame, and whether the file ends with it."""
    lead = read_at(file, first, 4)
    if len(lead) < 4 or lead[0] != 0xFF or lead[1] & 0xFE != 0xF8:
        return None, False
    length = _TAIL_BYTES
    while True:
        begin = max(first, size - length)
        tail = read_at(file, begin, size - begin)
        if tail[-128:-125] == b"TAG":
            tail = tail[:-128]
        at = len(tail)
        while (at := tail.rfind(lead[:2], 0, at)) >= 0:
            header = _header(tail[at : at + 16], lead, fixed)
            if header is not None:
                start, block = header
                whole = _crc16(tail[at:]) == 0
                return (start + block if whole else start), whole
        if begin == first:
            return None, False
        length *= 4


def _header(data, lead, fixed):
    """(first sample, samples) of a frame header like `lead`, None where there is none."""
    # Block size may differ at the end, the stereo coding from frame to frame.
    if len(data) < 6 or not data[2] >> 4:
        return None
    if (data[2] ^ lead[2]) & 0x0F or (data[3] ^ lead[3]) & 0x0F:
        return None
    number, n = _coded_number(data[4:11])
    if number is None:
        return None
    at, code = 4 + n, data[2] >> 4
    if code == 6:
        block, at = data[at] + 1 if at < len(data) else 0, at + 1
    elif code == 7:
        block, at = int.from_bytes(data[at : at + 2], "big") + 1, at + 2
    elif code == 1:
        block = 192
    else:
        block = 576 << (code - 2) if code < 6 else 256 << (code - 8)
    at += {12: 1, 13: 2, 14: 2}.get(data[2] & 0x0F, 0)
    if at >= len(data) or _crc8(data[:at]) != data[at]:
        return None
    variable = data[1] & 1
    return (number if variable else number * (fixed or block)), block


def _coded_number(data):
    """A number coded as in UTF-8, and how many bytes it takes."""
    lead = data[0]
    if lead < 0x80:
        return lead, 1
    n = next((n for n in range(2, 8) if not lead >> (7 - n) & 1), 8)
    if lead < 0xC0 or n > 7 or len(data) < n:
        return None, 0
    number = lead & (0x7F >> n)
    for byte in data[1:n]:
        if byte & 0xC0 != 0x80:
            return None, 0
        number = number << 6 | byte & 0x3F
    return number, n


def _table(bits, polynomial):
    if bits not in _TABLES:
        top, mask = 1 << (bits - 1), (1 << bits) - 1
        table = []
        for byte in range(256):
            value = byte << (bits - 8)
            for _ in range(8):
                value = (value << 1 ^ polynomial if value & top else value << 1) & mask
            table.append(value)
        _TABLES[bits] = table
    return _TABLES[bits]


def _crc8(data):
    table, value = _table(8, 0x07), 0
    for byte in data:
        value = table[value ^ byte]
    return value


def _crc16(data):
    table, value = _table(16, 0x8005), 0
    for byte in data:
        value = (value << 8 & 0xFF00) ^ table[value >> 8 ^ byte]
    return value
