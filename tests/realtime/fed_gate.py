"""A real gate that is fed a recording by a thread instead of a sound card: for the page's tests."""

import threading
import time
from dataclasses import asdict

import numpy as np

from gate.settings import GateSettings
from realtime.config import Config
from realtime.engine import open_gate
from realtime.live.audio_path import AudioPath
from realtime.live.control import LiveControl
from realtime.live.shared_state import STATUS, SharedState

RATE, BLOCK = 16000, 160


class FedGate:
    """A `GateProcessor` under an `AudioPath`, a `SharedState` and a `LiveControl`; a context.

    Parameters
    ----------
    sound : ndarray, shape (n,)
        16 kHz; repeated for ever.
    model : str
    speed : float
        How many times faster than the clock.
    settings : dict
        Of `GateSettings`.
    """

    def __init__(self, sound, model="none", speed=1.0, **settings):
        self.said = []
        config = Config(gate=GateSettings(**settings))
        self.state = SharedState()
        self.control = LiveControl(config, self, self.said.append)
        self.gate = open_gate(config.gate, sample_rate=RATE, model=model)
        self.path = AudioPath(self.gate, self.state, in_columns=[0], out_columns=[0])
        self._sound = np.resize(sound, max(len(sound), BLOCK)).astype(np.float32)
        self._period_s = BLOCK / RATE / speed
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self.state.sample_rate = RATE
        info = self.gate.lanes[0].detector.info
        self.control.hear({
            "event": "open", "input": "USB microphone", "output": "gate-live-microphone",
            "host_api": "fed", "sample_rate": RATE, "channels": 1, "detector": info.name,
            "targets": list(dict.fromkeys([*info.targets, *info.classes])), "profile": None,
        })  # fmt: skip

    def send(self, do, **what):
        """What the control asks of the stream (it takes this for its host)."""
        if do == "settings":
            settings = GateSettings.from_mapping(what["gate"])
            self.path.changes.append(lambda gate: setattr(gate, "settings", settings))
        elif do == "mute":
            self.path.muted = what["on"]
        elif do == "profile":
            self.control.hear({**self.control.stream, "event": "profile", "path": what["path"]})

    def _feed(self):
        out = np.zeros((BLOCK, 1), np.float32)
        at, due = 0, time.monotonic()
        self.state.status = STATUS.index("running")
        while not self._ending.is_set():
            block = self._sound[np.arange(at, at + BLOCK) % len(self._sound)][:, None]
            self.path.process(block, out)
            at += BLOCK
            due = max(due + self._period_s, time.monotonic() - 0.5)
            time.sleep(max(due - time.monotonic(), 0.0))

    @property
    def settings(self):
        """What the gate itself has in force."""
        return asdict(self.gate.settings)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._ending.set()
        self._thread.join(5.0)
        self.state.close()


def bursts(seconds=4.0, loud=0.2, quiet=1e-3, seed=0):
    """Half a second of a tone, half a second of faint noise, over and over."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    tone = loud * np.sin(2 * np.pi * 440 * t) * (t % 1.0 < 0.5)
    return (tone + quiet * rng.standard_normal(len(t))).astype(np.float32)
