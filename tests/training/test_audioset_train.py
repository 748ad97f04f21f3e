import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch (extra [training]) is not installed")
pytest.importorskip("sklearn", reason="scikit-learn (extra [training]) is not installed")

from audioset_shards import write_data  # noqa: E402

from gate.errors import ConfigError  # noqa: E402
from training import cli  # noqa: E402
from training.audioset import best as audioset_best  # noqa: E402
from training.audioset import best_train  # noqa: E402
from training.audioset import data as audioset_data  # noqa: E402
from training.audioset import sweeps as audioset_sweeps  # noqa: E402
from training.audioset import train as audioset_train  # noqa: E402
from training.audioset.best_net import BestNet, BestNetSettings, ByteDropout, RowNorm  # noqa: E402
from training.audioset.metrics import choose_thresholds, evaluate, per_second_roc_auc  # noqa: E402
from training.audioset.train import RunSettings, augment_positives  # noqa: E402


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audioset")
    write_data(folder)
    return folder


@pytest.fixture(scope="module")
def trained(data):
    settings = RunSettings(options={"hidden": 16}, epochs=6, batch_size=32)
    parts = audioset_train.prepare(settings, data)
    return settings, parts, *audioset_train.fit(settings, *parts)


def test_micro_f1_of_two_classes_is_the_accuracy():
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(0)
    targets = (rng.random(500) < 0.26).astype(float)
    scores = np.clip(0.3 * targets + rng.random(500) * 0.7, 0, 1)
    figures = evaluate(targets, scores)
    called = scores >= 0.5
    assert figures["accuracy"] == pytest.approx(f1_score(targets, called, average="micro"))
    assert figures["f1_class"] == pytest.approx(f1_score(targets, called))
    assert evaluate(targets, scores * 0)["accuracy"] == pytest.approx(1 - targets.mean())


def test_thresholds_are_near_the_best_of_a_grid():
    rng = np.random.default_rng(1)
    targets = (rng.random(3000) < 0.3).astype(float)
    scores = 1 / (1 + np.exp(-(2.5 * targets - 1.5 + rng.standard_normal(3000))))
    accuracy_threshold, f1_threshold = choose_thresholds(targets, scores)
    figures = evaluate(targets, scores, accuracy_threshold, f1_threshold)
    grid = [evaluate(targets, scores, t) for t in np.linspace(0.02, 0.98, 97)]
    # 0.1 % is how far from the best the averaged settings may lie; twice that leaves room.
    assert figures["accuracy"] >= max(g["accuracy"] for g in grid) - 0.002
    assert figures["f1_class"] >= max(g["f1_class"] for g in grid) - 0.002
    assert f1_threshold < accuracy_threshold


def test_per_second_figures_leave_padding_out():
    ids, coverage = np.array(["b", "a"]), np.array([[1.0] * 5 + [0.0] * 5, [0.0] * 10])
    scores = np.zeros((2, 10))
    scores[1, :5] = 0.9  # clip "b" is the second of the scored ones
    scores[0, 8:] = 1.0  # rows past the end of "a": wrong, and must not count
    lengths = np.array([8, 10])
    found = per_second_roc_auc(np.array(["a", "b"]), scores, lengths, ids, coverage)
    assert found == (1.0, 2)
    assert (
        per_second_roc_auc(np.array(["a", "b"]), scores, np.array([10, 10]), ids, coverage)[0] < 1.0
    )


def test_seconds_with_a_little_speech_count_in_the_strict_measure_only():
    ids, coverage = np.array(["a"]), np.array([[1.0, 0.5, 0.4, 0.0, 0.0]])
    labelled = (ids, np.array([[0.9, 0.5, 0.7, 0.1, 0.2]]), np.array([5]), ids, coverage)
    assert per_second_roc_auc(*labelled)[0] == 1.0
    # Of two positives and three negatives, one pair of six is the wrong way round.
    assert per_second_roc_auc(*labelled, strict=True)[0] == pytest.approx(5 / 6)


def test_augmentation_adds_one_copy_of_each_positive():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (20, 10, 128)).astype(np.uint8)
    lengths = rng.integers(1, 11, 20)
    x *= (np.arange(10) < lengths[:, None])[..., None]
    targets = (np.arange(20) % 3 == 0).astype(np.float32)
    positives = np.flatnonzero(targets)
    for kind in ("constant", "halves"):
        got, got_lengths, got_targets = augment_positives(x, lengths, targets, kind, rng)
        np.testing.assert_array_equal(got[:20], x)
        assert got_targets[20:].all() and len(got) == 20 + len(positives)
        np.testing.assert_array_equal(got_lengths[20:], lengths[positives])
        past_end = np.arange(10) >= got_lengths[:, None]
        assert not got[past_end].any()
        if kind == "constant":
            for copy, source, n in zip(got[20:], x[positives], lengths[positives], strict=True):
                change = copy[:n].astype(int) - source[:n]
                inner = (copy[:n] > 0) & (copy[:n] < 255)
                assert len(np.unique(change[inner])) == 1
                assert 1 <= abs(change[inner][0]) <= 16
        else:
            for copy, i in zip(got[20:], positives, strict=True):
                halves = [(x[i].astype(int) + x[j]) // 2 for j in positives]
                n = lengths[i]
                assert any((copy[:n] == half[:n]).all() for half in halves)


def test_a_run_learns_and_keeps_its_best_epoch(trained):
    _, (_, validation), model, result = trained
    losses = [e["val_loss"] for e in result.history]
    assert result.best_val_loss == min(losses)
    # The synthetic rule is easy: half the bytes are 40 higher.
    assert result.validation["roc_auc"] > 0.9
    scores, rows = audioset_train.predict(model, *validation[:2])
    assert evaluate(validation[2], scores) == result.validation and rows is None


def test_a_run_repeats_itself(trained):
    settings, parts, _, result = trained
    _, again = audioset_train.fit(settings, *parts)
    assert again.history == result.history


@pytest.mark.parametrize("loss", ["bce", "ce"])
@pytest.mark.parametrize("optimiser", audioset_train.OPTIMISERS)
def test_losses_and_optimisers_learn(data, loss, optimiser):
    settings = RunSettings(options={"hidden": 0}, loss=loss, optimiser=optimiser, epochs=4)
    _, result = audioset_train.fit(settings, *audioset_train.prepare(settings, data))
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
    assert result.validation["roc_auc"] > 0.8


def test_early_stopping_waits_for_its_patience(data):
    settings = RunSettings(options={"hidden": 64}, epochs=40, patience=2, learning_rate=0.02)
    _, result = audioset_train.fit(settings, *audioset_train.prepare(settings, data))
    assert len(result.history) - 1 - result.best_epoch == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "mse"}, "loss='mse' must be bce, ce"),
        ({"split": "random"}, "split='random'"),
        ({"fraction": 0.0}, r"fraction=0\.0 must be in"),
        ({"patience": 0}, "patience=0 must be >= 1"),
    ],
)
def test_settings_are_checked(change, message):
    with pytest.raises(ConfigError, match=message):
        RunSettings(**change)


def test_a_target_nobody_carries_is_refused(data):
    settings = RunSettings(target="Wind", fraction=0.02)
    with pytest.raises(ConfigError, match="with and without"):
        audioset_train.prepare(settings, data)


def test_finished_runs_are_not_run_again(data, tmp_path, monkeypatch):
    store = audioset_sweeps.RunStore(tmp_path)
    runs = [RunSettings(options={"hidden": h}, epochs=1) for h in (0, 4)]
    audioset_sweeps.run_all(runs, store, data, tmp_path / "cache", score=True)
    records = [store.load(s) for s in runs]
    assert all(r["eval"]["roc_auc"] > 0.5 for r in records)
    assert store.scores(runs[0])["eval"].shape == (200,)

    def fail(*args):
        raise AssertionError("ran again")

    monkeypatch.setattr(audioset_sweeps, "execute", fail)
    seen = []
    audioset_sweeps.run_all(
        runs, store, data, tmp_path / "cache", True, progress=lambda s, r: seen.append(r)
    )
    assert seen == records
    audioset_sweeps.write_csv(tmp_path / "runs.csv", [("table1", s) for s in runs], store)
    lines = (tmp_path / "runs.csv").read_text().splitlines()
    assert len(lines) == 3 and lines[0].startswith("sweep,arch,options")


def test_sweeps_build_on_the_tables(tmp_path):
    store = audioset_sweeps.RunStore(tmp_path)
    with pytest.raises(ConfigError, match="must come after a table"):
        audioset_sweeps.experiment("finals", store)
    for name in audioset_sweeps.TABLES:
        for i, settings in enumerate(audioset_sweeps.table_grid(name)):
            store.save(settings, {"best_val_loss": 1.0 - 0.01 * (i == 1), "eval": {}})
    finals, score = audioset_sweeps.experiment("finals", store)
    assert score and len(finals) == 15
    assert finals[0].options == audioset_sweeps.table_grid("table1")[1].options
    assert {s.seed for s in finals} == {0, 1, 2}
    sanity, score = audioset_sweeps.experiment("sanity", store)
    assert not score and all(s.split == "eval" for s in sanity)


def test_grids_vary_what_the_paper_varied():
    grids = {name: audioset_sweeps.table_grid(name) for name in audioset_sweeps.TABLES}
    assert {s.loss for s in grids["table1"]} == {"bce", "ce"}
    assert {s.optimiser for s in grids["table1"]} == {"adam", "rmsprop", "adagrad"}
    assert {s.options["active_layers"] for s in grids["table2"]} == set(range(1, 9))
    assert {s.options["start_end_rows"] for s in grids["table4"]} == {True, False}
    for runs in grids.values():
        assert len({audioset_sweeps.run_key(s) for s in runs}) == len(runs)


TINY = BestNetSettings(width=16, depth=1, heads=2, n_classes=4, dropout=0.1)


def test_the_best_model_is_checked_on_clips_it_did_not_see(data, tmp_path):
    classes = audioset_data.ClassList.load(data)
    clips = audioset_data.load_part(data, "bal_train")
    targets = audioset_best.label_matrix(clips, classes, "Speech")
    np.testing.assert_array_equal(targets[:, 0], clips.labels[:, 0])
    assert targets.shape == (len(clips), 4)
    base = audioset_best.BestSettings(net=TINY, epochs=12, batch_size=32, learning_rate=0.01)
    seconds = dataclasses.replace(base, fold=0)
    members = [base, dataclasses.replace(base, splice=0.5, mixup=0.0), seconds]
    check = audioset_best.check_members(members, clips, targets, tmp_path)
    assert check["validation"]["ensemble"]["roc_auc"] > 0.85
    assert list(check["validation"]) == ["member0", "member1", "ensemble"]

    train, validation = audioset_data.split_clips(len(clips))
    again = audioset_best.train_net(members[1], clips.take(train), targets[train])
    kept = audioset_best.load_net(tmp_path / "check1.pt")
    for got, expected in zip(
        audioset_best.predict_net(kept, clips.take(validation)),
        audioset_best.predict_net(again, clips.take(validation)),
        strict=True,
    ):
        np.testing.assert_array_equal(got, expected)

    for m, member in enumerate(members):
        path = tmp_path / f"final{m}.pt"
        audioset_best.train_member(member, clips, targets, path, lambda *a, **k: None)
        # Nothing is trained a second time.
        audioset_best.train_member(member, clips, targets, path, pytest.fail)
    final = audioset_best.load_ensemble(tmp_path, [False, False, True])
    clip, rows = audioset_best.predict_net(final, clips)
    parts = [audioset_best.predict_net(net, clips) for net in final.nets]
    # The logit and back, in float32.
    np.testing.assert_allclose(clip, np.mean([c for c, _ in parts[:2]], axis=0), atol=1e-5)
    logit = lambda p: np.log(p / (1 - p))  # noqa: E731
    np.testing.assert_allclose(logit(rows), logit(parts[2][1]), atol=1e-3)


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


def test_the_command_trains_one_run_and_prints_json(data, tmp_path, capsys):
    arguments = ["audioset", "--data", str(data), "--runs", str(tmp_path), "--epochs", "2"]
    assert cli.main([*arguments, "--arch", "lstm", "--set", "hidden=8", "--score-eval"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["arch"] == "lstm" and 0 <= report["eval"]["accuracy"] <= 1


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--set", "hidden"], "set='hidden' must be NAME=VALUE"),
        (["--set", "hidden=many"], "must have a number"),
        (["--set", "hiden=3"], "unexpected keyword argument 'hiden'"),
        (["--target", "Speach"], "did you mean 'speech'"),
        (["--jobs", "0"], "jobs=0 must be >= 1"),
        (["--export"], "must hold a best model"),
    ],
)
def test_bad_options_are_one_line_and_exit_with_2(data, tmp_path, capsys, extra, message):
    assert cli.main(["audioset", "--data", str(data), "--runs", str(tmp_path), *extra]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error and error.startswith("gate-train: ")


def test_missing_data_is_one_line_and_exits_with_2(tmp_path, capsys):
    assert cli.main(["audioset", "--data", str(tmp_path), "--runs", str(tmp_path)]) == 2
    assert "give --data" in capsys.readouterr().err


def test_without_torch_the_command_says_what_to_install(monkeypatch, capsys):
    def missing(path):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(cli.importlib, "import_module", missing)
    assert cli.main(["audioset"]) == 1
    error = capsys.readouterr().err
    assert error.splitlines() == [
        'gate-train: torch is missing: pip install "exemplar-gate[training]"'
    ]
