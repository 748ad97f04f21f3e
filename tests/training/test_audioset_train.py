import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch (extra [training]) is not installed")
pytest.importorskip("sklearn", reason="scikit-learn (extra [training]) is not installed")

from gate.errors import ConfigError  # noqa: E402
from training import cli  # noqa: E402
from training.audioset import sweeps as audioset_sweeps  # noqa: E402
from training.audioset import train as audioset_train  # noqa: E402
from training.audioset.metrics import choose_thresholds, evaluate, per_second_roc_auc  # noqa: E402
from training.audioset.train import RunSettings, augment_positives  # noqa: E402


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
    assert "say where with --data" in capsys.readouterr().err


def test_without_torch_the_command_says_what_to_install(monkeypatch, capsys):
    def missing(path):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(cli.importlib, "import_module", missing)
    assert cli.main(["audioset"]) == 1
    error = capsys.readouterr().err
    assert error.splitlines() == [
        'gate-train: torch is missing: pip install "exemplar-gate[training]"'
    ]
