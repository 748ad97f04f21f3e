import numpy as np
import pytest
from audioset_shards import make_clips, sequence_example, write_data, write_record

from gate.errors import ConfigError
from training.audioset import data as audioset_data
from training.audioset.tfrecord import (
    RecordError,
    masked_crc32c,
    parse_sequence_example,
    read_records,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audioset")
    return folder, write_data(folder, n_train=130, n_eval=60)


def test_crcs_are_stored_as_tensorflow_stores_them():
    # Of the check value of CRC-32C, 0xE3069283: rotated right by 15 bits, plus 0xA282EAD8.
    assert masked_crc32c(b"123456789") == (0x2507C60D + 0xA282EAD8) & 0xFFFFFFFF


def test_records_come_back_as_written(tmp_path):
    path = tmp_path / "a.tfrecord"
    records = [b"", b"x", bytes(range(256)) * 9]
    with open(path, "wb") as file:
        for record in records:
            write_record(file, record)
    assert read_records([path, path]) == records * 2


@pytest.mark.parametrize(
    ("damage", "message"),
    [(p, r"bad\.tfrecord.*damaged.*byte 0") for p in (3, 9, 20, -2)]
    + [(slice(kept), "truncated") for kept in (5, 14, 30)],
)
def test_a_flipped_bit_or_a_cut_is_found_wherever_it_is(tmp_path, damage, message):
    path = tmp_path / "bad.tfrecord"
    with open(path, "wb") as file:
        write_record(file, b"payload of a record")
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


def test_arrays_equal_what_was_written(data):
    folder, written = data
    clips = audioset_data.load_part(folder, "bal_train")
    assert len(clips) == 130
    for i, (video_id, labels, rows) in enumerate(written["bal_train"]):
        assert clips.video_ids[i] == video_id
        assert np.flatnonzero(clips.labels[i]).tolist() == labels
        assert clips.lengths[i] == len(rows) == clips.mask[i].sum()
        np.testing.assert_array_equal(clips.embeddings[i, : len(rows)], rows)
        assert not clips.embeddings[i, len(rows) :].any()


def test_the_cache_changes_nothing(data, tmp_path):
    folder, _ = data
    alone = audioset_data.load_part(folder, "bal_train")
    for _ in range(2):
        cached = audioset_data.load_part(folder, "bal_train", cache=tmp_path)
        for name in ("embeddings", "lengths", "labels", "video_ids"):
            np.testing.assert_array_equal(getattr(cached, name), getattr(alone, name))
    assert len(list(tmp_path.glob("*.npz"))) == 1


def test_the_cache_follows_the_shards(tmp_path):
    folder = tmp_path / "data"
    write_data(folder, n_train=20, n_eval=10)
    cache = tmp_path / "cache"
    assert len(audioset_data.load_part(folder, "bal_train", cache)) == 20
    with open(folder / "audioset_v1_embeddings/bal_train/zz.tfrecord", "wb") as file:
        write_record(file, sequence_example(*make_clips(1, seed=9)[0]))
    assert len(audioset_data.load_part(folder, "bal_train", cache)) == 21


def test_wrong_row_size_names_the_clip(tmp_path):
    folder = tmp_path / "data"
    write_data(folder, n_train=5, n_eval=5)
    with open(folder / "audioset_v1_embeddings/bal_train/zz.tfrecord", "wb") as file:
        write_record(file, sequence_example("odd-clip", [0], [bytes(127)]))
    with pytest.raises(RecordError, match=r"odd-clip.*128"):
        audioset_data.load_part(folder, "bal_train")


def test_a_class_by_name_mid_and_index(data):
    classes = audioset_data.ClassList.load(data[0])
    assert classes.indices("speech") == classes.indices("/m/a") == classes.indices(0) == [0]
    assert classes.indices("Human voice") == [0, 1]
    assert classes.indices("2") == classes.indices("Drum kit") == [2]
    with pytest.raises(ConfigError, match="did you mean 'speech'"):
        classes.indices("Speach")
    with pytest.raises(ConfigError, match=r"0\.\.3"):
        classes.indices(99)


def test_excluded_classes_leave_the_negatives_only(data):
    folder, _ = data
    classes = audioset_data.ClassList.load(folder)
    clips = audioset_data.load_part(folder, "bal_train")
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
