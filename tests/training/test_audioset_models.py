import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch (extra [training]) is not installed")

from gate.errors import ConfigError  # noqa: E402
from training.audioset.best_net import BestNet, BestNetSettings  # noqa: E402
from training.audioset.models import ARCHITECTURES, PAPER, Lstm, build, scale_bytes  # noqa: E402
from training.audioset.related import pool_linear_softmax  # noqa: E402
from training.audioset.train import class_logit, row_mask  # noqa: E402

SMALL = {"vgg": {"channels": 2}, "multi-level": {"width": 16}, "gated-conv": {"width": 16}}


def batch(n=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = scale_bytes(torch.randint(0, 256, (n, 10, 128), generator=generator, dtype=torch.uint8))
    return x, row_mask(torch.tensor([10, 7, 1, 10])[:n])


def test_scaling_spans_the_bytes():
    assert scale_bytes(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_padding_never_matters(arch, n_outputs):
    torch.manual_seed(0)
    model = build(arch, SMALL.get(arch), n_outputs).eval()
    x, mask = batch()
    other = torch.where(mask[..., None], x, torch.full_like(x, 0.7))
    clip, rows = model(x, mask)
    assert clip.shape == (4, n_outputs)
    again, rows_again = model(other, mask)
    torch.testing.assert_close(clip, again)
    if rows is not None:
        assert rows.shape == (4, 10)
        # Batch-normalised convolutions may see padding as zeros only: they must, too.
        torch.testing.assert_close(rows[mask], rows_again[mask])


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture_learns_a_plain_rule(arch):
    torch.manual_seed(0)
    model = build(arch, SMALL.get(arch))
    x, _ = batch(4)
    x = torch.randn(64, 10, 128) * 0.3
    y = (torch.arange(64) % 2).float()
    x[:, :, :64] += 0.6 * (y[:, None, None] - 0.5)
    mask = torch.ones(64, 10, dtype=torch.bool)
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(40):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x, mask)[0][:, 0], y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    # 40 steps on 64 clips that a sum over 640 values tells apart: nearly all must be right.
    assert ((class_logit(model(x, mask)[0]) > 0) == (y > 0.5)).float().mean() > 0.9


def test_start_and_end_rows_enter_the_lstm():
    torch.manual_seed(0)
    seen = {}
    model = Lstm(hidden=4, start_end_rows=True).eval()
    model.lstm.register_forward_pre_hook(lambda module, inputs: seen.update(x=inputs[0]))
    x, mask = batch()
    model(x, mask)
    start, end = scale_bytes(torch.tensor([-1.0, -2.0]))
    assert seen["x"].shape == (4, 12, 128)
    assert (seen["x"][:, 0] == start).all()
    for clip, length in enumerate([10, 7, 1, 10]):
        assert (seen["x"][clip, length + 1] == end).all()
        torch.testing.assert_close(seen["x"][clip, 1 : length + 1], x[clip, :length])


def test_conv1d_layers_are_bounded():
    with pytest.raises(ConfigError, match=r"active_layers=9 must be 1\.\.8"):
        build("conv1d", {"active_layers": 9})
    sizes = [len(list(build("conv1d", {"active_layers": n}).net)) for n in range(1, 9)]
    assert sizes == [2 * n + 2 for n in range(1, 9)]


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match=f"must be one of {', '.join(PAPER)}"):
        build("resnet")
    with pytest.raises(ConfigError, match="hiden"):
        build("linear", {"hiden": 3})


def test_linear_softmax_lies_between_mean_and_maximum():
    p = torch.rand(5, 10, 1, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(5, 10, dtype=torch.bool)
    pooled = pool_linear_softmax(p, mask)
    assert ((pooled > p.mean(1)) & (pooled < p.amax(1))).all()
    np.testing.assert_allclose(pool_linear_softmax(torch.full((1, 10, 1), 0.5), mask[:1]), 0.5)


def test_best_net_takes_any_length_and_ignores_padding():
    torch.manual_seed(0)
    net = BestNet(BestNetSettings(width=16, blocks=1, heads=2, n_classes=3)).eval()
    x, mask = batch()
    clip, rows = net(x, mask)
    assert clip.shape == (4, 3) and rows.shape == (4, 10)
    for index, length in enumerate([10, 7, 1, 10]):
        alone, alone_rows = net(x[index : index + 1, :length], mask[index : index + 1, :length])
        # The same sums in another order.
        torch.testing.assert_close(alone[0], clip[index], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(alone_rows[0], rows[index, :length], atol=1e-5, rtol=1e-4)
