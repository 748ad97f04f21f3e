"""Many microphones on one machine: independent gates that share one detector call a hop."""

from dataclasses import replace

import numpy as np

from gate import checks
from gate.detector import Detection
from gate.ears import Ears
from gate.errors import ConfigError
from gate.lane import Lane
from gate.processor import GateProcessor
from gate.settings import GateSettings
from realtime.ears import open_ears
from realtime.models import find_model
from realtime.onnx_detector import OnnxDetector


class _Row:
    """What a lane sees of the shared detector: its own row of the last call."""

    def __init__(self, bank, index):
        self.info, self.index = bank.detector.info, index
        self._bank = bank

    def process(self, features, ears=None):
        """The row of the hop that the bank has just classified."""
        if isinstance(self._bank.found, Exception):
            raise self._bank.found
        return Detection(*(output[self.index : self.index + 1] for output in self._bank.found))

    def reset(self):
        """Forget this channel only."""
        self._bank.detector.reset(self.index)


class GateBank(GateProcessor):
    """One independent gate a channel; the detector runs once a hop for all of them.

    Parameters
    ----------
    settings : GateSettings or sequence of GateSettings
        For all channels, or one a channel. `stereo_link` is not used.
    sample_rate : int
        Hz.
    channels : int
        1 to 64.
    model : str or path-like
        Detector.
    ears : sequence of str, optional
        Second ears to listen with, of those that the detector names; None: all.

    Notes
    -----
    A batched product adds up in another order than a single one, so the outputs equal separate
    gates' within float32 rounding.
    """

    max_channels = 64

    def __init__(self, settings=None, *, sample_rate, channels, model="voice", ears=None):
        checks.whole("channels", channels, 1, self.max_channels)
        several = settings if isinstance(settings, list | tuple) else [settings] * channels
        if len(several) != channels:
            raise ConfigError(f"settings of {len(several)} channels must be {channels}")
        self._several = [
            replace(one or GateSettings(), stereo_link="independent") for one in several
        ]
        if len({one.lookahead_ms for one in self._several}) > 1:
            raise ConfigError("lookahead_ms must be the same for all channels of a bank")
        detector = OnnxDetector(find_model(model), channels=channels)
        detector.ears, detector.ears_silent = open_ears(detector.info, ears, channels)
        self.found = None
        super().__init__(
            self._several[0], sample_rate=sample_rate, channels=channels, detector=detector
        )
        self._ears = Ears(detector.info.ears, detector.ears, self.counters, channels)
        for lane in self.lanes:
            lane.ears = self._ears

    def _of(self, index, detector, ears):
        return _Row(self, index), []

    def _lane(self, detector, ears):
        settings = self._several[detector.index]
        return Lane(settings, self.sample_rate, detector, self.counters, ears)

    def _stream_one(self, lane, key, delayed, result):
        self._stream_lanes([key], delayed, result)

    def _end_hop(self):
        taken = zip(*(lane.frontend.take() for lane in self.lanes), strict=True)
        samples, features, power = map(np.stack, taken)
        heard = (self._ears.process(samples),) if self._ears.names else ()
        try:
            self.found = self._detector.process(features, *heard)
        except Exception as error:  # every lane then fails open, counts, and tries again
            self.found = error
        for index, lane in enumerate(self.lanes):
            lane.decide(features[index], power[index])
            self._report(index, lane)
