"""The metric: what it learns of kinds of sound, and its file."""

from types import SimpleNamespace

import numpy as np
import pytest

from gate.errors import ModelError
from realtime.learn import metric as metric_module
from realtime.learn.head import Basis, HeadShape
from realtime.learn.metric import Metric, load_metric, metric_for, save_metric
from training.voice.metric import RANK, TAUS_S, discriminants, kind_of, learn


def sounds(n_kinds=30, n_each=6, n_hops=14, n_inputs=300, n_useful=6, seed=0):
    """Kinds that differ in a few inputs, recordings that differ in others, and noise."""
    rng = np.random.default_rng(seed)
    names = [("speech s " if i % 2 else "noise n ") + str(i) for i in range(n_kinds)]
    x, source, kind = [], [], []
    for i in range(n_kinds):
        place = np.zeros(n_inputs)
        place[:n_useful] = rng.normal(0, 1.5, n_useful)
        for _ in range(n_each):
            off = np.zeros(n_inputs)
            off[n_useful : 4 * n_useful] = rng.normal(0, 4.0, 3 * n_useful)
            x.append(place + off + rng.normal(0, 1.0, (n_hops, n_inputs)))
            source.append(np.full(n_hops, len(source)))
            kind.append(np.full(n_hops, i))
    return np.concatenate(x).astype(np.float32), *map(np.concatenate, (source, kind)), names


def share(directions, n_useful=6):
    """Of the first directions' weight on the inputs in which kinds differ."""
    weight = np.square(directions).sum(axis=1)
    return weight[:n_useful].sum() / weight.sum()


def test_discriminants_lie_where_kinds_differ_and_not_where_recordings_do():
    x, source, kind, names = sounds()
    mean, directions = discriminants(x, source, kind, names, 6)
    assert share(directions) > 0.7, "6 of 300 inputs"
    inside = (x - mean) @ directions
    assert inside.std() > 0.1 and np.isfinite(directions).all()


def test_learning_keeps_what_tells_kinds_apart_and_is_the_same_again():
    x, source, kind, names = sounds()
    said = []
    mean, directions = learn(x, source, kind, names, steps=100, say=said.append)
    assert directions.shape == (300, RANK) and mean.shape == (300,)
    assert share(directions[:, :6]) > 0.6
    again = learn(x, source, kind, names, steps=100, say=None)[1]
    np.testing.assert_allclose(directions, again, rtol=1e-4, atol=1e-6)
    assert "loss" in said[0]


def test_kinds_have_names():
    def row(**more):
        usual = dict(kind="noise", source="esc10", cls="dog", speaker="", file="a/b.opus")
        return SimpleNamespace(**{**usual, **more})

    assert kind_of(row()) == "noise esc10 dog"
    assert kind_of(row(kind="speech")) is None
    drums = {"source": "hydrogen_drums", "cls": ""}
    strokes = [f"a/00012_PearlSnare_{force}.opus" for force in ("Hardest", "Softest", "2")]
    assert {kind_of(row(**drums, file=f)) for f in strokes} == {"drum PearlSnare"}


def a_metric(sha="abc"):
    rng = np.random.default_rng(0)
    basis = Basis(rng.normal(size=40).astype(np.float32), rng.normal(size=(40, 5)) * 0.1)
    return Metric(basis, HeadShape(TAUS_S), sha)


def test_a_metric_is_the_same_again_and_a_damaged_one_is_refused(tmp_path):
    path = tmp_path / "x.metric.npz"
    save_metric(path, a_metric())
    again = load_metric(path)
    assert again.shape.taus_s == TAUS_S and again.detector_sha256 == "abc" and again.n_own == 30
    np.testing.assert_array_equal(again.basis.mean, a_metric().basis.mean)
    np.testing.assert_allclose(again.basis.directions, a_metric().basis.directions, atol=2e-3)
    with np.load(path, allow_pickle=False) as data:
        arrays = dict(data)
    for name, value, match in (
        ("directions", arrays["directions"][:-1], "directions must be int8"),
        ("mean", np.zeros(40), "mean must be float32"),
        ("mean", np.full(40, np.nan, np.float32), "finite"),
        ("taus_s", np.array([0.1, 0.2, 0.8]), "taus_s must be"),
        ("version", np.array(9), "not a metric of version 1"),
    ):
        np.savez(path, **{**arrays, name: value})
        with pytest.raises(ModelError, match=match) as caught:
            load_metric(path)
        assert "\n" not in str(caught.value)


def test_only_the_detector_it_was_made_for_gets_it(monkeypatch):
    monkeypatch.setattr(metric_module, "_shipped", lambda: a_metric("abc"))
    of = lambda sha: SimpleNamespace(sha256=sha)  # noqa: E731
    assert metric_for(of("abc")) is not None
    assert metric_for(of("abd")) is None and metric_for(of("")) is None
    assert metric_for(of("abc"), HeadShape((0.05, 0.2))) is None, "a profile of before"


def test_two_bases_stand_side_by_side():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 40)).astype(np.float32)
    own = Basis.fit(x[:, :30], np.arange(50) // 10, 4)
    both = own.beside(a_metric().basis)
    np.testing.assert_allclose(both.apply(x)[:, :4], own.apply(x[:, :30]), atol=1e-4)
    head = rng.normal(size=9), 0.3
    raw, bias = both.unfold(*head)
    np.testing.assert_allclose(x @ raw + bias, both.apply(x) @ head[0] + head[1], atol=1e-3)
