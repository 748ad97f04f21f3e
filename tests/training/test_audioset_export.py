import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from audioset_shards import write_data
from onnx import numpy_helper
from small_corpus import make_corpus

from gate.errors import ConfigError, ModelError
from realtime.onnx_session import open_session
from training.audioset import best as audioset_best
from training.audioset import export as audioset_export
from training.audioset import grids, raw_frontends
from training.audioset import report as audioset_report
from training.audioset.best_net import BestNet, BestNetSettings
from training.audioset.best_train import BestSettings
from training.audioset.export import Head, export_head, reference_input
from training.audioset.layers import round_to_bytes

SHIPPED = Path(__file__).parents[2] / "models" / "audioset-speech.onnx"
TINY = dataclasses.replace(audioset_best.HEAD_NET, width=16, rank=8)
META = {"target": "Speech", "presence_threshold": 0.4, "presence_hysteresis": 0.1}


def run_head(session, embeddings):
    return session.run(["clip", "per_second"], {"embeddings": embeddings})


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    torch.manual_seed(0)
    net = BestNet(TINY).eval()
    round_to_bytes(net)
    path = tmp_path_factory.mktemp("models") / "head.onnx"
    export_head(net, path, META)
    return net, path


@pytest.mark.parametrize(("n", "rows"), [(1, 1), (5, 10), (2, 33)])
def test_onnx_equals_torch_for_any_shape(exported, n, rows):
    net, path = exported
    x = np.random.default_rng(n).integers(0, 256, (n, rows, 128)).astype(np.uint8)
    clip, per_second = run_head(open_session(path), x)
    assert clip.shape == (n,) and per_second.shape == (n, rows)
    with torch.no_grad():
        expected = Head(net)(torch.from_numpy(x))
    # float32 sums in another order.
    for got, said in zip((clip, per_second), expected, strict=True):
        np.testing.assert_allclose(got, said, atol=1e-5)


def test_matrices_take_a_byte_a_weight_and_others_stay(tmp_path):
    torch.manual_seed(0)
    net = BestNet(dataclasses.replace(TINY, width=64, rank=32)).eval()
    export_head(net, tmp_path / "whole.onnx", META)
    plain = (tmp_path / "whole.onnx").stat().st_size
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    round_to_bytes(net)
    for name, p in net.named_parameters():
        step = before[name].abs().amax(-1, keepdim=True) / 127
        assert ((p - before[name]).abs() <= 0.5001 * step).all()
    export_head(net, tmp_path / "slim.onnx", META)
    weights = sum(p.numel() for p in net.parameters() if p.ndim == 2)
    saved = plain - (tmp_path / "slim.onnx").stat().st_size
    assert 2.5 * weights < saved < 3 * weights


def holds_to_its_reference(path, atol):
    session = open_session(path)
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as kept:
        np.testing.assert_array_equal(kept["embeddings"], reference_input())
        clip, per_second = run_head(session, kept["embeddings"])
        np.testing.assert_allclose(clip, kept["clip"], atol=atol)
        np.testing.assert_allclose(per_second, kept["per_second"], atol=atol)
    return session


def test_the_reference_is_what_the_file_gives(exported):
    holds_to_its_reference(exported[1], 1e-6)


def test_a_graph_that_disagrees_is_not_kept(exported, tmp_path, monkeypatch):
    net, _ = exported

    def spoil(graph):
        bias = next(t for t in graph.graph.initializer if t.name == "net.row.bias")
        bias.CopyFrom(numpy_helper.from_array(np.ones(bias.dims[0], "f4"), bias.name))

    monkeypatch.setattr(audioset_export, "pack_matrices", spoil)
    with pytest.raises(ModelError, match="ONNX and torch differ"):
        export_head(net, tmp_path / "bad.onnx", META)
    assert not (tmp_path / "bad.onnx").exists()


def test_export_needs_a_best_model(tmp_path):
    args = SimpleNamespace(runs=tmp_path, out=tmp_path, models=tmp_path)
    with pytest.raises(ConfigError, match="run --best first"):
        audioset_export.export_best(args)


def test_the_shipped_head_keeps_its_reference():
    if not SHIPPED.is_file():
        pytest.skip(f"{SHIPPED.name} is not in this checkout")
    session = holds_to_its_reference(SHIPPED, 1e-4)  # another CPU may sum in another order
    assert session.get_modelmeta().custom_metadata_map["target"] == "Speech"
    assert SHIPPED.stat().st_size < 2.5e6
    alone, row = run_head(session, reference_input()[:1, :1])
    assert alone.shape == (1,) and row.shape == (1, 1)


def small_recipe():
    tiny = BestNetSettings(width=16, n_classes=4)
    seconds = dataclasses.replace(audioset_best.SECONDS_NET, width=16, heads=2, n_classes=4)
    nets = {
        "teachers": tiny, "students": tiny, "seconds": seconds,
        "head": TINY,
    }  # fmt: skip
    extra = {"seconds": {"rows_weight": 0.3, "crop": 0.5, "average": 0.9}}
    extra["head"] = {"others_weight": 0.0, "rows_weight": 1.0}
    return {
        name: [BestSettings(net, epochs=1, batch_size=32, **extra.get(name, {}))]
        for name, net in nets.items()
    }


def test_the_whole_report_from_one_command(tmp_path, monkeypatch, capsys):
    data, voice = tmp_path / "data", make_corpus(tmp_path / "voice", ("train", "dev", "test"))
    write_data(data, n_train=120, n_eval=80)
    # One run a table, one seed, one epoch, tiny networks: the way through, not the figures.
    small = {"conv1d": {"active_layers": 1}, "conv2d": {"channels": 1}, "linear": {"hidden": 4}}
    small |= {"lstm": {"hidden": 4}, "transformer": {"width": 8}}

    def quick(settings):
        return dataclasses.replace(settings, epochs=1)

    rows = {name: [(quick(s), p) for s, p in grids.paper_rows(name)[:2]] for name in grids.PAPER}
    monkeypatch.setattr(grids, "paper_rows", rows.get)
    for name, grid in grids.GRIDS.items():
        one = {k: v[-1] if isinstance(v, list) else v for k, v in grid[0].items()}
        if name in grids.OWN:
            one = {"arch": one["arch"], **small[one["arch"]], "batch_size": 32, "epochs": 1}
        monkeypatch.setitem(grids.GRIDS, name, [one | {"seed": 0}])
    monkeypatch.setattr(raw_frontends, "SEEDS", (0,))
    monkeypatch.setattr(raw_frontends, "SIZES", {"train": 4, "dev": 4, "test": 4})
    monkeypatch.setattr(raw_frontends, "EPOCHS", 1)
    monkeypatch.setattr(audioset_best, "recipe", small_recipe)
    args = SimpleNamespace(
        data=data, voice_data=voice, runs=tmp_path / "runs", out=tmp_path / "out",
        models=tmp_path / "models", jobs=1, no_run=False, sweep=None,
    )  # fmt: skip
    report, out = tmp_path / "out" / "audioset.md", tmp_path / "out" / "audioset"
    audioset_report.make_report(args)
    record = json.loads((out / "best.json").read_text())
    kept = open_session(tmp_path / "models" / "audioset-speech.onnx").get_modelmeta()
    threshold = float(kept.custom_metadata_map["presence_threshold"])
    # The seconds' own, not the clips'.
    assert threshold == record["thresholds"]["presence"] != record["thresholds"]["f1"]
    text = report.read_text()
    for part in (
        "What the paper's F1 was",
        "ours: one small network",
        "Logistic regression on mean rows",
        "LEAF-style",
        "Drum kit",
        "| hidden 128 | bce | rmsprop | 32 | 0.001 | 0.4372 |",
        "**Not a result.**",
        "audioset/figure1.png",
    ):
        assert part in text
    assert "to be run" not in text and "{" not in text
    figures = sorted(path.name for path in out.glob("*.png"))
    assert figures == ["figure1.png", "figure2.png", "figure4.png"]
    card = (tmp_path / "models" / "audioset-speech.md").read_text()
    assert "this model" in card and "{" not in card
    # Written again from the tables that are kept, nothing run, it comes out the same.
    args.no_run = True
    report.unlink()
    audioset_report.make_report(args)
    assert report.read_text() == text
    # Rows that are missing say so.
    runs = (out / "runs.csv").read_text().splitlines(keepends=True)
    (out / "runs.csv").write_text("".join(r for r in runs if not r.startswith("table1")))
    audioset_report.make_report(args)
    text = report.read_text()
    assert "2 of 2 rows are still to be run." in text and "| to be run |" in text


def test_loudest_second_finds_the_sound():
    quiet = np.full(16000, 0.01, np.float32)
    loud = np.full(16000, 0.5, np.float32)
    got = raw_frontends.loudest_second(np.concatenate([quiet, loud, quiet]))
    assert (got == 0.5).all()
    assert len(raw_frontends.loudest_second(loud[:100])) == 16000


@pytest.mark.parametrize("name", raw_frontends.FRONTENDS)
def test_frontends_give_a_frame_every_hop_and_pass_gradients(name):
    torch.manual_seed(0)
    net = raw_frontends.FrontendNet(raw_frontends.FRONTENDS[name]())
    clips = (np.random.default_rng(0).standard_normal((3, 16000)) * 3000).astype(np.int16)
    x = torch.from_numpy(net.frontend.prepare(clips))
    assert net.frontend(x).shape == (3, 100, net.frontend.n_features)
    net(x).sum().backward()
    for parameter in net.frontend.parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all()


def test_leaf_filters_start_on_the_mel_scale():
    frontend = raw_frontends.LeafFrontend()
    spectra = torch.fft.rfft(frontend.filters()[:40, 0], 16000).abs()
    expected = frontend.centre.detach() * 16000 / (2 * np.pi)
    # The grid is 1 Hz, a filter of 401 samples is tens of Hz wide.
    np.testing.assert_allclose(spectra.argmax(1), expected.numpy(), atol=8)
    assert (np.diff(expected.numpy()) > 0).all()
