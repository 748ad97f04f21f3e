"""`GateProcessor`: the gate that files, live sound, benchmarks, evaluation and tests all run."""

from collections.abc import Callable, Sequence

import numpy as np

from gate import checks
from gate.checks import finite_block
from gate.delay import DelayLine
from gate.detector import Detector, Samples
from gate.ears import Ear
from gate.errors import ConfigError
from gate.lane import Lane
from gate.linked import weighted_sum
from gate.listen import KeyListen
from gate.meters import Counters, Meters, MeterTable
from gate.settings import FILE, MAX_CHANNELS, RANGES, GateSettings, check_format
from gate.units import ms_to_samples

_LISTEN_FADE_SECONDS = 0.010


class GateProcessor:
    """A streaming gate for blocks of any size.

    The same samples come out whatever the block size, bit for bit, and again after `reset`.

    Parameters
    ----------
    settings : GateSettings or None
        None takes the defaults.
    sample_rate : int
        8,000 to 192,000 Hz.
    channels : int
        1 to 8.
    detector : Detector
        Taken over by the gate; forked for independent channels.
    ears : sequence of gate.ears.Ear, optional
        Second ears, taken over likewise; the detector listens to those that it names. None:
        those that the detector brings along as its attribute ``ears``.

    Attributes
    ----------
    settings : GateSettings
        Assignable between blocks at any time. Nothing clicks and nothing is reset; a change
        is heard from the next hop (10 ms) on.
    latency_samples : int
        Delay of the audio: the lookahead.
    counters : Counters
        Hops, failures and repaired samples since the last reset.
    on_hop : callable or None
        Called in the audio path with the lane's index and `Meters` after every decision.
    on_hops, on_gains : callable or None
        Called by `process_many` with the lane's index and the `gate.meters.MeterTable` of its hops
        (cheaper than `on_hop`), or the gain of every sample.

    Notes
    -----
    The audio passes a delay line only (`latency_samples`). The key passes the decimator (about
    1 ms) and is decided on every 10 ms.
    """

    max_channels = MAX_CHANNELS
    _takes_file = False
    on_hop: Callable[[int, Meters], None] | None
    on_hops: Callable[[int, MeterTable], None] | None
    on_gains: Callable[[int, Samples], None] | None

    def __init__(
        self,
        settings: GateSettings | None = None,
        *,
        sample_rate: int,
        channels: int = 1,
        detector: Detector,
        ears: Sequence[Ear] | None = None,
    ) -> None:
        check_format(sample_rate, 1)
        checks.whole("channels", channels, 1, self.max_channels)
        self._settings = settings or GateSettings()
        self._check_lookahead(self._settings)
        self.sample_rate, self.channels = sample_rate, channels
        self.counters = Counters()
        self.on_hop = self.on_hops = self.on_gains = None
        self._detector = detector
        ears = getattr(detector, "ears", ()) if ears is None else ears
        self._linked = self._settings.stereo_link == "linked"
        n_lanes = 1 if self._linked else channels
        self._lanes = [self._lane(*self._of(index, detector, ears)) for index in range(n_lanes)]
        longest = ms_to_samples(RANGES["lookahead_ms"][1], sample_rate)
        self._delay = DelayLine(sample_rate, channels, longest, self._delay_of(self._settings))
        self._listeners: list[KeyListen] | None = None
        self._fade_step = 1.0 / max(1, round(_LISTEN_FADE_SECONDS * sample_rate))
        self.reset()

    def reset(self) -> None:
        """Forget all sound and all counts; settings stay."""
        self.counters.reset()
        if self._linked:
            del self._lanes[1:]
        for lane in self._lanes:
            lane.reset()
        self._delay.reset()
        self._listen_mix = 1.0 if self._settings.key_listen else 0.0
        for listener in self._listeners or []:
            listener.reset()

    def _check_lookahead(self, settings):
        if settings.lookahead_ms == FILE and not self._takes_file:
            raise ConfigError("lookahead_ms='file' is for files; a stream takes a number of ms")

    def _delay_of(self, settings):
        if settings.lookahead_ms == FILE:
            return 0
        return ms_to_samples(settings.lookahead_ms, self.sample_rate)

    @property
    def settings(self) -> GateSettings:
        """The settings in force."""
        return self._settings

    @settings.setter
    def settings(self, settings: GateSettings) -> None:
        self._check_lookahead(settings)
        self._detector.info.target_columns(settings.target)  # refuses before anything changes
        if settings.stereo_link != self._settings.stereo_link and self.channels > 1:
            self._relink(settings.stereo_link == "linked")
        for lane in self._lanes:
            lane.configure(settings)
        self._delay.set_delay(self._delay_of(settings))
        self._settings = settings

    @property
    def detector(self) -> Detector:
        """The detector; assignable between blocks.

        The new one starts from its initial state. The gain and the settings go on.
        """
        return self._detector

    @detector.setter
    def detector(self, detector: Detector) -> None:
        self.take_detector(detector)

    def take_detector(self, detector: Detector, ears: Sequence[Ear] | None = None) -> None:
        """Assign `detector`, with other ears where they are given; between blocks.

        Without, the ears in use go on; names that are not among them stay silent.
        """
        if detector.info.mel != self._detector.info.mel:
            raise ConfigError(
                f"detector {detector.info.name!r} must take the same features as "
                f"{self._detector.info.name!r}"
            )
        detector.info.target_columns(self._settings.target)  # refuses before anything changes
        self._detector = detector
        for index, lane in enumerate(self._lanes):
            own, its_ears = self._of(index, detector, ears or ())
            lane.take_detector(own, None if ears is None else its_ears, self._settings)

    def _lane(self, detector, ears):
        return Lane(self._settings, self.sample_rate, detector, self.counters, ears)

    def _of(self, index, detector, ears):
        """The lane's own detector and ears."""
        if index == 0:
            return detector, ears
        return detector.fork(), [ear.fork() for ear in ears]

    def _relink(self, linked):
        """Go between one decision and one a channel; every channel's gain goes on."""
        if not linked and len(self._lanes) == 1:
            self._lanes += [self._lanes[0].copy() for _ in range(self.channels - 1)]
        if linked:
            leader = max(self._lanes, key=lambda lane: lane.envelope.gain)
            for lane in self._lanes:
                if lane is not leader:
                    lane.adopt(leader)
        self._linked = linked
        self._listeners = None

    @property
    def latency_samples(self) -> int:
        """Delay of the audio path in samples."""
        return self._delay.latency_samples

    @property
    def presence_threshold(self) -> float:
        """The presence threshold in force, set or learned."""
        return self._lanes[0].presence_threshold

    @property
    def ears_heard(self) -> tuple[str, ...]:
        """Names of the second ears that are heard, a tuple."""
        return self._lanes[0].ears.heard

    @property
    def ears_silent(self) -> dict[str, str]:
        """Why the others are not heard: name to reason, a dict."""
        ears = self._lanes[0].ears
        why = getattr(self._detector, "ears_silent", {})
        found = [ear.name for ear in ears.found]
        return {
            name: "failing" if name in found else why.get(name, "not there")
            for name in ears.names
            if name not in ears.heard
        }

    @property
    def meters(self) -> Meters:
        """`Meters` of the last hop; of the lane with the highest gain where there are several."""
        return max((lane.meters for lane in self._lanes), key=lambda m: m.gain_db)

    @property
    def lane_meters(self) -> tuple[Meters, ...]:
        """`Meters` of every lane, a tuple."""
        return tuple(lane.meters for lane in self._lanes)

    @property
    def lanes(self) -> list[Lane]:
        """The lanes, for benchmarks and the whole-file path."""
        return self._lanes

    def process(
        self, block: Samples, key_input: Samples | None = None, out: Samples | None = None
    ) -> Samples:
        """Gate a block.

        Parameters
        ----------
        block : ndarray, shape (n, channels) or (n,) for one channel, float32
            Any n from 0 on. Not changed.
        key_input : ndarray, shape (n,) or (n, k), optional
            External key input; without it the block is its own key.
        out : ndarray like block, optional
            Where to put the result.

        Returns
        -------
        ndarray like block, float32

        Raises
        ------
        ConfigError
            For a shape that does not fit.
        """
        block = np.asarray(block)
        flat = block.ndim == 1
        audio = self._checked(block[:, None] if flat else block, self.channels)
        shape = len(audio), self.channels
        result = np.empty(shape, np.float32) if out is None else out.reshape(shape)
        keys = self._keys(audio, key_input)
        delayed = self._delay.process(audio)
        if len(self._lanes) == 1 and not (self._settings.key_listen or self._listen_mix > 0.0):
            self._stream_one(self._lanes[0], keys[0], delayed, result)
        else:
            self._stream_lanes(keys, delayed, result)
        return result[:, 0] if flat and out is None else (result if out is None else out)

    def _stream_one(self, lane, key, delayed, result):
        """Gate a block by one lane: `_stream_lanes` in its commonest case."""
        n, done, frontend = len(delayed), 0, lane.frontend
        while done < n:
            needed, curve = frontend.needed, lane.curve
            step, cursor = min(n - done, needed), len(curve) - needed
            gains = curve[cursor : cursor + step, None]
            if step == n:
                frontend.push(key)
                np.multiply(delayed, gains, result)
            else:
                frontend.push(key[done : done + step])
                np.multiply(delayed[done : done + step], gains, result[done : done + step])
            if step == needed:
                lane.end_hop()
                self._report(0, lane)
            done += step

    def _stream_lanes(self, keys, delayed, result):
        """Gate a block; all lanes' hops end together."""
        lanes, n, done = self._lanes, len(delayed), 0
        while done < n:
            needed = lanes[0].needed
            step = min(n - done, needed)
            end = done + step
            cursor = len(lanes[0].curve) - needed
            for index, lane in enumerate(lanes):
                lane.push(keys[index][done:end])
                columns = slice(None) if len(lanes) == 1 else slice(index, index + 1)
                np.multiply(
                    delayed[done:end, columns],
                    lane.curve[cursor : cursor + step, None],
                    out=result[done:end, columns],
                )
            if self._settings.key_listen or self._listen_mix > 0.0:
                self._listen(result, keys, done, end)
            done = end
            if step == needed:
                self._end_hop()

    def _end_hop(self):
        for index, lane in enumerate(self._lanes):
            lane.end_hop()
            self._report(index, lane)

    def process_many(self, audio: Samples, key_input: Samples | None = None) -> Samples:
        """Gate a long stretch at once, vectorised over hops: the way for files.

        The state is the one of `process`: calls may be mixed. The result equals the stream's
        within float32 rounding inside the detector.

        Parameters
        ----------
        audio : ndarray, shape (n, channels), float32
        key_input : ndarray, shape (n,) or (n, k), optional
            External key input.

        Returns
        -------
        ndarray, shape (n, channels), float32
        """
        if self._settings.key_listen or self._listen_mix > 0.0:
            return self._listened(audio, key_input)
        audio = self._checked(audio, self.channels)
        keys = self._keys(audio, key_input)
        result, delayed = np.empty_like(audio), self._delay.process(audio)
        for index, lane in enumerate(self._lanes):
            gains, table = lane.process_many(keys[index])
            self._tell(index, table)
            if self.on_gains is not None:
                self.on_gains(index, gains)
            columns = slice(None) if len(self._lanes) == 1 else slice(index, index + 1)
            np.multiply(delayed[:, columns], gains[:, None], out=result[:, columns])
        return result

    def _report(self, index, lane):
        if self.on_hop is not None:
            self.on_hop(index, lane.meters)

    def _listened(self, audio, key_input):
        """`process`, its hops told when it is done."""
        told, listener = [[] for _ in self._lanes], self.on_hop
        self.on_hop = lambda index, meters: told[index].append(meters)
        try:
            result = self.process(audio, key_input)
        finally:
            self.on_hop = listener
        for index, rows in enumerate(told):
            self._tell(index, MeterTable.of(rows))
        return result

    def _tell(self, index, table):
        """Report the hops of a stretch."""
        if self.on_hops is not None:
            self.on_hops(index, table)
        for meters in table.rows() if self.on_hop is not None else ():
            self.on_hop(index, meters)

    def _checked(self, block, columns):
        """The block as float32 (n, columns) without anything that is not finite."""
        block, repaired = finite_block(block, columns)
        self.counters.nonfinite_samples += repaired
        return block

    def _keys(self, audio, key_input):
        """One key a lane: (n,), or (n, channels) where several are heard as one."""
        source, lanes = audio, self._lanes
        if key_input is None and len(lanes) == 1:
            return [audio[:, 0] if self.channels == 1 else audio]
        if key_input is not None:
            key_input = np.asarray(key_input)
            source = self._checked(key_input[:, None] if key_input.ndim == 1 else key_input, None)
            if len(source) != len(audio):
                raise ConfigError(
                    f"key_input of {len(source)} samples must be as long as the block"
                )
        if not self._linked and source.shape[1] == self.channels:
            return [source[:, i] for i in range(self.channels)]
        return [source[:, 0] if source.shape[1] == 1 else source] * len(lanes)

    def _listen(self, result, keys, done, end):
        """Fade between the gated sound and what the key lets through."""
        if self._listeners is None:
            mel = self._detector.info.mel
            self._listeners = [
                KeyListen(self.sample_rate, mel.n_bins, mel.sample_rate) for _ in self._lanes
            ]
        step = self._fade_step if self._settings.key_listen else -self._fade_step
        mix = self._listen_mix + step * np.arange(1, end - done + 1)
        mix = np.clip(mix, 0.0, 1.0).astype(np.float32)[:, None]
        self._listen_mix = float(mix[-1, 0])
        for index, (lane, listener) in enumerate(zip(self._lanes, self._listeners, strict=True)):
            mono = keys[index][done:end]
            if mono.ndim > 1:
                mono = weighted_sum(mono, lane.frontend.weights)
            heard = listener.process(mono, lane.bin_weights)[:, None]
            columns = slice(None) if len(self._lanes) == 1 else slice(index, index + 1)
            part = result[done:end, columns]
            part += mix * (heard - part)
            if self._listen_mix == 0.0:  # whatever the block: nothing old is heard next time
                listener.reset()
