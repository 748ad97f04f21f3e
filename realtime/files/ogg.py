"""Ogg: the streams that a file chains, and whether the last one is whole."""

import struct

from realtime.files.structure import Structure, read_at

_SEARCH_BYTES = 1 << 20


def pages(file, size, at=0):
    """Yield (offset, head, segment table, end) of each page.

    The last one may end after `size`; one that is cut off ends where the next one begins.
    """
    while at < size:
        head = read_at(file, at, 27 + 255)
        if head[:4] != b"OggS":
            skipped = _next_page(file, size, at + 1)
            if skipped is None:
                return
            at = skipped
            continue
        if len(head) < 27 or len(head) < 27 + head[26]:
            yield at, head[:27].ljust(27, b"\0"), b"", size + 1
            return
        table = head[27 : 27 + head[26]]
        end = at + page_size(table)
        if end < size and read_at(file, end, 4) != b"OggS":
            inside = read_at(file, at + 27, end - at - 27).find(b"OggS\0")
            end = end if inside < 0 else at + 27 + inside
        yield at, head[:27], table, end
        at = end


def page_size(table):
    """Bytes of a page with such a segment table."""
    return 27 + len(table) + sum(table)


def _next_page(file, size, at):
    while at < size:
        data = read_at(file, at, _SEARCH_BYTES)
        found = data.find(b"OggS")
        if found >= 0:
            return at + found
        if len(data) < _SEARCH_BYTES:
            return None
        at += len(data) - 3
    return None


def examine(file, size, head):
    """See `realtime.files.examine.examine`."""
    if head[:4] != b"OggS":
        return None
    found = Structure("ogg")
    starts, begun, ended, payload, samples, clock = [], set(), set(), 0, 0, None
    where, heads_done = 0, False
    for at, page, table, end in pages(file, size):
        flags, granule, serial = struct.unpack("<BqI", page[5:18])
        if at > where and where:
            found.notes.append("bytes that are no Ogg lie between its pages; they are left out")
        if end > size:
            found.cut = f"its last page ends {end - size:,} bytes after the file"
            break
        where = end
        if end < at + page_size(table):
            found.cut = f"a page is cut off {end:,} bytes from the beginning"
        if flags & 2:
            if not starts or heads_done:
                starts.append(at)
                samples += clock.length if clock else 0
                clock, begun, ended = _Clock(), set(), set()
            heads_done = False
            begun.add(serial)
            clock.begin(read_at(file, at + 27 + len(table), 64), serial)
        else:
            heads_done = True
        if flags & 4:
            ended.add(serial)
        if clock is not None:
            clock.page(serial, granule)
            if clock.serial == serial and granule > 0:
                payload += sum(table)
    if not starts:
        return found
    samples += clock.length if clock else 0
    if found.cut is None and not begun <= ended:
        found.notes.append("has no mark of its end: the end may be missing")
    ends = [*starts[1:], size]
    found.links = list(zip(starts, ends, strict=True))
    if clock.rate and samples:
        found.bitrate_bps = clock.nominal_bps or payload * 8.0 * clock.rate / samples
    return found


class _Clock:
    """Counts the samples of one stream of a link."""

    def __init__(self):
        self.serial, self.rate, self.nominal_bps, self.length = None, 0, 0, 0

    def begin(self, packet, serial):
        if packet[:7] == b"\x01vorbis" and len(packet) >= 28:
            self.serial = serial
            self.rate, _, self.nominal_bps = struct.unpack("<Iii", packet[12:24])
            self.nominal_bps = max(0, self.nominal_bps)
        elif packet[:8] == b"OpusHead":
            self.serial, self.rate = serial, 48000

    def page(self, serial, granule):
        if serial == self.serial and granule > 0:
            self.length = max(self.length, granule)
