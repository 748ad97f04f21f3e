"""A real gate that is fed by a thread instead of a sound card, and taught: for the page's tests."""

import threading
import time
from dataclasses import asdict

import numpy as np
from teaching_rig import RATE, RunningGate

from gate.meters import Meters
from gate.settings import GateSettings
from realtime.config import Config
from realtime.engine import open_detector
from realtime.live.heard import HeardDetector
from realtime.live.hint import LiveHint
from realtime.live.shared_state import STATUS, SharedState
from realtime.live.teach_worker import TeachWorker

BLOCK = 160


class FedGate(RunningGate):
    """A running gate that sound flows through; a context.

    Parameters
    ----------
    sound : ndarray, shape (n,)
        16 kHz; repeated for ever. May be assigned anew while it runs.
    detector : Detector, optional
        A plain level gate by default.
    speed : float
        How many times faster than the clock; may be assigned, too.
    settings : dict
        Of `GateSettings`.
    """

    def __init__(self, sound, detector=None, speed=1.0, **settings):
        self.sound, self.speed = sound, speed
        detector = detector or open_detector("none")
        super().__init__(
            SharedState(), HeardDetector(detector),
            lambda model, answer: _Worker(detector.fork(), answer),
            Config(gate=GateSettings(**settings)),
            input="USB microphone", output="gate-live-microphone", host_api="fed",
        )  # fmt: skip
        self.control.hint = LiveHint(self.state, self.control)
        self.passed = 0.0
        """Share of the energy of the last second that came through."""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._feed, daemon=True)

    def _feed(self):
        out = np.zeros((BLOCK, 1), np.float32)
        at, due = 0, time.monotonic()
        energy = np.full((2, 100), 1e-12)
        self.state.status = STATUS.index("running")
        while not self._ending.is_set():
            sound = self.sound
            block = sound[np.arange(at, at + BLOCK) % len(sound)][:, None]
            self.path.process(block, out)
            energy[:, at // BLOCK % 100] = np.sum(out**2), np.sum(block**2)
            self.passed = energy[0].sum() / energy[1].sum()
            at += BLOCK
            due = max(due + BLOCK / RATE / self.speed, time.monotonic() - 0.5)
            time.sleep(max(due - time.monotonic(), 0.0))

    @property
    def settings(self):
        """What the gate itself has in force."""
        return asdict(self.gate.settings)

    def __enter__(self):
        self._thread.start()
        self.control.hint.start()
        return self

    def __exit__(self, *exc):
        self.control.hint.stop()
        self._ending.set()
        self._thread.join(5.0)
        self.control.teaching.close()
        self.state.close()


class _Worker:
    """What teaches, in a thread instead of a process."""

    def __init__(self, detector, on_answer):
        self._worker, self._on_answer = TeachWorker(detector), on_answer

    def start(self):
        pass

    def ask(self, *request):
        work = lambda: self._on_answer(*self._worker.answer(*request))  # noqa: E731
        threading.Thread(target=work, daemon=True).start()

    def close(self):
        pass


def bursts(seconds=4.0, loud=0.2, quiet=1e-3, seed=0):
    """Half a second of a tone, half a second of faint noise, over and over."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    tone = loud * np.sin(2 * np.pi * 440 * t) * (t % 1.0 < 0.5)
    return (tone + quiet * rng.standard_normal(len(t))).astype(np.float32)


def meters(**changes):
    """`Meters` of a hop on which the gate is open."""
    known = {
        "time_s": 1.0, "input_dbfs": -31.24, "key_level_dbfs": -40.0, "presence": 0.5, "open": True,
        "gain_db": -0.04, "attack_ms": 3.0, "hold_ms": 120.0, "release_ms": 80.0,
        "key_low_hz": 150.0, "key_high_hz": 4000.0, "reason": "open",
    }  # fmt: skip
    return Meters(**(known | changes))
