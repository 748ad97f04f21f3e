"""The training GRU is torch's GRU: same numbers, same gradients."""

import pytest
import torch

from training.voice.network import VoiceNet, VoiceSettings
from training.voice.recurrent import gru_sequence


def both(dtype, n_hops=37):
    """Outputs and gradients of torch's layer and of ours, name by name."""
    torch.manual_seed(0)
    gru = torch.nn.GRU(9, 12)
    x = torch.randn(n_hops, 5, 9, requires_grad=True)
    start = torch.randn(5, 12, requires_grad=True)
    leaves = [x, start, *gru.parameters()]
    result = []
    for ours in (False, True):
        states, last = gru_sequence(gru, x, start, dtype) if ours else gru(x, start[None])
        loss = (states * torch.linspace(0, 1, n_hops)[:, None, None]).square().sum()
        gradients = torch.autograd.grad(loss + 3.0 * last.sum(), leaves)
        result.append([states, last.view(5, 12), *gradients])
    return zip(*result, strict=True)


@pytest.mark.parametrize("n_hops", [1, 16, 37])
def test_float32_is_torchs_gru(n_hops):
    for torchs, ours in both(torch.float32, n_hops):
        torch.testing.assert_close(ours, torchs, rtol=2e-5, atol=2e-5)


def test_bfloat16_stays_near_it():
    for torchs, ours in both(torch.bfloat16):
        assert (ours - torchs).abs().max() < 0.02 * torchs.abs().max()


def test_low_precision_is_for_training_only():
    torch.manual_seed(1)
    net = VoiceNet(VoiceSettings(gru_sizes=(16, 16)))
    features = torch.randn(2, 40, 64)
    net.low_precision = False
    exact = net.train().trunk(features)[0]
    net.low_precision = True
    low = net.trunk(features)[0]
    assert not torch.equal(low, exact)
    torch.testing.assert_close(low, exact, rtol=0.05, atol=0.05)
    assert torch.equal(net.eval().trunk(features)[0], exact)
