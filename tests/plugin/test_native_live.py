"""`gate-live --engine native` through a JACK server in freewheel: what the engine makes offline."""

import numpy as np
import pytest
from sound_servers import JackServer, bursts, recorded

from gate.settings import GateSettings
from realtime import open_gate
from realtime.native_core import LIBRARY_VARIABLE

_RATE, _SECONDS = 48000, 1.4


@pytest.fixture
def native(core, monkeypatch):
    """The library that the plugin's tests have built."""
    monkeypatch.setenv(LIBRARY_VARIABLE, str(core.path))


def test_equals_offline(native, core, tmp_path):
    with JackServer(_RATE, 100) as server:
        server.env[LIBRARY_VARIABLE] = str(core.path)
        options = ["--engine", "native", "--threshold-db", "-40"]
        sound = bursts(2.9173, _RATE)
        _, _, dry, gated = recorded(server, sound, _SECONDS, tmp_path, *options)
    assert len(dry) == len(gated) > _SECONDS * _RATE / 2
    gate = open_gate(GateSettings(threshold_db=-40.0), sample_rate=_RATE, engine="native")
    assert np.array_equal(gated, gate.process(dry))
