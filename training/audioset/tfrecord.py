"""A reader of TensorFlow record files holding `SequenceExample`s, without TensorFlow.

A record is ``length: u64, crc(length): u32, data, crc(data): u32``, little-endian; a CRC is
CRC-32C (Castagnoli), rotated and offset as TensorFlow stores it. The data is a protocol buffer,
of which only the few wire types that these messages use are decoded.
"""

import struct

import numpy as np

from gate.errors import GateError

_HEADER = struct.Struct("<QI")
_MASK_DELTA = 0xA282EAD8


class RecordError(GateError):
    """A record file is damaged or is not a record file."""


def _crc32c_table():
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1)
    return table.astype(np.uint32)


_TABLE = _crc32c_table()


def crc32c(chunks):
    """CRC-32C of many byte strings at once.

    One numpy step a byte *position* serves all strings, so thousands of short records cost
    about what one would in pure Python.

    Parameters
    ----------
    chunks : sequence of bytes

    Returns
    -------
    crc : ndarray, shape (len(chunks),), uint32
        ``crc32c([b"123456789"])`` is 0xE3069283.
    """
    crc = np.full(len(chunks), 0xFFFFFFFF, dtype=np.uint32)
    lengths = np.array([len(chunk) for chunk in chunks], dtype=np.int64)
    if not len(chunks) or not lengths.max():
        return ~crc
    order = np.argsort(-lengths, kind="stable")
    plane = np.zeros((lengths.max(), len(chunks)), dtype=np.uint8)
    for column, index in enumerate(order):
        plane[: lengths[index], column] = np.frombuffer(chunks[index], dtype=np.uint8)
    # Longest first: at position i the strings still running are a prefix.
    running = np.searchsorted(-lengths[order], -np.arange(lengths.max()), side="left")
    for row, n in zip(plane, running, strict=True):
        head = crc[:n]
        crc[:n] = _TABLE[(head ^ row[:n]) & 0xFF] ^ (head >> np.uint32(8))
    result = np.empty_like(crc)
    result[order] = ~crc
    return result


def masked_crc32c(chunks):
    """CRC-32C as stored in record files: rotated right by 15 bits, plus a constant."""
    crc = crc32c(chunks)
    rotated = (crc >> np.uint32(15)) | (crc << np.uint32(17))
    return rotated + np.uint32(_MASK_DELTA)


def read_records(paths):
    """Read every record of some files and check all CRCs.

    Parameters
    ----------
    paths : sequence of path-like

    Returns
    -------
    records : list of bytes
        In the order of the files and within them.

    Raises
    ------
    RecordError
        Naming the file and byte offset of a truncated or damaged record.
    """
    records, headers, stored, where = [], [], [], []
    for path in paths:
        with open(path, "rb") as file:
            blob = file.read()
        offset = 0
        while offset < len(blob):
            if offset + 12 > len(blob):
                raise RecordError(f"{path}: truncated record header at byte {offset}")
            length, length_crc = _HEADER.unpack_from(blob, offset)
            end = offset + 12 + length
            if end + 4 > len(blob):
                # A damaged length also lands here, so its own CRC decides what to say.
                if masked_crc32c([blob[offset : offset + 8]])[0] != length_crc:
                    raise RecordError(f"{path}: damaged record length at byte {offset}")
                raise RecordError(f"{path}: truncated record at byte {offset}")
            headers.append(blob[offset : offset + 8])
            records.append(blob[offset + 12 : end])
            stored += [length_crc, int.from_bytes(blob[end : end + 4], "little")]
            where.append((path, offset))
            offset = end + 4
    stored = np.array(stored, dtype=np.uint32).reshape(-1, 2)
    for column, chunks, what in ((0, headers, "record length"), (1, records, "record")):
        bad = np.flatnonzero(masked_crc32c(chunks) != stored[:, column])
        if bad.size:
            path, offset = where[bad[0]]
            raise RecordError(f"{path}: damaged {what} at byte {offset} (CRC mismatch)")
    return records


def write_record(file, data):
    """Append one record to an open binary file (for making small test shards)."""
    header = struct.pack("<Q", len(data))
    header_crc, data_crc = masked_crc32c([header]), masked_crc32c([data])
    file.write(header + header_crc.tobytes() + data + data_crc.tobytes())


def _varint(buffer, at):
    value = shift = 0
    while True:
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _fields(buffer):
    """Yield (field number, value) of one message; length-delimited values as bytes."""
    at, end = 0, len(buffer)
    while at < end:
        key, at = _varint(buffer, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(buffer, at)
        elif wire == 2:
            length, at = _varint(buffer, at)
            value = buffer[at : at + length]
            if len(value) != length:
                raise IndexError
            at += length
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
            value = buffer[at : at + length]
            at += length
        else:
            raise IndexError
        yield key >> 3, value


def _map_entry(buffer):
    key = value = b""
    for number, field in _fields(buffer):
        if number == 1:
            key = field
        else:
            value = field
    return key.decode(), value


def _feature(buffer):
    """Values of a `Feature`: list of bytes, of ints, or of floats."""
    values = []
    for kind, packed in _fields(buffer):
        for _, value in _fields(packed):
            if kind == 1:
                values.append(value)
            elif kind == 2:
                values.extend(np.frombuffer(value, dtype="<f4").tolist())
            elif isinstance(value, int):
                values.append(value)
            else:
                at = 0
                while at < len(value):
                    item, at = _varint(value, at)
                    values.append(item)
    return values


def parse_sequence_example(data):
    """Decode a `SequenceExample`.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    context : dict of str to list
        Values of each context feature.
    feature_lists : dict of str to list of list
        For each feature list, the values of each step.
    """
    context, feature_lists = {}, {}
    try:
        for number, message in _fields(data):
            for _, entry in _fields(message):
                key, value = _map_entry(entry)
                if number == 1:
                    context[key] = _feature(value)
                elif number == 2:
                    feature_lists[key] = [_feature(step) for _, step in _fields(value)]
    except (IndexError, TypeError, UnicodeDecodeError, ValueError) as error:
        raise RecordError("record is not a SequenceExample") from error
    return context, feature_lists
