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


class RunningGate:
    """A gate under an `AudioPath` and a `LiveControl`, with all that teaches it, and no device."""

    def __init__(self, state, detector, worker, config=None, save=False, **stream):
        self.state, self.said = state, []
        config = config or Config()
        self.gate = GateProcessor(config.gate, sample_rate=RATE, detector=detector)
        self.path = AudioPath(self.gate, state, in_columns=[0], out_columns=[0])
        self.control = LiveControl(config, self, self.said.append)
        info = self.gate.lanes[0].detector.info
        self.control.teaching = self.teaching = LiveTeaching(
            state, info.name, self.control.use_taught, self.control.say, config.engine.profile,
            save, worker,
        )  # fmt: skip
        self.control.hear({
            "event": "open", "input": "a", "output": "b", "host_api": "none", "channels": 1,
            "sample_rate": RATE, "detector": info.name, "profile": config.engine.profile,
            "targets": list(dict.fromkeys([*info.targets, *info.classes])), **stream,
        })  # fmt: skip
        state.sample_rate = RATE

    def send(self, do, **what):
        """What the control asks of the stream (it takes this for its host)."""
        if do == "settings":
            settings = GateSettings.from_mapping(what["gate"])
            self.path.changes.append(lambda gate: setattr(gate, "settings", settings))
        elif do == "mute":
            self.path.muted = what["on"]
        elif do == "profile":
            path = what["path"]
            profile = None if path is None else load_profile(path, with_memory=False)
            prepared = heard_detectors(self.gate)[0].prepare(profile)
            self.path.changes.append(lambda gate: take_profile(gate, prepared))
            self.control.hear({**self.control.stream, "event": "profile", "path": path})


class Gate(RunningGate):
    """One over `ProjectionDetector`, to which sound is played and which is taught when told to."""

    def __init__(self, state, ready=None, base=None, save=False):
        detector = ProjectionDetector()
        if base is not None:
            detector = ProfileDetector(detector, load_profile(base))
        config = Config(gate=GateSettings(threshold_db=-60.0))
        super().__init__(
            state, BudgetedDetector(HeardDetector(detector), 10.0),
            lambda model, on_answer: InlineWorker(ready, on_answer),
            replace(config, engine=replace(config.engine, profile=base)), save,
        )  # fmt: skip
        self.worker = self.teaching._worker
        state.status = 1

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
