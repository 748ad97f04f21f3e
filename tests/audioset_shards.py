"""Tiny data folders in AudioSet's layout, written by the tests themselves."""

import csv
import json
import struct

import numpy as np

from training.audioset.tfrecord import masked_crc32c


def write_records(path, *records):
    """A whole record file."""
    parts = (part for data in records for part in (struct.pack("<Q", len(data)), data))
    path.write_bytes(b"".join(part + struct.pack("<I", masked_crc32c(part)) for part in parts))


def _varint(value):
    out = bytearray()
    while True:
        byte = value & 0x7F
        value >>= 7
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def _field(number, payload):
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _entry(key, value):
    return _field(1, _field(1, key.encode()) + _field(2, value))


def sequence_example(video_id, labels, rows):
    """Serialised `SequenceExample` as in the released shards."""
    packed = b"".join(_varint(label) for label in labels)
    context = (
        _entry("video_id", _field(1, _field(1, video_id.encode())))
        + _entry("labels", _field(3, _field(1, packed)))
        + _entry("start_time_seconds", _field(2, _field(1, np.float32(30).tobytes())))
    )
    steps = b"".join(_field(1, _field(1, _field(1, bytes(row)))) for row in rows)
    return _field(1, context) + _field(2, _entry("audio_embedding", steps))


CLASSES = (("/m/a", "Speech"), ("/m/b", "Singing"), ("/m/c", "Drum kit"), ("/m/d", "Wind"))
ONTOLOGY = (
    ("/m/v", "Human voice", ["/m/a", "/m/b"]),
    ("/m/a", "Speech", []),
    ("/m/b", "Singing", []),
    ("/m/c", "Drum kit", []),
    ("/m/d", "Wind", []),
)


def make_clips(n, seed=0):
    """Clips whose Speech is a raised first half of the bytes in some of the rows.

    Returns a list of ``(video_id, labels, rows)``.
    """
    rng = np.random.default_rng(seed)
    clips = []
    for i in range(n):
        speech = bool(rng.random() < 0.4)
        length = 10 if i % 7 else int(rng.integers(1, 10))
        rows = rng.integers(60, 190, (length, 128))
        if speech:
            heard = rng.random(length) < 0.7
            heard[rng.integers(length)] = True
            rows[heard, :64] += 40
        labels = [0] if speech else [int(rng.integers(1, 4))]
        clips.append((f"clip{seed}-{i:05d}", labels, rows.astype(np.uint8)))
    return clips


def write_data(folder, n_train=400, n_eval=200):
    """A whole data folder; returns what was written, part by part."""
    written = {}
    for part, n, seed in (("bal_train", n_train, 1), ("eval", n_eval, 2)):
        shards = folder / "audioset_v1_embeddings" / part
        shards.mkdir(parents=True)
        written[part] = clips = make_clips(n, seed)
        for first in range(0, n, 50):
            examples = (sequence_example(*clip) for clip in clips[first : first + 50])
            write_records(shards / f"{first:05d}.tfrecord", *examples)
    metadata = folder / "metadata"
    metadata.mkdir()
    with open(metadata / "class_labels_indices.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "mid", "display_name"])
        writer.writerows((i, mid, name) for i, (mid, name) in enumerate(CLASSES))
    nodes = [{"id": mid, "name": name, "child_ids": children} for mid, name, children in ONTOLOGY]
    (metadata / "ontology.json").write_text(json.dumps(nodes))
    some = written["eval"][:40]
    coverage = np.zeros((len(some), 10), dtype=np.float32)
    for i, (_, labels, rows) in enumerate(some):
        if labels == [0]:
            coverage[i, : len(rows)] = rows[:, :64].mean(1) > 145
    np.savez(
        metadata / "eval_strong_speech.npz",
        video_id=np.array([clip[0] for clip in some]),
        speech_coverage_per_second=coverage,
    )
    return written
