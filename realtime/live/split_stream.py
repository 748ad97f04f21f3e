"""Two streams of PortAudio and a short queue between them, for devices that do not share a clock.

The duplex stream of PortAudio is used where one device does both. Two devices drift apart, and
the ALSA plug-ins of PulseAudio and PipeWire stall in duplex streams (seen with PortAudio 19.6).
"""

import math

import numpy as np

_CAPACITY_S = 1.0
_SHORTEST_S, _LONGEST_S = 0.040, 0.200
_SHRINK_AFTER_S, _MOST_PATIENT_S = 30.0, 3600.0
_SILENCE = 1e-3  # -60 dB: leaving such samples out is not heard


class SplitStream:
    """As `sounddevice.Stream` for a callback, with an input and an output of their own.

    Parameters
    ----------
    sd : module
        `sounddevice`.
    source, sink : Device
    sample_rate, block_size : int
    channels : tuple of int
        To open of the input, of the output.
    latency : "low", "high" or float
    callback : callable
        ``callback(indata, outdata, frames, time, status)``.
    state : SharedState
        Told of the queue's length, and of times that it ran dry or over.

    Notes
    -----
    The queue is begun with 40 ms and grows by half each time that it runs dry, to 200 ms; after
    half a minute without that it shrinks again by a third, in a moment of silence, and waits twice
    as long for the next time whenever that was too early. Where the
    clocks have drifted so far that it holds twice as much and more, the oldest samples go.
    """

    def __init__(self, sd, source, sink, sample_rate, block_size, channels, latency, callback,
                 state):  # fmt: skip
        self._callback = callback
        self._state = state
        self._sample_rate = sample_rate
        capacity = int(_CAPACITY_S * sample_rate)
        self._queue = np.zeros((capacity, channels[1]), np.float32)
        self._block = np.zeros((max(4096, block_size), channels[1]), np.float32)
        self._written = self._read = 0
        self._primed = False
        self._least = max(int(_SHORTEST_S * sample_rate), 2 * block_size)
        self._target = self._least
        self._steady, self._patience_s, self._shrunk = 0, _SHRINK_AFTER_S, False
        common = {
            "samplerate": sample_rate, "blocksize": block_size, "dtype": "float32",
            "latency": latency, "clip_off": True, "dither_off": True,
        }  # fmt: skip
        self._output = sd.OutputStream(
            device=sink.index, channels=channels[1], callback=self._give, **common
        )
        self._input = sd.InputStream(
            device=source.index, channels=channels[0], callback=self._take, **common
        )

    @property
    def latency(self):
        """Of the input and the output, in seconds."""
        return self._input.latency, self._output.latency

    @property
    def active(self):
        """Whether both flow."""
        return self._input.active and self._output.active

    def start(self):
        """Start both."""
        self._output.start()
        self._input.start()

    def abort(self, ignore_errors=True):
        """Stop both at once."""
        self._input.abort(ignore_errors=ignore_errors)
        self._output.abort(ignore_errors=ignore_errors)

    def _take(self, indata, frames, time_info, status):
        for at in range(0, frames, len(self._block)):
            part = indata[at : at + len(self._block)]
            block = self._block[: len(part)]
            self._callback(part, block, len(part), time_info, status)
            self.push(block)

    def push(self, block):
        """Append gated samples; the oldest go where there is no room."""
        n, size = len(block), len(self._queue)
        start = self._written % size
        first = min(n, size - start)
        self._queue[start : start + first] = block[:first]
        self._queue[: n - first] = block[first:]
        self._written += n

    def _give(self, outdata, frames, time_info, status):
        if status and status.output_underflow and self._primed:
            self._state.add("output_underflows")
        self.pull(outdata)

    def pull(self, outdata):
        """Fill `outdata` from the queue, or with silence until there is enough again."""
        n, size = len(outdata), len(self._queue)
        # A device that takes much at a time needs that much to be there.
        target = min(max(self._target, 2 * n), size // 2)
        held = self._written - self._read
        if not self._primed:
            if held < target:
                outdata.fill(0.0)
                return
            self._primed = True
            self._read = self._written - target
        elif held < n:
            self._primed = False
            self._target = min(math.ceil(1.5 * target), int(_LONGEST_S * self._sample_rate))
            self._steady = 0
            if self._shrunk:
                self._patience_s = min(2.0 * self._patience_s, _MOST_PATIENT_S)
                self._shrunk = False
            self._state.add("output_underflows")
            outdata.fill(0.0)
            return
        elif held > 2 * target + self._least:
            self._state.add("output_overflows")
            self._read = self._written - target
        self._steady += n
        if self._steady > self._patience_s * self._sample_rate and self._target > self._least:
            self._shrink(n, size)
        start = self._read % size
        first = min(n, size - start)
        outdata[:first] = self._queue[start : start + first]
        outdata[first:] = self._queue[: n - first]
        self._read += n
        self._state.queue_ms = (self._written - self._read) * 1e3 / self._sample_rate

    def _shrink(self, n, size):
        """Leave a third of the queue out if it is silent."""
        extra = self._target // 3
        if self._written - self._read < n + self._target - extra:
            return
        skipped = self._queue[np.arange(self._read, self._read + extra) % size]
        if np.abs(skipped).max() < _SILENCE:
            self._read += extra
            self._target = max(self._target - extra, self._least)
            self._steady, self._shrunk = 0, True
