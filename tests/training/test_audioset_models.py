import numpy as np
import pytest
import torch

from gate.errors import ConfigError
from training.audioset.best_net import BestNet, BestNetSettings
from training.audioset.layers import class_logit, pool_linear_softmax, row_mask, scale_bytes
from training.audioset.models import ARCHITECTURES, Lstm, build

SMALL = {"vgg": {"channels": 2}, "multi-level": {"width": 16}, "gated-conv": {"width": 16}}


LENGTHS = [10, 7, 1, 10]


def batch():
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (4, 10, 128), generator=generator, dtype=torch.uint8)
    return scale_bytes(x), row_mask(torch.tensor(LENGTHS))


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
    for clip, length in enumerate(LENGTHS):
        assert (seen["x"][clip, length + 1] == end).all()
        torch.testing.assert_close(seen["x"][clip, 1 : length + 1], x[clip, :length])


@pytest.mark.parametrize(("arch", "options", "message"), [
    ("conv1d", {"active_layers": 9}, r"active_layers=9 must be 1\.\.8"),
    ("paper-conv1d", {"active_layers": 0}, r"active_layers=0 must be 1\.\.8"),
    ("linear", {"hiden": 3}, "hiden"),
])  # fmt: skip
def test_bad_options_are_refused(arch, options, message):
    with pytest.raises(ConfigError, match=message):
        build(arch, options)


def test_conv1d_has_as_many_layers_as_are_active():
    sizes = [len(list(build("conv1d", {"active_layers": n}).net)) for n in range(1, 9)]
    assert sizes == [2 * n + 2 for n in range(1, 9)]


def test_linear_softmax_lies_between_mean_and_maximum():
    p = torch.rand(5, 10, 1, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(5, 10, dtype=torch.bool)
    pooled = pool_linear_softmax(p, mask)
    assert ((pooled > p.mean(1)) & (pooled < p.amax(1))).all()
    np.testing.assert_allclose(pool_linear_softmax(torch.full((1, 10, 1), 0.5), mask[:1]), 0.5)


NETS = {
    "teacher": BestNetSettings(width=16, convs=2, n_classes=3),
    "seconds": BestNetSettings(width=16, convs=0, pool="features", n_classes=3),
    "head": BestNetSettings(width=16, rank=6, norm="none", n_classes=1),
}


@pytest.mark.parametrize("name", NETS)
def test_best_nets_take_any_length_and_ignore_padding(name):
    torch.manual_seed(0)
    net = BestNet(NETS[name]).eval()
    x, mask = batch()
    clip, rows = net(x, mask)
    assert clip.shape == (4, net.settings.n_classes) and rows.shape == (4, 10)
    for index, length in enumerate(LENGTHS):
        alone, alone_rows = net(x[index : index + 1, :length], mask[index : index + 1, :length])
        # The same sums in another order.
        torch.testing.assert_close(alone[0], clip[index], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(alone_rows[0], rows[index, :length], atol=1e-5, rtol=1e-4)


def test_the_papers_layers_come_in_its_order():
    """What n active layers are, by the number of weights and the length that is left."""
    kernel, (first, second, last) = 3, (8, 16, 128)
    one, two = first * (kernel + 1), second * (first * kernel + 1)
    three = last * (second * kernel + 1)
    weights = {
        1: one + first * 1278, 2: one + first * 1278,
        3: one + two + second * 1276, 4: one + two + second * 1276,
        5: one + two + second * 638,
        6: one + two + three + last * 636, 8: one + two + three + last * 636,
    }  # fmt: skip
    for n, expected in weights.items():
        net = build("paper-conv1d", {"active_layers": n, "kernel": kernel})
        assert sum(p.numel() for p in net.parameters()) == expected + 1


def test_the_papers_convolution_is_torchs():
    torch.manual_seed(0)
    net = build("paper-conv1d", {"active_layers": 1, "kernel": 5})
    own = net.net[0].dense
    plain = torch.nn.functional.conv1d(
        torch.arange(40.0)[None, None], own.weight[:, None], own.bias
    )
    got = net.net[0](torch.arange(40.0)[None, :, None])
    torch.testing.assert_close(got.transpose(1, 2), plain)


def test_the_paper_s_transformer_has_no_layer_before_it():
    net = build("paper-transformer")
    first = next(iter(net.parameters()))
    assert first.shape == (3 * 128, 128)  # queries, keys and values of the rows themselves
