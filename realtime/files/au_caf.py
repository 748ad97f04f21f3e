"""AU and CAF: one chunk of sound whose size may be unknown or wrong."""

import struct

from realtime.files.structure import TRAILERS, Chunk, Structure, read_at


def examine(file, size, head):
    """See `realtime.files.examine.examine`."""
    if head[:4] in (b".snd", b"dns."):
        return _au(file, size, head)
    if head[:4] == b"caff":
        return _caf(file, size)
    return None


def _au(file, size, head):
    found, order = Structure("au"), ">" if head[:4] == b".snd" else "<"
    start, promised = struct.unpack(order + "II", head[4:12])
    there = size - start
    if there < 0 or promised == 0xFFFFFFFF:
        return found
    behind = read_at(file, start + promised, 8)
    if promised and behind[:4] in (b".snd", b"dns."):
        found.refused = "several files are joined in it; take them apart first"
    elif promised < there and (promised == 0 or not behind.startswith(TRAILERS)):
        found.is_wrong(promised, there)
        found.patches[8] = b"\xff\xff\xff\xff"
    elif promised > there:
        found.is_short(promised, there)
        found.patches[8] = struct.pack(order + "I", there)
    return found


def _caf(file, size):
    found, at = Structure("caf"), 8
    while at + 12 <= size and len(found.chunks) < 10_000:
        name, length = struct.unpack(">4sq", read_at(file, at, 12))
        start = at + 12
        there = size - start
        if name == b"data" and (length < 0 or length > there):
            if length >= 0:
                found.is_short(length, there)
            found.patches[at + 4] = struct.pack(">q", there)
            break
        behind = read_at(file, start + length, 8) if 0 <= length < there else b""
        if name == b"data" and length > 4 and behind[:4] == b"caff":
            found.refused = "several files are joined in it; take them apart first"
        elif name == b"data" and length > 4 and behind.startswith(TRAILERS):
            break
        elif name == b"data" and there > 4 and not _is_chunk(file, size, start + length):
            found.is_wrong(max(0, length - 4), there - 4)
            found.patches[at + 4] = struct.pack(">q", there)
            break
        if not 0 <= length <= there:
            break
        found.chunks.append(Chunk(name, start, length))
        at = start + length
    return found


def _is_chunk(file, size, at):
    if at >= size:
        return True
    head = read_at(file, at, 12)
    if len(head) < 12 or not all(32 <= byte < 127 for byte in head[:4]):
        return False
    return 0 <= struct.unpack(">q", head[4:])[0] <= size - at - 12
