"""MP3: bitrate, and whether the last frame is whole."""

import io
import struct
from functools import lru_cache

from realtime.files.flac import id3_size
from realtime.files.structure import Chunk, Structure, read_at

_SEARCH_BYTES = 1 << 16
_BUFFER_BYTES = 1 << 20
_MOST_TAG_BYTES = 1 << 26


@lru_cache(maxsize=4096)  # a file has few heads that differ
def frame_of(head):
    """What the four bytes of an MPEG audio frame's head say, `samples` and `size` too, or None."""
    from mutagen.mp3 import HeaderNotFoundError, MPEGFrame

    try:
        frame = MPEGFrame(io.BytesIO(head))
    except HeaderNotFoundError:
        return None
    frame.samples = {1: 384, 2: 1152, 3: 1152 if frame.version == 1 else 576}[frame.layer]
    slot = 4 if frame.layer == 1 else 1
    length = frame.samples // 8 * frame.bitrate // frame.sample_rate // slot
    frame.size = (length + frame.padding) * slot
    return frame


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
    frame = frame_of(lead[:4])
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
        frame = frame_of(data[k : k + 4])
        if frame is not None:
            after = data[k + frame.size : k + frame.size + 4]
            if len(after) < 4 or frame_of(after) is not None:
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
    mono = frame.channels == 1
    return 4 + ((17 if mono else 32) if frame.version == 1 else (9 if mono else 17))


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
        frame = frame_of(data[at - base : at - base + 4])
        if frame is None:
            skipped = _first_frame(file, at + 1)
            if skipped is None or skipped >= end:
                break
            at = skipped
            continue
        if frame.sample_rate != lead.sample_rate:
            found.refused = (f"its sample rate changes from {lead.sample_rate} to "
                             f"{frame.sample_rate} Hz within the file")  # fmt: skip
            break
        if at + frame.size > end:
            found.cut = f"its last frame ends {at + frame.size - end:,} bytes after the file"
            break
        n += 1
        length += frame.size
        rates.add(frame.bitrate)
        at += frame.size
    if n:
        found.bitrate_bps = 8.0 * length * lead.sample_rate / (n * lead.samples)
        found.constant_bitrate = len(rates) == 1
    return n
