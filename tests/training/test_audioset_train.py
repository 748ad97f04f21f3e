import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from gate.errors import ConfigError
from training import cli
from training.audioset import grids, runner
from training.audioset import train as audioset_train
from training.audioset.loop import predict
from training.audioset.metrics import choose_thresholds, evaluate, seconds_figures
from training.audioset.settings import RunSettings
from training.audioset.train import augment_positives


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


def seconds_of(scores, lengths, coverage, ids=("a",), strong_ids=("a",)):
    clips = SimpleNamespace(video_ids=np.array(ids), lengths=np.array(lengths))
    figures = seconds_figures(clips, np.array(scores), np.array(strong_ids), np.array(coverage))
    return figures["seconds_roc_auc"], figures["seconds_roc_auc_strict"]


def test_seconds_leave_padding_out():
    coverage = [[1.0] * 5 + [0.0] * 5, [0.0] * 10]
    scores = np.zeros((2, 10))
    scores[1, :5] = 0.9  # clip "b" is the second of the scored ones
    scores[0, 8:] = 1.0  # rows past the end of "a": wrong, and must not count
    names = (("a", "b"), ("b", "a"))
    assert seconds_of(scores, [8, 10], coverage, *names) == (1.0, 1.0)
    assert seconds_of(scores, [10, 10], coverage, *names)[0] < 1.0


def test_seconds_with_a_little_speech_count_in_the_strict_measure_only():
    plain, strict = seconds_of([[0.9, 0.5, 0.7, 0.1, 0.2]], [5], [[1.0, 0.5, 0.4, 0.0, 0.0]])
    # Of two positives and three negatives, one pair of six is the wrong way round.
    assert (plain, strict) == (1.0, pytest.approx(5 / 6))


@pytest.mark.parametrize("kind", ["constant", "halves"])
def test_augmentation_adds_one_copy_of_each_positive(kind):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (20, 10, 128)).astype(np.uint8)
    lengths = rng.integers(1, 11, 20)
    x *= (np.arange(10) < lengths[:, None])[..., None]
    targets = (np.arange(20) % 3 == 0).astype(np.float32)
    positives = np.flatnonzero(targets)
    got, got_lengths, got_targets = augment_positives(x, lengths, targets, kind, rng)
    np.testing.assert_array_equal(got[:20], x)
    assert got_targets[20:].all() and len(got) == 20 + len(positives)
    np.testing.assert_array_equal(got_lengths[20:], lengths[positives])
    assert not got[np.arange(10) >= got_lengths[:, None]].any()
    for copy, i in zip(got[20:].astype(int), positives, strict=True):
        copy, n = copy[: lengths[i]], lengths[i]
        if kind == "constant":
            (change,) = np.unique((copy - x[i, :n])[(copy > 0) & (copy < 255)])
            assert 1 <= abs(change) <= 16
        else:
            assert any((copy == (x[i, :n].astype(int) + x[j, :n]) // 2).all() for j in positives)


def test_a_run_learns_keeps_its_best_epoch_and_repeats_itself(trained):
    settings, parts, model, record = trained
    assert record["val_loss"] == min(e["val_loss"] for e in record["history"])
    # The synthetic rule is easy: half the bytes are 40 higher.
    assert record["validation"]["roc_auc"] > 0.9
    *validation, truth = parts[1]
    scores, rows = predict(model, *validation)
    assert evaluate(truth, scores) == record["validation"] and rows is None
    assert audioset_train.fit(settings, *parts)[1]["history"] == record["history"]


@pytest.mark.parametrize(
    ("optimiser", "loss"), [("adam", "ce"), ("rmsprop", "bce"), ("adagrad", "ce")]
)
def test_losses_and_optimisers_learn(trained, optimiser, loss):
    settings = RunSettings(options={"hidden": 0}, loss=loss, optimiser=optimiser, epochs=4)
    _, record = audioset_train.fit(settings, *trained[1])
    assert record["history"][-1]["train_loss"] < record["history"][0]["train_loss"]
    assert record["validation"]["roc_auc"] > 0.8


def test_early_stopping_waits_for_its_patience(trained):
    settings = RunSettings(options={"hidden": 64}, epochs=40, patience=2, learning_rate=0.02)
    _, record = audioset_train.fit(settings, *trained[1])
    assert len(record["history"]) - 1 - record["best_epoch"] == 2


@pytest.mark.parametrize(("change", "message"), [
    ({"loss": "mse"}, "loss='mse' must be bce, ce"),
    ({"split": "random"}, "split='random'"),
    ({"patience": 0}, "patience=0 must be >= 1"),
])  # fmt: skip
def test_settings_are_checked(change, message):
    with pytest.raises(ConfigError, match=message):
        RunSettings(**change)


def test_a_target_nobody_carries_is_refused(data):
    settings = RunSettings(target="Singing", exclude=("Human voice", "Drum kit", "Wind"))
    with pytest.raises(ConfigError, match="with and without"):
        audioset_train.prepare(settings, data)


def test_finished_runs_are_not_run_again(data, tmp_path, monkeypatch):
    store, cache = runner.RunStore(tmp_path), tmp_path / "cache"
    runs = [RunSettings(options={"hidden": h}, epochs=1, learning_rate=1e-3) for h in (0, 4)]
    runner.run_all("table1", runs, store, data, cache)
    first = [store.load(settings) for settings in runs]
    assert all(f["eval_roc_auc"] > 0.5 for f in first) and len(store.history(runs[0])) == 1

    monkeypatch.setattr(runner, "execute", None)  # whatever runs now fails
    # What is in the table counts, whoever wrote it.
    store = runner.RunStore(tmp_path)
    runner.run_all("table1", runs, store, data, cache)
    assert [store.load(settings) for settings in runs] == first and store.total()[0] == 2
    with pytest.raises(TypeError, match="NoneType"):
        runner.run_all("table3", [RunSettings(options={"hidden": 4})], store, data, cache)
    lines = (tmp_path / "runs.csv").read_text().splitlines()
    assert len(lines) == 3 and lines[0].startswith("sweep,arch,options")


def test_only_what_is_to_be_scored_is_scored_on_eval(data, tmp_path):
    store = runner.RunStore(tmp_path)
    run = RunSettings(arch="multi-level", options={"width": 8}, epochs=1)
    for name, scored in (("table3", False), ("others", False), ("related", True)):
        runner.run_all(name, [run], store, data, tmp_path / "cache")
        assert ("eval_ap" in store.load(run)) == scored
    assert 0 < store.load(run)["eval_seconds_roc_auc_strict"] < 1
    assert store.total()[0] == 1


def test_sweeps_build_on_our_own_grids(tmp_path):
    store = runner.RunStore(tmp_path)
    with pytest.raises(ConfigError, match="must come after one of ours"):
        grids.experiment("finals", store)
    sizes = {}
    for name in grids.OWN:
        runs = grids.experiment(name, store)
        sizes[name.removeprefix("own-")] = len(runs)
        for i, settings in enumerate(runs):
            record = {"history": [], "best_epoch": 0, "val_loss": 1.0 - 0.01 * (i == 1)}
            store.save(name, settings, record | {"n_parameters": 1, "seconds": 1.0})
    assert sizes == {"linear": 24, "conv1d": 11, "conv2d": 4, "lstm": 8, "transformer": 6}
    finals = grids.experiment("finals", store)
    assert len(finals) == 15 and {s.seed for s in finals} == {0, 1, 2}
    first = grids.experiment("own-linear", store)[1]
    assert (finals[0].options, finals[0].optimiser) == (first.options, first.optimiser)
    assert all(s.split == "eval" for s in grids.experiment("sanity", store))


def test_the_papers_rows_are_all_there():
    tables = {name: grids.paper_rows(name) for name in grids.PAPER}
    assert [len(rows) for rows in tables.values()] == [4, 2, 20, 14, 16, 10]
    runs = [settings for rows in tables.values() for settings, _ in rows]
    # A row that repeats another one's settings has the next seed: no run stands in two rows.
    assert len({runner.RunStore.label(s) for s in runs}) == len(runs)
    assert all(s.split == "file-order" and s.target == "Speech" for s in runs)
    settings, paper = tables["table4"][9]
    assert settings.options == {"active_layers": 4, "kernel": 3, "dropout": 0.2}
    assert (settings.batch_size, settings.learning_rate) == (32, 0.001)
    assert paper == {"val_loss": 4.4892}
    assert tables["table1"][3][1] == {"val_loss": 0.5297, "f1": 0.7442}


def test_names_and_grids_need_no_torch():
    code = (
        "import sys, training.audioset.cli, training.audioset.runner; print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_the_command_trains_one_run_and_prints_json(data, tmp_path, capsys):
    arguments = ["audioset", "--data", str(data), "--runs", str(tmp_path), "--epochs", "2"]
    assert cli.main([*arguments, "--arch", "lstm", "--set", "hidden=8", "--score-eval"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["arch"] == "lstm" and 0 <= report["eval"]["accuracy"] <= 1


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--set", "hidden"], "set='hidden' must be NAME=VALUE"),
        (["--set", "hidden=many"], "must be NAME=VALUE, a number, true or false"),
        (["--set", "hiden=3"], "unexpected keyword argument 'hiden'"),
        (["--target", "Speach"], "did you mean 'speech'"),
        (["--jobs", "0"], "jobs=0 must be >= 1"),
        (["--export"], "must hold a best model"),
        (["--data", "none"], "data=none must hold audioset_v1_embeddings/bal_train; looked in"),
        (["--data", "none"], "(say where with --data, or with data: in --config)"),
    ],
)
def test_bad_options_are_one_line_and_exit_with_2(data, tmp_path, capsys, extra, message):
    assert cli.main(["audioset", "--data", str(data), "--runs", str(tmp_path), *extra]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert message in error and error.startswith("gate-train: ")


def test_without_torch_the_command_says_what_to_install(monkeypatch, capsys):
    def missing(path):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(cli.importlib, "import_module", missing)
    assert cli.main(["audioset"]) == 1
    error = capsys.readouterr().err
    assert error.splitlines() == [
        'gate-train: torch is missing: pip install "exemplar-gate[training]"'
    ]
