"""Through a real JACK server in freewheel mode: what comes out is what the engine makes offline."""

import numpy as np
import pytest
import soundfile
from sound_servers import JackServer, Live, Peer, bursts

from gate.settings import GateSettings
from realtime import open_gate

SECONDS = 1.4


def _record(server, sound, seconds, folder, *options, model="none"):
    """Run gate-live between a player and a recorder; returns the peer and the last status."""
    n = int(seconds * server.sample_rate) // 100 * 100
    peer = Peer(server, sound, n)
    devices = ["--input", "peer", "--output", "peer", "--host-api", "jack"]
    try:
        with Live(
            "--model", str(model), "--detector-budget-ms", "off", "--record", str(folder),
            *devices, *options, env=server.env,
        ) as live:  # fmt: skip
            live.wait_for(lambda s: s["status"] == "running")
            peer.client.set_freewheel(True)
            peer.record()
            assert peer.done.wait(120), live.lines[-1:]
            code, _ = live.stop()
            assert code == 0
            return peer, live.statuses[-1]
    finally:
        peer.close()


def _take(folder, kind):
    (path,) = folder.glob(f"*-{kind}.wav")
    return soundfile.read(path, dtype="float32")


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
        peer, status = _record(server, sound, SECONDS, tmp_path, "--threshold-db", "-40")
    assert status["sample_rate"] == sample_rate
    assert status["record_dropped"] == 0
    dry, rate = _take(tmp_path, "dry")
    gated, _ = _take(tmp_path, "gated")
    assert rate == sample_rate
    assert len(dry) == len(gated) >= len(peer.heard())

    settings = GateSettings(threshold_db=-40.0)
    offline = open_gate(settings, sample_rate=sample_rate, model=None).process(dry)
    assert np.array_equal(gated, offline)

    # What the other end of the cable heard is that, without a sample lost.
    heard = peer.heard()
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
