"""Many microphones on one machine: independent gates that share one detector call a hop."""

import numpy as np

from gate import checks
from gate.checks import as_floats
from gate.delay import DelayLine
from gate.detector import Detection
from gate.ears import Ears
from gate.errors import ConfigError
from gate.lane import Lane
from gate.meters import Counters
from gate.settings import FILE, RANGES, GateSettings, check_format
from gate.units import ms_to_samples
from realtime.batched_detector import BatchedDetector
from realtime.ears import open_ears

MAX_BANK_CHANNELS = 64


class _Row:
    """What a lane sees of the batched detector: its own row of the last call."""

    def __init__(self, bank, index):
        self.info = bank.detector.info
        self._bank, self._index = bank, index

    def process(self, features, ears=None):
        """The row of the hop that the bank has just classified."""
        if self._bank.error is not None:
            raise self._bank.error
        row = slice(self._index, self._index + 1)
        return Detection(*(output[row] for output in self._bank.detection))

    def reset(self):
        """Forget this channel only."""
        self._bank.detector.reset(self._index)


class GateBank:
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

    Attributes
    ----------
    lanes : list of gate.lane.Lane
        One a channel, with its ``meters``.
    counters : gate.lane.Counters

    Notes
    -----
    Latency as `gate.processor.GateProcessor`'s. Non-finite samples become silence.
    """

    def __init__(self, settings=None, *, sample_rate, channels, model="voice", ears=None):
        check_format(sample_rate, 1)
        checks.whole("channels", channels, 1, MAX_BANK_CHANNELS)
        per_channel = settings if isinstance(settings, list | tuple) else [settings] * channels
        if len(per_channel) != channels:
            raise ConfigError(f"settings of {len(per_channel)} channels must be {channels}")
        per_channel = [one or GateSettings() for one in per_channel]
        lookaheads = {one.lookahead_ms for one in per_channel}
        if len(lookaheads) > 1:
            raise ConfigError("lookahead_ms must be the same for all channels of a bank")
        if FILE in lookaheads:
            raise ConfigError("lookahead_ms='file' is for files; a stream takes a number of ms")
        self.channels, self.counters = channels, Counters()
        self.detector = BatchedDetector(model, channels)
        self.detection = self.error = None
        self.lanes = [
            Lane(one, sample_rate, _Row(self, index), self.counters)
            for index, one in enumerate(per_channel)
        ]
        info = self.detector.info
        ears, self.ears_silent = open_ears(info, ears, channels)
        self._ears = Ears(info.ears, ears, self.counters, channels)
        for lane in self.lanes:
            lane.ears = self._ears
        self._samples = np.empty((channels, info.mel.hop_length), np.float32)
        self._features = np.empty((channels, self.detector.info.mel.n_mels), np.float32)
        self._delay = DelayLine(
            sample_rate, channels, ms_to_samples(RANGES["lookahead_ms"][1], sample_rate),
            ms_to_samples(lookaheads.pop(), sample_rate),
        )  # fmt: skip
        self.reset()

    @property
    def latency_samples(self):
        """Delay of the audio path in samples."""
        return self._delay.latency_samples

    def reset(self):
        """Forget all sound and all counts; settings stay."""
        self.counters.reset()
        for lane in self.lanes:
            lane.reset()
        self.detector.reset()
        self._delay.reset()

    def process(self, block):
        """Gate a block (n, channels), float32; any n."""
        block = as_floats(block)
        if block.ndim != 2 or block.shape[1] != self.channels:
            raise ConfigError(f"block of shape {block.shape} must be (samples, {self.channels})")
        bad = ~np.isfinite(block)
        if bad.any():
            self.counters.nonfinite_samples += int(bad.sum())
            block = np.where(bad, np.float32(0.0), block)
        delayed = self._delay.process(block)
        result = np.empty_like(block)
        lead, done = self.lanes[0], 0
        while done < len(block):
            needed = lead.needed
            step = min(len(block) - done, needed)
            end, cursor = done + step, len(lead.curve) - needed
            for index, lane in enumerate(self.lanes):
                lane.push(block[done:end, index])
                np.multiply(
                    delayed[done:end, index],
                    lane.curve[cursor : cursor + step],
                    out=result[done:end, index],
                )
            done = end
            if step == needed:
                self._end_hop()
        return result

    def _end_hop(self):
        heard = []
        for index, lane in enumerate(self.lanes):
            self._samples[index], self._features[index], power = lane.frontend.take()
            heard.append(power)
        heard_too = (self._ears.process(self._samples),) if self._ears.names else ()
        self.error = None
        try:
            self.detection = self.detector.process(self._features, *heard_too)
        except Exception as error:  # every lane then fails open, counts, and tries again
            self.error = error
        for index, (lane, power) in enumerate(zip(self.lanes, heard, strict=True)):
            lane.decide(self._features[index], power)
