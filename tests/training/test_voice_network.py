"""The voice network is causal, level-invariant, streamable and small."""

import dataclasses

import numpy as np
import pytest
import torch

from gate.errors import ConfigError
from gate.features import log_mel_spectrogram
from training.voice.network import VoiceNet, VoiceSettings, running_level

TRUNKS = {
    "default": VoiceSettings(),
    "one small GRU": VoiceSettings(gru_sizes=(32,)),
    "two unlike layers": VoiceSettings(gru_sizes=(32, 48)),
}
OUTPUTS = ("embedding", "presence_logits", "key_logits", "ballistics")


def make_net(settings):
    torch.manual_seed(3)
    net = VoiceNet(settings).eval()
    # The ballistics heads start with zero weights: give them some, or they prove nothing.
    torch.nn.init.normal_(net.heads.weight, std=0.3)
    return net


def bursts(seconds=2.0, seed=0):
    """Noise bursts over a floor 30 dB below, peak about -6 dBFS."""
    rng = np.random.default_rng(seed)
    n = int(seconds * 16000)
    envelope = 0.03 + np.repeat(rng.random(n // 1600) > 0.5, 1600)
    return (0.15 * rng.standard_normal(n) * envelope).astype(np.float32)


def features_of(samples):
    return torch.from_numpy(log_mel_spectrogram(samples))[None]


@pytest.fixture(params=TRUNKS, scope="module")
def net(request):
    return make_net(TRUNKS[request.param])


@torch.no_grad()
def test_scaling_the_recording_changes_nothing(net):
    samples = bursts()
    reference = net(features_of(samples))
    for gain_db in (-40.0, -20.0, 10.0):
        scaled = net(features_of(samples * np.float32(10 ** (gain_db / 20))))
        for name in ("presence_logits", "key_logits"):
            difference = scaled[name].sigmoid() - reference[name].sigmoid()
            # At -40 dB the logarithm's offset of 1e-5 is some 60 dB below the quietest
            # bands, a relative error of 1e-3 that the random heads may magnify.
            assert difference.abs().max() < 0.01, (name, gain_db)


@torch.no_grad()
def test_features_shifted_by_a_constant_give_the_same_outputs(net):
    # Exact by construction: a shift of the logarithm is a scale of the signal. Only the
    # rounding of float32 features is left.
    features = features_of(bursts())
    reference, shifted = net(features), net(features + 4.0)
    for name in OUTPUTS:
        torch.testing.assert_close(shifted[name], reference[name], atol=2e-4, rtol=2e-4)


@torch.no_grad()
def test_hop_by_hop_equals_the_sequence(net):
    features = torch.cat([features_of(bursts()), features_of(bursts(seed=1))])
    whole = net(features)
    state, pieces = None, []
    for length in [1] * 20 + [7, 50, 1, 122]:
        start = sum(p["embedding"].shape[1] for p in pieces)
        pieces.append(net(features[:, start : start + length], state=state))
        state = pieces[-1]["state"]
    for name in OUTPUTS:
        streamed = torch.cat([piece[name] for piece in pieces], dim=1)
        torch.testing.assert_close(streamed, whole[name], atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(state, whole["state"], atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_running_level_is_the_weighted_mean_since_reset():
    magnitude = torch.rand(1, 1300, dtype=torch.float64)
    level, _ = running_level(magnitude, torch.zeros(1, 2, dtype=torch.float64), decay=0.99)
    total = weight = 0.0
    for t, value in enumerate(magnitude[0].tolist()):
        total, weight = 0.99 * total + value, 0.99 * weight + 1.0
        assert float(level[0, t]) == pytest.approx(total / weight, rel=1e-9)


def test_shipped_part_keeps_the_size_limit():
    settings = VoiceSettings()
    net = VoiceNet(dataclasses.replace(settings, n_speakers=500, n_events=40))
    assert net.count_parameters() <= 300_000
    assert net.count_parameters() == VoiceNet(settings).count_parameters()
    assert net.count_parameters(shipped_only=False) > net.count_parameters()


@torch.no_grad()
def test_ballistics_start_where_told_and_stay_in_bounds():
    settings = VoiceSettings()
    net = VoiceNet(settings).eval()
    net.start_ballistics(attack_s=0.002, hold_s=0.25, release_s=0.08)
    features = features_of(bursts())
    ballistics = net(features)["ballistics"]
    expected = torch.tensor([0.002, 0.25, 0.08]).expand_as(ballistics)
    torch.testing.assert_close(ballistics, expected, rtol=1e-4, atol=0)
    torch.nn.init.normal_(net.heads.weight, std=100.0)
    ballistics = net(features)["ballistics"]
    for column, (low, high) in enumerate([settings.attack_s, settings.hold_s, settings.release_s]):
        assert ballistics[..., column].min() >= low * 0.999
        assert ballistics[..., column].max() <= high * 1.001
        assert ballistics[..., column].max() > 5 * ballistics[..., column].min()
    net.set_bounds(settings.attack_s, (0.02, 0.03), settings.release_s)
    hold = net(features)["ballistics"][..., 1]
    assert hold.min() == pytest.approx(0.02, rel=1e-3)
    assert hold.max() == pytest.approx(0.03, rel=1e-3)
    assert VoiceNet(net.settings).settings.hold_s == (0.02, 0.03)


@torch.no_grad()
def test_fit_input_centres_the_normalised_features():
    net = VoiceNet()
    features = features_of(bursts())
    net.fit_input(features)
    normalised, _ = net.normalise(features, torch.zeros(1, 2))
    scaled = (normalised - net.input_mean) * net.input_scale
    assert scaled.mean(dim=(0, 1)).abs().max() < 1e-4
    assert (scaled.std(dim=(0, 1)) - 1).abs().max() < 0.01


def test_every_parameter_learns():
    net = make_net(TRUNKS["two unlike layers"])
    outputs = net(features_of(bursts()))
    sum(outputs[name].square().mean() for name in OUTPUTS).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"gru_sizes": ()}, r"gru_sizes=\(\) must"),
        ({"level_tau_s": 0}, "level_tau_s=0 must be > 0"),
        ({"hold_s": (0.2, 0.1)}, r"hold_s=\(0.2, 0.1\) must"),
    ],
)
def test_bad_settings_are_named(wrong, message):
    with pytest.raises(ConfigError, match=message):
        VoiceSettings(**wrong)
