"""`gate-live --engine native` through a JACK server in freewheel: what the engine makes offline."""

import numpy as np
import pytest
import soundfile
from sound_servers import JackServer, Live, Peer, bursts

from gate.settings import GateSettings
from realtime import open_gate
from realtime.native_core import LIBRARY_VARIABLE

_RATE, _SECONDS = 48000, 1.4


@pytest.fixture
def native(core, monkeypatch):
    """The library that the plugin's tests have built."""
    monkeypatch.setenv(LIBRARY_VARIABLE, str(core.path))


def test_equals_offline_and_refuses_what_it_cannot_do(native, core, tmp_path):
    with JackServer(_RATE, 100) as server:
        server.env[LIBRARY_VARIABLE] = str(core.path)
        peer = Peer(server, bursts(2.9173, _RATE), int(_SECONDS * _RATE) // 100 * 100)
        devices = ["--input", "peer", "--output", "peer", "--host-api", "jack"]
        with Live(
            "--engine", "native", "--threshold-db", "-40", "--record", str(tmp_path),
            *devices, env=server.env,
        ) as live:  # fmt: skip
            live.wait_for(lambda s: s["status"] == "running")
            peer.client.set_freewheel(True)
            peer.record()
            assert peer.done.wait(120), live.lines[-1:]
            assert live.stop()[0] == 0
        peer.close()
    dry, gated = (
        soundfile.read(next(tmp_path.glob(f"*-{kind}.wav")), dtype="float32")[0]
        for kind in ("dry", "gated")
    )
    assert len(dry) == len(gated) > _SECONDS * _RATE / 2
    gate = open_gate(GateSettings(threshold_db=-40.0), sample_rate=_RATE, engine="native")
    assert np.array_equal(gated, gate.process(dry))
