"""The best model of the AudioSet embeddings: its networks, their training, the ensemble."""

import dataclasses

import numpy as np
import pytest
import torch

from gate.errors import ModelError
from training.audioset import best as audioset_best
from training.audioset import best_train
from training.audioset import data as audioset_data
from training.audioset.best_net import BestNet, BestNetSettings
from training.audioset.head_net import begin_as
from training.audioset.layers import ByteDropout, row_mask
from training.audioset.loop import predict

TINY = BestNetSettings(width=16, depth=1, n_classes=4, dropout=0.1)
TINY_HEAD = dataclasses.replace(audioset_best.HEAD_NET, width=16, rank=8)
QUICK = {"epochs": 12, "batch_size": 32, "learning_rate": 0.01}


def answers(net, clips):
    return predict(net, clips.embeddings, clips.lengths)


@pytest.fixture(scope="module")
def targets(clips, classes):
    return audioset_best.label_matrix(clips, classes, "Speech")


@pytest.fixture(scope="module")
def loud(clips):
    """What tells rows apart: where the target was put."""
    return (clips.embeddings[..., :64].mean(2) > 145).astype(np.float32)


def test_a_network_that_is_kept_is_not_trained_again(clips, targets, tmp_path):
    np.testing.assert_array_equal(targets[:, 0], clips.labels[:, 0])
    assert targets.shape == (len(clips), 4)
    train, validation = audioset_data.split_clips(len(clips))
    held_out, truth = clips.take(validation), targets[validation, 0]

    def trained(folder, jobs):
        tasks = [
            (folder / f"{seed}.pt", best_train.BestSettings(TINY, seed=seed, **QUICK),
             clips.take(train), targets[train])
            for seed in (0, 1)
        ]  # fmt: skip
        nets = audioset_best.train_members(tasks, jobs)
        return [answers(net, held_out)[0] for net in nets], [t[0].stat().st_mtime_ns for t in tasks]

    # Alone or side by side, now or later, the same settings give the same network.
    said, written = trained(tmp_path, 1)
    np.testing.assert_array_equal(trained(tmp_path / "again", 2)[0], said)
    assert all(audioset_best.evaluate(truth, one)["roc_auc"] > 0.85 for one in said)
    assert trained(tmp_path, 1)[1] == written


def test_the_head_learns_rows_from_what_it_is_told(clips, targets, loud):
    # Told that the second half of every clip is the target, whatever its label says: a row knows
    # nothing of its place, so it can only learn that each is as likely as not.
    told = np.tile((np.arange(10) >= 5).astype(np.float32), (len(clips), 1))
    settings = best_train.BestSettings(TINY_HEAD, rows_weight=1.0, mixup=0.0, **QUICK)
    net = best_train.train_net(settings, clips, targets, told, BestNet(TINY_HEAD))
    assert abs(answers(net, clips)[1].mean() - 0.5) < 0.05
    # Told what tells the rows apart, it learns that.
    net = best_train.train_net(settings, clips, targets, loud, BestNet(TINY_HEAD))
    rows = answers(net, clips)[1]
    assert ((rows > 0.5) == (loud > 0.5))[clips.mask].mean() > 0.9


def test_what_the_head_learns_comes_from_its_teachers(data, clips, targets, tmp_path):
    left = audioset_best.load_unlabelled(data)
    small = dataclasses.replace(audioset_best.SECONDS_NET, width=8, heads=2, n_classes=4)
    one = best_train.BestSettings(TINY, epochs=1, batch_size=32)
    settings = {
        "teachers": [one], "students": [one, dataclasses.replace(one, seed=1)],
        "seconds": [dataclasses.replace(one, net=small)] * 2,
    }  # fmt: skip
    index = np.arange(300)
    given = ("check", index, clips, targets, left, tmp_path, settings)
    joined, clip, rows = audioset_best.teach(*given)
    assert clip.shape == (300 + len(left), 1) and rows.shape == (len(joined), 10)
    expected = {}
    for part, kind in enumerate(("students", "seconds")):
        nets = [audioset_best.load_net(tmp_path / f"check-{kind}{i}.pt") for i in (0, 1)]
        expected[kind] = np.mean([answers(net, joined)[part] for net in nets], axis=0)
    # bfloat16 has three digits.
    np.testing.assert_allclose(clip[:, 0], expected["students"], atol=0.01)
    np.testing.assert_allclose(rows[joined.mask], expected["seconds"][joined.mask], atol=0.01)
    # Asked again, not trained again.
    settings["students"] = [dataclasses.replace(one, epochs=0)] * 2
    _, again, rows_again = audioset_best.teach(*given)
    np.testing.assert_array_equal(again, clip)
    np.testing.assert_array_equal(rows_again, rows)


def test_a_head_of_full_rank_begins_as_its_student(clips, targets, loud):
    student = BestNet(dataclasses.replace(TINY, depth=2)).train()
    settings = best_train.BestSettings(student.settings, **(QUICK | {"epochs": 4}))
    student = best_train.train_net(settings, clips, targets, net=student)
    told = answers(student, clips)
    head = begin_as(student, dataclasses.replace(TINY_HEAD, rank=16), clips, loud)
    got = answers(head, clips)
    # Batch normalisation folded, in another order of sums.
    np.testing.assert_allclose(got[0], told[0], atol=1e-4)
    # A row's answer is the best that is linear in features of that row.
    assert ((got[1] > 0.5) == (loud > 0.5))[clips.mask].mean() > 0.8
    # Of half the rank it says nearly the same.
    half = answers(begin_as(student, TINY_HEAD, clips, loud), clips)
    assert 1e-4 < np.abs(half[0] - told[0]).mean() < 0.1


def test_clips_with_human_labels_a_second_and_all_labels_stay_out(data):
    whole = audioset_data.load_part(data, "eval")
    kept_back, _ = audioset_data.load_strong_speech(data)
    left = audioset_best.load_unlabelled(data)
    assert 0 < len(left) < len(whole) and not left.labels.any()
    assert set(whole.video_ids) - set(left.video_ids) == set(kept_back)


def test_byte_dropout_keeps_the_mean_and_its_rate():
    torch.manual_seed(0)
    dropout = ByteDropout(0.4)
    got = dropout(torch.ones(1000, 301))
    rate = 1 - 102 / 256
    # 301,000 draws: the share kept has a deviation of 0.0009.
    assert (got > 0).float().mean() == pytest.approx(rate, abs=0.005)
    torch.testing.assert_close(got[got > 0], torch.full_like(got[got > 0], 1 / rate))
    torch.manual_seed(0)
    torch.testing.assert_close(dropout(torch.ones(1000, 301)), got)
    assert (dropout.eval()(torch.ones(7)) == 1).all()


def test_a_clips_evidence_meets_its_neighbours_and_a_second_does_not():
    torch.manual_seed(0)
    x = torch.rand(2, 10, 128) * 2 - 1
    small = dataclasses.replace(audioset_best.SECONDS_NET, width=16, convs=1)
    for net in (BestNet(TINY_HEAD).eval(), BestNet(small).eval()):
        with torch.no_grad():
            clip, rows = net(x, torch.ones(2, 10) > 0)
            alone, alone_rows = net(x.reshape(20, 1, 128), torch.ones(20, 1) > 0)
        # float32 sums in another order.
        torch.testing.assert_close(rows, alone_rows.view(2, 10), atol=1e-5, rtol=0)
        shuffled = net(x[:, [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]], torch.ones(2, 10) > 0)[0]
        assert (clip - shuffled).abs().max() > 1e-4
        # Beyond an end stands the end again: a clip that never changes sounds like its one row.
        with torch.no_grad():
            still = net(x[:, :1].expand(2, 10, 128), torch.ones(2, 10) > 0)[0]
        torch.testing.assert_close(still, alone[::10], atol=1e-4, rtol=1e-4)


def test_dimensions_that_last_weigh_more_than_those_that_jump():
    rng = np.random.default_rng(0)
    lasting = np.repeat(rng.normal(size=(200, 1, 1)), 10, 1)
    values = np.where(np.arange(128) < 64, lasting, 0.0) + 0.5 * rng.normal(size=(200, 10, 128))
    rows = np.clip(128 + 40 * values, 0, 255).astype(np.uint8)
    clips = audioset_data.ClipSet(rows, np.full(200, 10), np.ones((200, 2)) > 0, np.arange(200))
    scale = best_train.persistence_scale(clips, 2.0)
    assert np.mean(scale**2) == pytest.approx(1)
    # A lasting part of variance 1 beside noise of .25 correlates by .8, noise alone by nothing.
    assert scale[:64].min() > 5 * scale[64:].max()
    one, two = (best_train.persistence_scale(clips, power)[0] for power in (0.0, 1.0))
    assert one == pytest.approx(1) and 1 < two < scale[0] * 1.01
    settings = best_train.BestSettings(net=TINY, epochs=1, batch_size=32, persistence=2.0)
    net = best_train.train_net(settings, clips, np.ones((200, 4), np.float32))
    np.testing.assert_allclose(net.input_scale, scale)


def test_cropping_keeps_a_run_of_rows():
    rng = np.random.default_rng(0)
    x = torch.arange(10.0)[None, :, None].expand(4, 10, 3)
    lengths = torch.tensor([10, 10, 10, 1])
    for _ in range(20):
        got, mask = best_train._crop(x, row_mask(lengths), lengths, rng)
        assert 3 <= got.shape[1] <= 9 and mask[:3].all() and mask.any(1).all()
        assert (got.diff(dim=1) == 1).all()


def test_folds_are_of_equal_size_and_repeat():
    fold = audioset_best.fold_of(1002)
    sizes = np.bincount(fold)
    assert len(sizes) == audioset_best.N_FOLDS and np.ptp(sizes) <= 1
    np.testing.assert_array_equal(fold, audioset_best.fold_of(1002))


def test_a_network_of_another_version_is_named(tmp_path):
    torch.save({"settings": {"row_rank": 64}, "weights": {}}, tmp_path / "old.pt")
    with pytest.raises(ModelError, match=r"old\.pt: is of another version"):
        audioset_best.load_net(tmp_path / "old.pt")
