"""A gate that is taught while it runs, without a device and without another process."""

from dataclasses import replace

import numpy as np
from gates import play
from teaching import RATE, ProjectionDetector, bursts

from gate.processor import GateProcessor
from gate.settings import GateSettings
from realtime.config import Config
from realtime.learn.profile import load_profile
from realtime.learn.profile_detector import ProfileDetector
from realtime.live.audio_path import AudioPath
from realtime.live.control import LiveControl
from realtime.live.detector_budget import BudgetedDetector
from realtime.live.heard import HeardDetector, heard_detectors, take_profile
from realtime.live.status import snapshot
from realtime.live.teach_worker import TeachWorker
from realtime.live.teaching import LiveTeaching


class _Worker(TeachWorker):
    """Fits nothing where a profile is given: only the examples are those that were marked."""

    def __init__(self, ready=None):
        super().__init__(ProjectionDetector())
        self._ready = ready

    def _teach(self, base, marks, notes):
        if self._ready is None or not marks:
            return super()._teach(base, marks, notes)
        known = () if base is None else self._base(base).memory
        return replace(self._ready, memory=(*known, *(mark.recording for mark in marks)))


class InlineWorker:
    """Teaches when told to, in the test's own thread."""

    def __init__(self, ready, on_answer):
        self._worker, self._on_answer = _Worker(ready), on_answer
        self.requests, self.closed = [], False

    def start(self):
        pass

    def ask(self, *request):
        self.requests.append(request)

    def work(self):
        requests, self.requests = self.requests, []
        for request in requests:
            self._on_answer(*self._worker.answer(*request))

    def close(self):
        self.closed = True


class Gate:
    """A gate over `ProjectionDetector` with all that teaches it, and no device."""

    def __init__(self, state, ready=None, base=None, save=False):
        self.said = []
        detector = ProjectionDetector()
        if base is not None:
            detector = ProfileDetector(detector, load_profile(base))
        settings = GateSettings(threshold_db=-60.0)
        detector = BudgetedDetector(HeardDetector(detector), 10.0)
        self.gate = GateProcessor(settings, sample_rate=RATE, detector=detector)
        self.path = AudioPath(self.gate, state, in_columns=[0], out_columns=[0])
        self.state = state
        config = Config()
        config = replace(config, engine=replace(config.engine, profile=base))
        self.control = LiveControl(config, self, self.said.append)
        self.control.teaching = self.teaching = LiveTeaching(
            state, "projection", self.control.use_taught, self.control.say, base, save,
            lambda model, on_answer: InlineWorker(ready, on_answer),
        )  # fmt: skip
        self.worker = self.teaching._worker
        info = self.gate.lanes[0].detector.info
        self.control.hear({"event": "open", "input": "a", "output": "b", "host_api": "none",
                           "sample_rate": RATE, "detector": info.name, "profile": base,
                           "targets": list(info.targets)})  # fmt: skip
        state.status, state.sample_rate = 1, RATE

    def send(self, do, path=None, **what):
        """As the stream does with a message."""
        if do != "profile":
            return
        profile = None if path is None else load_profile(path, with_memory=False)
        prepared = heard_detectors(self.gate)[0].prepare(profile)
        self.path.changes.append(lambda gate: take_profile(gate, prepared))
        self.control.hear({"event": "profile", "path": path, "targets": ["speech"]})

    def play(self, sound):
        """Energy that comes out over the energy that went in."""
        heard = play(self.path, sound)
        return float(np.sum(heard**2) / max(np.sum(sound**2), 1e-12))

    @property
    def status(self):
        return snapshot(self.state, self.control)


def enough(gate):
    """Marks until there are five seconds of sound of each side, and the fit."""
    for kind, mark in (("low", gate.control.mark_open), ("high", gate.control.mark_shut)):
        for seed in range(3):
            gate.play(bursts(kind, 5.0, 10 + seed))
            mark()
    gate.worker.work()
