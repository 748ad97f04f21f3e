"""Recordings gated in hindsight: the best path is read back from the end of the file.

In a stream a hop's state is what the best path says that ends now, or a lookahead later. A file
has a future: a hop's state is that of the best path through the whole recording. The paths that
end open and shut run together wherever the evidence is beyond one of its bounds, so everything
before such a hop is decided for good and memory holds the hops since the last one only (30
seconds at most; then the oldest one is decided by the path that is best at present).
"""

import functools
from typing import NamedTuple

import numpy as np

from gate.control import Evidence, Reason
from gate.decision import FILE_LOUD_HOPS, LOUD_HOLD_HOPS
from gate.processor import GateProcessor
from gate.settings import FILE
from gate.units import MIN_DBFS

_LONGEST_DOUBT_HOPS = 3000
_AHEAD_SECONDS = 0.005  # the gain moves so much before its hop, so that the attack is over


class Verdict(NamedTuple):
    """A hop's decision, and the evidence there with its bounds for the meters."""

    open: bool
    reason: Reason
    evidence: tuple


class Hindsight:
    """Decides the hops of a recording by evidence, each as soon as nothing can change it.

    The decisions are those of `gate.decision.present_hops` and `open_hops` with ``lag=None``.

    Parameters
    ----------
    threshold_db, hysteresis_db : float
        On the key level, as in `gate.control.Control`.
    rule : gate.decision.EvidenceRule
    longest_doubt_hops : int
        How many hops may wait.
    """

    def __init__(self, threshold_db, hysteresis_db, rule, longest_doubt_hops=_LONGEST_DOUBT_HOPS):
        self._open_db, self._stay_db = threshold_db, threshold_db - hysteresis_db
        self._evidence = Evidence(rule)
        self._longest = longest_doubt_hops
        self._hops = []  # (key level, whether it sounds, meter) of the hops without verdict
        self._present = []  # of the first of them
        self._is_open = False
        self._loud_left = 0

    def push(self, key_level_dbfs, presence):
        """Take the next hop; both None where nothing is known of it."""
        evidence = self._evidence
        if presence is None:
            evidence.miss()
            key_level_dbfs = MIN_DBFS
        else:
            evidence.process(presence)
        self._hops.append((key_level_dbfs, evidence.sounding(0), evidence.meter))
        doubtful = len(self._hops) - len(self._present)
        if evidence.undecided == 0:
            self._present += [evidence.present(0)] * doubtful
        elif doubtful > self._longest:
            self._present.append(evidence.is_open)

    def finish(self):
        """The recording has ended: nothing changes any more."""
        doubtful = len(self._hops) - len(self._present)
        self._present += [self._evidence.is_open] * doubtful
        self._hops += [(MIN_DBFS, False, self._evidence.meter)] * FILE_LOUD_HOPS

    def verdicts(self):
        """The verdicts that have become final since the last call, a list."""
        ready = min(len(self._present), len(self._hops) - FILE_LOUD_HOPS)
        found = []
        levels = [level for level, _, _ in self._hops]
        for hop in range(max(ready, 0)):
            present = self._present[hop]
            loudest = max(levels[hop : hop + FILE_LOUD_HOPS + 1])
            stays = loudest > self._stay_db or self._loud_left > 0
            self._loud_left = LOUD_HOLD_HOPS if loudest > self._stay_db else self._loud_left - 1
            loud = stays if self._is_open else loudest > self._open_db
            _, sounding, meter = self._hops[hop]
            self._is_open = loud and present
            if self._is_open:
                reason = Reason.OPEN if sounding else Reason.HELD
            else:
                reason = Reason.TARGET_ABSENT if loud else Reason.BELOW_THRESHOLD
            found.append(Verdict(self._is_open, reason, meter))
        if ready > 0:
            del self._hops[:ready], self._present[:ready]
        return found


class FileGate(GateProcessor):
    """A gate for recordings, which takes ``lookahead_ms: file`` beside the numbers.

    `feed` takes the recording in stretches and returns what has been decided of it, `finish` the
    rest: in all the same samples, in place (a lookahead is taken back). With the lookahead
    ``file`` decisions are taken in hindsight (this module) where evidence decides, and the gain
    moves 5 ms before the hop that it is for; the classic rule decides as ever, with that gain.

    Parameters
    ----------
    settings, sample_rate, channels, detector, ears
        As `gate.processor.GateProcessor`'s. They are not changed while a recording runs, and
        `key_listen` takes the lookahead ``file`` for none.

    Attributes
    ----------
    latency_samples : int
        What has been taken back: gains that `on_gains` sees are so much later than their sound.
    """

    _takes_file = True

    def reset(self):
        """Ready for another recording; settings stay."""
        super().reset()
        settings = self.settings
        self._whole = settings.lookahead_ms == FILE and not settings.key_listen
        self._skip = self.latency_samples
        self._taken = 0
        self._audio = np.zeros((0, self.channels), np.float32)
        if self._whole:
            self._backlogs = [_Backlog(lane, settings) for lane in self.lanes]
            self._gains = [np.zeros(0, np.float32) for _ in self.lanes]
            self._first = [lane.curve.copy() for lane in self.lanes]  # until the first hop ends

    @property
    def latency_samples(self):
        """What the gains are later than their sound in samples; taken back in the output."""
        if not self._whole:
            return super().latency_samples
        frontend = self.lanes[0].frontend
        hop = self.sample_rate * frontend.mel.hop_length / frontend.mel.sample_rate
        return round(hop + _AHEAD_SECONDS * self.sample_rate) + frontend.latency_samples

    def feed(self, audio, key_input=None):
        """Take the next stretch of a recording.

        Parameters
        ----------
        audio : ndarray, shape (n, channels), float32
        key_input : ndarray, shape (n,) or (n, k), optional
            External key input.

        Returns
        -------
        ndarray, shape (m, channels), float32
            The next samples that are decided; m may be 0.
        """
        self._taken += len(audio)
        if not self._whole:
            return self._cut(self.process_many(audio, key_input))
        audio = self._checked(audio, self.channels)
        self._hear(self._keys(audio, key_input))
        self._audio = np.concatenate([self._audio, audio])
        return self._decided()

    def finish(self):
        """The rest of the recording; then `reset` before the next."""
        tail = np.zeros((self.latency_samples, self.channels), np.float32)
        if not self._taken:
            return tail[:0]
        if self._whole:
            self._hear([tail[:, 0]] * len(self.lanes))
            return self._decided(last=True)
        listeners = self.on_hop, self.on_decision
        self.on_hop = self.on_decision = None
        try:
            return self._cut(self.process_many(tail))
        finally:
            self.on_hop, self.on_decision = listeners

    def _tell(self, index, lane):
        """Report a hop, unless it lies beyond the recording."""
        if lane.now <= self._taken:
            self._report(index, lane)

    def _cut(self, gated):
        """Without what the delay put first."""
        drop = min(self._skip, len(gated))
        self._skip -= drop
        return gated[drop:]

    def _hear(self, keys):
        for key, backlog in zip(keys, self._backlogs, strict=True):
            backlog.hear(key)

    def _decided(self, last=False):
        """Gate what all lanes have decided."""
        for index, backlog in enumerate(self._backlogs):
            on_hop = functools.partial(self._tell, index, self.lanes[index])
            gains = np.concatenate([self._first[index], backlog.gains(last, on_hop)])
            self._first[index] = gains[:0]
            if self.on_gains is not None:
                self.on_gains(index, gains)
            self._gains[index] = np.concatenate([self._gains[index], gains])
        drop = min(self._skip, *(len(gains) for gains in self._gains))
        self._skip -= drop
        self._gains = [gains[drop:] for gains in self._gains]
        n = min(len(self._audio), *(len(gains) for gains in self._gains))
        part, self._audio = self._audio[:n], self._audio[n:]
        result = np.empty_like(part)
        for index, gains in enumerate(self._gains):
            columns = slice(None) if len(self._gains) == 1 else slice(index, index + 1)
            np.multiply(part[:, columns], gains[:n, None], out=result[:, columns])
        self._gains = [gains[n:] for gains in self._gains]
        return result


class _Backlog:
    """The hops of one lane that have been heard and not decided."""

    def __init__(self, lane, settings):
        self._lane, self._waiting = lane, []
        evidence = lane.control.evidence
        self._hindsight = None
        if evidence is not None:
            self._hindsight = Hindsight(
                settings.threshold_db, settings.hysteresis_db, evidence.rule
            )

    def hear(self, key):
        """Take key samples."""
        heard = self._lane.hear_many(key)
        self._waiting += heard
        if self._hindsight is not None:
            for reading, *_ in heard:
                level, presence = (None, None) if reading is None else reading[:2]
                self._hindsight.push(level, presence)

    def gains(self, last, on_hop):
        """The gains that have become final."""
        if self._hindsight is None:
            verdicts = [None] * len(self._waiting)
        else:
            if last:
                self._hindsight.finish()
            verdicts = self._hindsight.verdicts()
        ready, self._waiting = self._waiting[: len(verdicts)], self._waiting[len(verdicts) :]
        gains, at = np.empty(sum(hop[-1] for hop in ready), np.float32), 0
        for (*hop, length), verdict in zip(ready, verdicts, strict=True):
            self._lane.step(gains[at : at + length], *hop, verdict)
            at += length
            on_hop()
        return gains
