"""The best model of the AudioSet embeddings: its networks, their training, the ensemble."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch (extra [training]) is not installed")
pytest.importorskip("sklearn", reason="scikit-learn (extra [training]) is not installed")

from training.audioset import best as audioset_best  # noqa: E402
from training.audioset import best_train, unlabelled  # noqa: E402
from training.audioset import data as audioset_data  # noqa: E402
from training.audioset import train as audioset_train  # noqa: E402
from training.audioset.best_net import BestNet, BestNetSettings, ByteDropout, RowNorm  # noqa: E402

TINY = BestNetSettings(width=16, depth=1, heads=2, n_classes=4, dropout=0.1)


def test_a_network_that_is_kept_is_not_trained_again(data, tmp_path):
    classes = audioset_data.ClassList.load(data)
    clips = audioset_data.load_part(data, "bal_train")
    targets = audioset_best.label_matrix(clips, classes, "Speech")
    np.testing.assert_array_equal(targets[:, 0], clips.labels[:, 0])
    assert targets.shape == (len(clips), 4)
    base = audioset_best.BestSettings(net=TINY, epochs=12, batch_size=32, learning_rate=0.01)
    settings = [base, dataclasses.replace(base, splice=0.5, mixup=0.0)]
    train, validation = audioset_data.split_clips(len(clips))
    held_out, truth = clips.take(validation), targets[validation, 0]
    tasks = [
        (s, clips.take(train), targets[train], tmp_path / f"check{m}.pt")
        for m, s in enumerate(settings)
    ]
    nets = audioset_best.train_members(tasks)
    # Alone or side by side, now or later, the same settings give the same network.
    again = audioset_best.train_members(
        [(*t[:3], tmp_path / "again" / t[3].name) for t in tasks], 2
    )
    for one, other in zip(nets, again, strict=True):
        for got, expected in zip(
            audioset_best.predict_net(one, held_out),
            audioset_best.predict_net(other, held_out),
            strict=True,
        ):
            np.testing.assert_array_equal(got, expected)
    audioset_best.train_member(*tasks[0], pytest.fail)

    check = audioset_best.check_clips(tmp_path, 2, held_out, truth)
    assert check["validation"]["ensemble"]["roc_auc"] > 0.85
    assert list(check["validation"]) == ["member0", "member1", "ensemble"]


def test_clips_and_seconds_come_from_networks_of_their_own(data):
    torch.manual_seed(0)
    clips = audioset_data.load_part(data, "bal_train")
    small = dataclasses.replace(audioset_best.SECONDS_NET, width=16, heads=2, n_classes=4)
    nets = [BestNet(TINY).eval(), BestNet(TINY).eval(), BestNet(small).eval()]
    final = audioset_best.Ensemble(nets, [False, False, True]).eval()
    clip, rows = audioset_best.predict_net(final, clips)
    parts = [audioset_best.predict_net(net, clips) for net in final.nets]
    # The logit and back, in float32.
    np.testing.assert_allclose(clip, (parts[0][0] + parts[1][0]) / 2, atol=1e-5)
    np.testing.assert_allclose(rows, parts[2][1], atol=1e-5)


def test_clips_with_human_labels_a_second_and_all_labels_stay_out(data):
    whole = audioset_data.load_part(data, "eval")
    kept_back, _ = audioset_data.load_strong_speech(data)
    left = unlabelled.load_unlabelled(data)
    assert 0 < len(left) < len(whole) and not left.labels.any()
    assert set(whole.video_ids) - set(left.video_ids) == set(kept_back)


def test_soft_labels_are_the_mean_of_the_teachers(data):
    torch.manual_seed(0)
    clips = unlabelled.load_unlabelled(data)
    nets = [BestNet(TINY).eval() for _ in range(2)]
    one, other = (unlabelled.soft_labels([net], clips) for net in nets)
    assert one.shape == (len(clips), 4) and np.abs(one - other).max() > 0.05
    # Computed in bfloat16, here seven at a time.
    both = unlabelled.soft_labels(nets, clips, batch_size=7)
    np.testing.assert_allclose(both, (one + other) / 2, atol=0.01)


def test_heard_and_unheard_halves_are_told_apart(data):
    """A network that knows its half by heart and nothing else."""
    left = unlabelled.load_unlabelled(data)
    whole = audioset_data.load_part(data, "eval")
    truth = whole.labels[:, 0].astype(np.float32)
    where = {video_id: i for i, video_id in enumerate(whole.video_ids)}
    mine = truth[[where[v] for v in left.video_ids]]
    key = {bytes(e): t for e, t in zip(left.embeddings, mine, strict=True)}

    class ByHeart(torch.nn.Module):
        def __init__(self, heard):
            super().__init__()
            self.known = {bytes(e) for e in left.embeddings[heard]}

        def forward(self, x, mask):
            rows = ((x * 127.5 + 127.5).round() * mask[..., None]).byte().numpy()
            scores = [9.0 * (2 * key[bytes(r)] - 1) if bytes(r) in self.known else 0 for r in rows]
            return torch.tensor(scores)[:, None].float(), x[..., 0]

    nets = [ByHeart(half) for half in unlabelled.halves(len(left))]
    figures = unlabelled.unheard_figures(nets, left, whole, truth)
    assert figures["heard"]["roc_auc"] == 1.0
    assert figures["unheard"]["roc_auc"] == 0.5


def test_the_live_threshold_parts_clips_with_speech_from_those_without(data):
    clips = audioset_data.load_part(data, "bal_train")
    truth = clips.labels[:, 0].astype(np.float32)
    positive = {bytes(e) for e in clips.embeddings[truth > 0]}

    class Knowing(torch.nn.Module):
        """Logits of -1 and 2 a row."""

        def forward(self, x, mask):
            rows = ((x * 127.5 + 127.5).round() * mask[..., None]).byte().numpy()
            known = torch.tensor([2.0 if bytes(r) in positive else -1.0 for r in rows])
            return known[:, None], known[:, None].expand(x.shape[:2])

    fold = np.arange(len(clips)) % 3
    # Clips of the fold that nobody left out do not count.
    truth[fold == 2] = 1 - truth[fold == 2]
    nets = {0: Knowing(), 1: Knowing()}
    threshold = audioset_best.choose_presence_threshold(clips, truth, fold, nets)
    assert 1 / (1 + np.e) < threshold < 1 / (1 + np.exp(-2))


def test_spliced_clips_keep_the_label_of_each_part():
    rng = np.random.default_rng(0)
    targets = torch.from_numpy(rng.integers(0, 2, (16, 3)).astype(np.float32))
    x = targets[:, :1, None].expand(16, 10, 4).clone()
    spliced, mask, both, parts = best_train._splice(x, torch.ones(16, 10) > 0, targets, rng)
    assert mask.all() and (both >= targets).all()
    for rows, target in parts:
        assert (rows.sum(1) >= 2).all()
        values = spliced[..., 0]
        assert (values[rows] == target[:, None].expand(16, 10)[rows]).all()
    assert (parts[0][0] ^ parts[1][0]).all()


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


def test_a_rows_evidence_comes_from_its_neighbours_at_most():
    torch.manual_seed(0)
    net = BestNet(BestNetSettings(width=16, convs=1, n_classes=1)).eval()
    x = torch.rand(2, 10, 128) * 2 - 1
    with torch.no_grad():
        whole = net(x, torch.ones(2, 10) > 0)[1]
        alone = net(x[:, 3:6], torch.ones(2, 3) > 0)[1]
    # float32 sums in another order.
    torch.testing.assert_close(whole[:, 4], alone[:, 1], atol=1e-5, rtol=0)
    # Beyond an end stands the end again: a clip that never changes sounds the same throughout.
    with torch.no_grad():
        still = net(x[:, :1].expand(2, 10, 128), torch.ones(2, 10) > 0)[1]
    torch.testing.assert_close(still, still[:, :1].expand(2, 10), atol=1e-5, rtol=0)


def test_a_network_for_seconds_decides_each_row_alone():
    torch.manual_seed(0)
    small = dataclasses.replace(audioset_best.SECONDS_NET, width=16, blocks=1, convs=1)
    net = BestNet(small).eval()
    x = torch.rand(2, 10, 128) * 2 - 1
    with torch.no_grad():
        clip, rows = net(x, torch.ones(2, 10) > 0)
        alone = net(x.reshape(20, 1, 128), torch.ones(20, 1) > 0)[1]
    # float32 sums in another order.
    torch.testing.assert_close(rows, alone.view(2, 10), atol=1e-5, rtol=0)
    assert clip.shape == (2, small.n_classes)


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
    settings = audioset_best.BestSettings(net=TINY, epochs=1, batch_size=32, persistence=2.0)
    net = best_train.train_net(settings, clips, np.ones((200, 4), np.float32))
    np.testing.assert_allclose(net.input_scale, scale)


def test_cropping_keeps_a_run_of_rows():
    rng = np.random.default_rng(0)
    x = torch.arange(10.0)[None, :, None].expand(4, 10, 3)
    lengths = torch.tensor([10, 10, 10, 1])
    for _ in range(20):
        got, mask = best_train._crop(x, audioset_train.row_mask(lengths), lengths, rng)
        assert 3 <= got.shape[1] <= 9 and mask[:3].all() and mask.any(1).all()
        assert (got.diff(dim=1) == 1).all()


def test_folds_are_of_equal_size_and_repeat():
    fold = audioset_best.fold_of(1002)
    sizes = np.bincount(fold)
    assert len(sizes) == audioset_best.N_FOLDS and np.ptp(sizes) <= 1
    np.testing.assert_array_equal(fold, audioset_best.fold_of(1002))


def test_batch_normalisation_is_the_same_written_as_scale_and_shift():
    torch.manual_seed(0)
    norm = RowNorm(8)
    for _ in range(3):
        norm(3 * torch.randn(4, 5, 8) + 1)
    norm.eval()
    h = torch.randn(4, 5, 8)
    torch.testing.assert_close(norm(h), norm.norm(h.flatten(0, 1)).view(4, 5, 8))
