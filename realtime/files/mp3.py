"""MP3: bitrate, and whether the last frame is whole."""

import struct

from realtime.files.flac import id3_size
from realtime.files.structure import Chunk, Structure, read_at

_KBPS = {
    (3, 3): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (3, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 1): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 3): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 1): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_SEARCH_BYTES = 1 << 16
_BUFFER_BYTES = 1 << 20
_MOST_TAG_BYTES = 1 << 26


class _Frame:
    """The head of an MPEG audio frame; `size` 0 where it is none."""

    __slots__ = ("kbps", "mono", "rate", "samples", "size", "version")

    def __init__(self, head):
        self.size = 0
        if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
            return
        version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
        rate, index, padding = head[2] >> 2 & 3, head[2] >> 4, head[2] >> 1 & 1
        if version == 1 or layer == 0 or rate == 3 or index in (0, 15):
            return
        self.version, self.mono = version, head[3] >> 6 == 3
        self.rate = _RATES[version][rate]
        self.kbps = _KBPS[3 if version == 3 else 2, layer][index]
        self.samples = {3: 384, 2: 1152, 1: 1152 if version == 3 else 576}[layer]
        slot = 4 if layer == 3 else 1
        self.size = (self.samples // 8 * self.kbps * 1000 // self.rate // slot + padding) * slot


def examine(file, size, head):
    """See `realtime.files.examine.examine`."""
    at = id3_size(head)
    first = _first_frame(file, min(size, at))
    if first is None or (at == 0 and first > 0 and head[:1] != b"\0"):
        return None
    found = Structure("mp3")
    if at:
        found.chunks.append(Chunk(b"ID3", 0, at))
    end = _end_of_frames(file, size, found)
    lead = read_at(file, first, 256)
    frame = _Frame(lead)
    told = _told(lead, frame)
    count = _walk(file, first, end, frame, found)
    if told is None:
        # Without a count libsndfile goes by an estimate, and stops there.
        # Behind the tags: in front of them it would not be looked for.
        tags = read_at(file, 0, first) if first < _MOST_TAG_BYTES else b""
        found.prefix = tags + _count_frame(lead[:4], frame, count, end - first)
        found.links = [(first, size)]
    elif told[1:3] != (count - 1, end - first):
        at, frames, length = told
        if length > end - first or frames > count - 1:
            found.is_short(length, end - first)
        elif frames < count - 1:
            found.is_wrong(frames, count - 1, "frames")
        found.patches[first + at] = struct.pack(">II", max(1, count - 1), end - first)
    return found


def _count_frame(lead, frame, count, length):
    """A silent frame with a header that tells how many there are."""
    data = bytearray(max(frame.size, _told_at(frame) + 16))
    data[:4] = lead
    at = _told_at(frame)
    data[at : at + 8] = b"Info\0\0\0\3"
    data[at + 8 : at + 16] = struct.pack(">II", count, length + len(data))
    return bytes(data[: frame.size]) if frame.size >= at + 16 else b""


def _first_frame(file, at):
    """Where two frames follow one another, or one ends with the file."""
    data = read_at(file, at, _SEARCH_BYTES)
    k = -1
    while 0 <= (k := data.find(b"\xff", k + 1)) < len(data) - 3:
        frame = _Frame(data[k : k + 4])
        if frame.size:
            after = data[k + frame.size : k + frame.size + 4]
            if len(after) < 4 or _Frame(after).size:
                return at + k
    return None


def _end_of_frames(file, size, found):
    """Where the tags behind the sound begin."""
    end = size
    if read_at(file, max(0, end - 128), 3) == b"TAG":
        end -= 128
        found.chunks.append(Chunk(b"TAG", end, 128))
    foot = read_at(file, max(0, end - 32), 32)
    if foot[:8] == b"APETAGEX":
        length, flags = struct.unpack("<I4xI", foot[12:24])
        length += 32 if flags & 1 << 31 else 0
        if 32 <= length <= end:
            end -= length
            found.chunks.append(Chunk(b"APE", end, length))
    return end


def _told_at(frame):
    """Where a frame may tell how many there are."""
    if frame.version == 3:
        return 4 + (17 if frame.mono else 32)
    return 4 + (9 if frame.mono else 17)


def _told(data, frame):
    """(where, frames, bytes) of a Xing or Info header, or None."""
    at = _told_at(frame)
    magic, flags = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "big")
    if magic not in (b"Xing", b"Info") or flags & 3 != 3:
        return None
    return (at + 8, *struct.unpack(">II", data[at + 8 : at + 16]))


def _walk(file, first, end, lead, found):
    """Go from frame to frame; returns how many there are whole."""
    at, base, data = first, first, b""
    n, length, rates = 0, 0, set()
    while at + 4 <= end:
        if not base <= at <= base + len(data) - 4:
            base, data = at, read_at(file, at, _BUFFER_BYTES)
        frame = _Frame(data[at - base : at - base + 4])
        if not frame.size:
            skipped = _first_frame(file, at + 1)
            if skipped is None or skipped >= end:
                break
            at = skipped
            continue
        if frame.rate != lead.rate:
            found.refused = (
                f"its sample rate changes from {lead.rate} to {frame.rate} Hz within the file"
            )
            break
        if at + frame.size > end:
            found.cut = f"its last frame ends {at + frame.size - end:,} bytes after the file"
            break
        n += 1
        length += frame.size
        rates.add(frame.kbps)
        at += frame.size
    if n:
        found.bitrate_bps = 8.0 * length * lead.rate / (n * lead.samples)
        found.constant_bitrate = len(rates) == 1
    return n
