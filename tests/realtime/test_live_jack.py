"""Through a real JACK server in freewheel mode: what comes out is what the engine makes offline."""

import numpy as np
import pytest
from sound_servers import JackServer, bursts, recorded

from gate.settings import GateSettings
from realtime import open_gate

SECONDS = 1.4


def _find(needle, sound):
    """Where the first samples of `needle` are in `sound`."""
    head = needle[:64]
    at = np.flatnonzero(sound[: len(sound) - len(needle) + 1] == head[0])
    found = [i for i in at if np.array_equal(sound[i : i + 64], head)]
    assert found, "not found"
    return found


@pytest.mark.parametrize(
    ("sample_rate", "period"), [(48000, 100), (48000, 128), (44100, 100), (192000, 100)]
)
def test_freewheel_equals_offline_bit_for_bit(sample_rate, period, tmp_path):
    # Incommensurable with every block, so that a lost block cannot hide.
    sound = bursts(2.9173, sample_rate)
    with JackServer(sample_rate, period) as server:
        options = ["--model", "none", "--threshold-db", "-40"]
        heard, status, dry, gated = recorded(server, sound, SECONDS, tmp_path, *options)
    assert status["sample_rate"] == sample_rate
    assert status["record_dropped"] == 0
    assert len(dry) == len(gated) >= len(heard)

    settings = GateSettings(threshold_db=-40.0)
    offline = open_gate(settings, sample_rate=sample_rate, model=None).process(dry)
    assert np.array_equal(gated, offline)

    # What the other end of the cable heard is that, without a sample lost.
    offsets = [i for i in _find(heard, gated) if np.array_equal(gated[i : i + len(heard)], heard)]
    assert offsets
    # And what it had played is what went in: at one fixed offset, all along.
    played = np.tile(sound, 2 + len(heard) // len(sound))
    at = offsets[0]
    assert any(
        np.array_equal(dry[at : at + len(heard)], played[i : i + len(heard)])
        for i in _find(dry[at : at + len(heard)], played)
    )
    assert np.abs(heard).max() > 0.25
    quiet = np.abs(heard.reshape(-1, 100)).max(axis=1).min()
    assert quiet < 1e-4, "it never shut"
