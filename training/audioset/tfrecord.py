"""A reader of TensorFlow record files holding `SequenceExample`s, without TensorFlow.

A record is ``length: u64, crc(length): u32, data, crc(data): u32``, little-endian; a CRC is
CRC-32C (Castagnoli), rotated and offset as TensorFlow stores it. The data is a protocol buffer.
"""

import struct
from pathlib import Path

import google_crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from gate.errors import GateError

_MESSAGES = {
    "BytesList": (("value", "bytes", True),),
    "FloatList": (("value", "float", True),),
    "Int64List": (("value", "int64", True),),
    "Feature": (("bytes_list", "BytesList", False), ("float_list", "FloatList", False),
                ("int64_list", "Int64List", False)),
    "FeatureList": (("feature", "Feature", True),),
    "Entry": (("key", "string", False), ("value", "Feature", False)),
    "ListEntry": (("key", "string", False), ("value", "FeatureList", False)),
    "Features": (("feature", "Entry", True),),
    "FeatureLists": (("feature_list", "ListEntry", True),),
    "SequenceExample": (("context", "Features", False), ("feature_lists", "FeatureLists", False)),
}  # fmt: skip
"""TensorFlow's messages: (name, type, repeated) of the fields 1, 2, ...; a map is its entries."""


class RecordError(GateError):
    """A record file is damaged or is not a record file."""


def _sequence_example():
    file = descriptor_pb2.FileDescriptorProto(name="sequence.proto", package="audioset")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind, repeated) in enumerate(fields, 1):
            entry = message.field.add(name=field, number=number)
            entry.label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            if kind in _MESSAGES:
                entry.type, entry.type_name = kinds.TYPE_MESSAGE, f".audioset.{kind}"
            else:
                entry.type = getattr(kinds, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("audioset.SequenceExample"))


_SequenceExample = _sequence_example()


def masked_crc32c(data):
    """CRC-32C as stored in record files: rotated right by 15 bits, plus a constant."""
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def read_records(paths):
    """Every record of some files in order, a list of bytes; all CRCs are checked.

    Raises
    ------
    RecordError
        Naming the file and byte offset of a truncated or damaged record.
    """
    records = []
    for path in paths:
        blob, offset = Path(path).read_bytes(), 0
        while offset < len(blob):
            if offset + 12 > len(blob):
                raise RecordError(f"{path}: truncated record header at byte {offset}")
            length, length_crc = struct.unpack_from("<QI", blob, offset)
            if masked_crc32c(blob[offset : offset + 8]) != length_crc:
                raise RecordError(f"{path}: damaged record length at byte {offset} (CRC mismatch)")
            end = offset + 12 + length
            if end + 4 > len(blob):
                raise RecordError(f"{path}: truncated record at byte {offset}")
            records.append(blob[offset + 12 : end])
            if masked_crc32c(records[-1]) != struct.unpack_from("<I", blob, end)[0]:
                raise RecordError(f"{path}: damaged record at byte {offset} (CRC mismatch)")
            offset = end + 4
    return records


def parse_sequence_example(data):
    """Decode a serialised `SequenceExample`.

    Returns
    -------
    context : dict of str to list
        Values of each context feature.
    feature_lists : dict of str to list of list
        For each feature list, the values of each step.
    """

    def values(feature):
        return [v for _, found in feature.ListFields() for v in found.value]

    try:
        example = _SequenceExample.FromString(data)
    except DecodeError as error:
        raise RecordError("record is not a SequenceExample") from error
    lists = example.feature_lists.feature_list
    return (
        {entry.key: values(entry.value) for entry in example.context.feature},
        {entry.key: [values(step) for step in entry.value.feature] for entry in lists},
    )
