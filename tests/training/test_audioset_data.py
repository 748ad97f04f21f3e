import numpy as np
import pytest
from audioset_shards import make_clips, sequence_example, write_data, write_records

from gate.errors import ConfigError
from training.audioset import data as audioset_data
from training.audioset.tfrecord import (
    RecordError,
    masked_crc32c,
    parse_sequence_example,
    read_records,
)


def test_crcs_are_stored_as_tensorflow_stores_them():
    # Of the check value of CRC-32C, 0xE3069283: rotated right by 15 bits, plus 0xA282EAD8.
    assert masked_crc32c(b"123456789") == (0x2507C60D + 0xA282EAD8) & 0xFFFFFFFF


def test_records_come_back_as_written(tmp_path):
    path, records = tmp_path / "a.tfrecord", [b"", b"x", bytes(range(256)) * 9]
    write_records(path, *records)
    assert read_records([path, path]) == records * 2


@pytest.mark.parametrize(
    ("damage", "message"),
    [(p, r"bad\.tfrecord.*damaged.*byte 0") for p in (3, 9, 20, -2)]
    + [(slice(kept), "truncated") for kept in (5, 14, 30)],
)
def test_a_flipped_bit_or_a_cut_is_found_wherever_it_is(tmp_path, damage, message):
    path = tmp_path / "bad.tfrecord"
    write_records(path, b"payload of a record")
    blob = bytearray(path.read_bytes())
    if isinstance(damage, slice):
        blob = blob[damage]
    else:
        blob[damage] ^= 0x10
    path.write_bytes(blob)
    with pytest.raises(RecordError, match=message):
        read_records([path])


def test_not_a_sequence_example():
    with pytest.raises(RecordError, match="not a SequenceExample"):
        parse_sequence_example(b"\x0a\xff\xff\xff")


def test_arrays_equal_what_was_written(clips):
    written = make_clips(400, seed=1)
    assert len(clips) == 400
    for i, (video_id, labels, rows) in enumerate(written):
        assert clips.video_ids[i] == video_id
        assert np.flatnonzero(clips.labels[i]).tolist() == labels
        assert clips.lengths[i] == len(rows) == clips.mask[i].sum()
        np.testing.assert_array_equal(clips.embeddings[i, : len(rows)], rows)
        assert not clips.embeddings[i, len(rows) :].any()


def test_the_cache_changes_nothing_and_follows_the_shards(tmp_path):
    folder, cache = tmp_path / "data", tmp_path / "cache"
    write_data(folder, n_train=20, n_eval=10)
    alone = audioset_data.load_part(folder, "bal_train")
    for _ in range(2):
        cached = audioset_data.load_part(folder, "bal_train", cache)
        for name, array in vars(alone).items():
            np.testing.assert_array_equal(getattr(cached, name), array)
    assert len(list(cache.glob("*"))) == 1
    more = folder / "audioset_v1_embeddings/bal_train/zz.tfrecord"
    write_records(more, sequence_example(*make_clips(1, seed=9)[0]))
    assert len(audioset_data.load_part(folder, "bal_train", cache)) == 21
    write_records(more, sequence_example("odd-clip", [0], [bytes(127)]))
    with pytest.raises(RecordError, match=r"odd-clip.*128"):
        audioset_data.load_part(folder, "bal_train", cache)


def test_a_class_by_name_mid_and_index(classes):
    assert classes.indices("speech") == classes.indices("/m/a") == classes.indices(0) == [0]
    assert classes.indices("Human voice") == [0, 1]
    assert classes.indices("2") == classes.indices("Drum kit") == [2]
    with pytest.raises(ConfigError, match="did you mean 'speech'"):
        classes.indices("Speach")
    with pytest.raises(ConfigError, match=r"0\.\.3"):
        classes.indices(99)


def test_excluded_classes_leave_the_negatives_only(clips, classes):
    targets, keep = audioset_data.select_target(clips, classes, "Speech", ["Human voice"])
    np.testing.assert_array_equal(targets, clips.labels[:, 0])
    assert keep[targets == 1].all()
    np.testing.assert_array_equal(keep[targets == 0], ~clips.labels[targets == 0, 1])
    assert 0 < keep.sum() < len(keep)


@pytest.mark.parametrize("file_order", [False, True])
def test_splits_are_a_partition(file_order):
    train, validation = audioset_data.split_clips(103, file_order)
    assert sorted([*train, *validation]) == list(range(103))
    assert len(train) == 82 and (validation.min() == 82) == file_order
