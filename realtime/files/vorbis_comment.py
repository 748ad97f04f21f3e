"""The comments of Vorbis, Opus and FLAC: ``NAME=text``, and pictures among them."""

import base64
import binascii
import struct

from realtime.files.ogg import crc, pages
from realtime.files.structure import read_at, splice

_PICTURE = b"METADATA_BLOCK_PICTURE="
_MARKS = {b"\x03vorbis": b"\x01", b"OpusTags": b""}
_MAX_BYTES = 64_000_000


def parse(data):
    """Comments of a comment block, as far as it makes sense."""
    try:
        (length,) = struct.unpack_from("<I", data, 0)
        (count,) = struct.unpack_from("<I", data, 4 + length)
        at, found = 8 + length, []
        for _ in range(min(count, len(data) // 4)):
            (length,) = struct.unpack_from("<I", data, at)
            if at + 4 + length > len(data):
                break
            found.append(bytes(data[at + 4 : at + 4 + length]))
            at += 4 + length
        return found
    except struct.error:
        return []


def vendor(data):
    """The name of the encoder in a comment block."""
    length = int.from_bytes(data[:4], "little")
    return bytes(data[4 : 4 + length])


def build(vendor, comments):
    """A comment block."""
    parts = [struct.pack("<I", len(vendor)), vendor, struct.pack("<I", len(comments))]
    for comment in comments:
        parts += [struct.pack("<I", len(comment)), comment]
    return b"".join(parts)


def split_pictures(comments):
    """(comments without pictures, pictures as FLAC has them)."""
    kept, pictures = [], []
    for comment in comments:
        if comment[: len(_PICTURE)].upper() == _PICTURE:
            try:
                pictures.append(base64.b64decode(comment[len(_PICTURE) :], validate=True))
                continue
            except binascii.Error:
                pass
        kept.append(comment)
    return kept, pictures


def read(file, link):
    """The comments of an Ogg stream.

    Parameters
    ----------
    file : binary file
    link : (int, int)
        Where the stream begins and ends.

    Returns
    -------
    list of bytes or None
        None where the stream has no comments of a known kind.
    """
    packet = next((p for p in _packets(file, link) if _mark(p)), None)
    return None if packet is None else parse(packet[len(_mark(packet)) :])


def _mark(packet):
    return next((mark for mark in _MARKS if packet.startswith(mark)), None)


def _packets(file, link, limit=3):
    """The first packets of a stream."""
    packet, found = b"", 0
    for at, _, table, end in pages(file, link[1], link[0]):
        if end > link[1]:
            return
        body, used = read_at(file, at + 27 + len(table), sum(table)), 0
        for n in table:
            packet += body[used : used + n]
            used += n
            if n < 255:
                yield packet
                packet, found = b"", found + 1
                if found == limit:
                    return
            elif len(packet) > _MAX_BYTES:
                return


def replace(file, comments, pictures):
    """Give a finished Ogg file other comments; pages are numbered anew where they become more.

    Parameters
    ----------
    file : binary file
        Open for reading and writing.
    comments, pictures : list of bytes
    """
    file.seek(0, 2)
    size = file.tell()
    packets = list(_packets(file, (0, size)))
    index = next((i for i, packet in enumerate(packets) if _mark(packet)), None)
    if index is None:
        return
    mark = _mark(packets[index])
    headers = packets[1:3] if mark == b"\x03vorbis" else packets[1:2]
    name = vendor(packets[index][len(mark) :])
    comments = [*comments, *(_PICTURE + base64.b64encode(picture) for picture in pictures)]
    headers[index - 1] = mark + build(name, comments) + _MARKS[mark]
    first, begin, end, before = _header_pages(file, size, len(headers))
    made = _paged(headers, first[14:18])
    splice(file, begin, end - begin, b"".join(made))
    if len(made) != before:
        file.seek(0, 2)
        _renumber(file, file.tell(), begin + sum(map(len, made)), len(made) - before)


def _header_pages(file, size, n_packets):
    """Head of the first page; where the pages of the other header packets lie; how many."""
    first, begin, n = None, 0, 0
    for _, page, table, end in pages(file, size):
        if first is None:
            first, begin = page, end
            continue
        n += 1
        n_packets -= sum(1 for length in table if length < 255)
        if n_packets <= 0:
            return first, begin, end, n
    return first, begin, size, n


def _paged(packets, serial):
    """Pages, numbered from 1, that hold these packets."""
    body = b"".join(packets)
    table = b"".join(b"\xff" * (len(p) // 255) + bytes([len(p) % 255]) for p in packets)
    made, continued = [], False
    for index in range(0, len(table), 255):
        part = table[index : index + 255]
        content, body = body[: sum(part)], body[sum(part) :]
        granule = 0 if any(n < 255 for n in part) else -1
        head = b"OggS\0" + struct.pack("<Bq", int(continued), granule) + serial
        head += struct.pack("<II", len(made) + 1, 0) + bytes([len(part)])
        made.append(_signed(head + part + content))
        continued = part[-1] == 255
    return made


def _renumber(file, size, at, shift):
    for begin, page, _, end in list(pages(file, size, at)):
        data = read_at(file, begin, end - begin)
        number = struct.unpack("<I", page[18:22])[0] + shift
        file.seek(begin)
        file.write(_signed(data[:18] + struct.pack("<II", number, 0) + data[26:]))


def _signed(page):
    return page[:22] + struct.pack("<I", crc(page[:22] + bytes(4) + page[26:])) + page[26:]
