"""Recordings gated in hindsight: the best path is read back from the end of the file.

In a stream a hop's state is what the best path says that ends now, or a lookahead later. A file
has a future: a hop's state is that of the best path through the whole recording. The paths that
end open and shut run together wherever the evidence is beyond one of its bounds, so everything
before such a hop is decided for good and memory holds the hops since the last one only (30
seconds at most; then the oldest one is decided by the path that is best at present).
"""

from typing import NamedTuple

import numpy as np

from gate.control import Reason
from gate.decision import (
    FILE_LOUD_HOPS,
    LOUD_HOLD_HOPS,
    add_up,
    hop_logits,
    last_event,
    loudest_ahead,
    next_sure,
    states,
)
from gate.processor import GateProcessor
from gate.settings import FILE
from gate.stretches import Heard
from gate.units import MIN_DBFS

_LONGEST_DOUBT_HOPS = 3000
_AHEAD_SECONDS = 0.005  # the gain moves so much before its hop, so that the attack is over


class Verdicts(NamedTuple):
    """Decisions of hops, and the evidence there for the meters.

    Attributes
    ----------
    open : ndarray, shape (T,), bool
    reason : ndarray, shape (T,), int
        Numbers of `gate.control.Reason`.
    evidence : ndarray, shape (3, T)
        What is kept of it, and its two bounds, in nats.
    """

    open: np.ndarray
    reason: np.ndarray
    evidence: np.ndarray


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

    Notes
    -----
    State: of every hop without a verdict its level, what it says, the evidence and the best
    path's state when it ended; how loud the hops before them were, and whether the last one was
    open.
    """

    def __init__(self, threshold_db, hysteresis_db, rule, longest_doubt_hops=_LONGEST_DOUBT_HOPS):
        self._open_db, self._stay_db = threshold_db, threshold_db - hysteresis_db
        self.rule, self._longest = rule, longest_doubt_hops
        self._levels = self._logits = self._evidence = np.zeros(0)
        self._states = np.zeros(0, bool)
        self._value, self._state = -rule.open_cost, False  # after the last hop
        self._lately = np.full(LOUD_HOLD_HOPS, -np.inf)
        self._is_open = self._ended = False

    def push(self, key_level_dbfs, presence):
        """Take the next hops (T,); presence is NaN where nothing is known of one."""
        unknown = np.isnan(presence)
        logits = hop_logits(np.where(unknown, 0.5, presence), self.rule)
        logits[unknown] = 0.0
        found = add_up(logits, self.rule, self._value)
        now = states(found, self.rule, self._state)
        if len(found):
            self._value, self._state = found[-1], now[-1]
        self._levels = np.r_[self._levels, np.where(unknown, MIN_DBFS, key_level_dbfs)]
        self._logits, self._evidence = np.r_[self._logits, logits], np.r_[self._evidence, found]
        self._states = np.r_[self._states, now]

    def finish(self):
        """The recording has ended: nothing changes any more."""
        self._ended = True

    def verdicts(self):
        """The `Verdicts` that have become final since the last call."""
        n = len(self._states)
        read = np.minimum(next_sure(self._evidence, self.rule), np.arange(n) + self._longest)
        ready = n
        if not self._ended:
            ready = min(int(np.searchsorted(read, n)), max(n - FILE_LOUD_HOPS, 0))
        present = self._states[np.minimum(read[:ready], n - 1)]
        loudest = loudest_ahead(self._levels, FILE_LOUD_HOPS)[:ready]
        lately = loudest_ahead(np.r_[self._lately, loudest][::-1], LOUD_HOLD_HOPS)[::-1]
        opens, stays = loudest > self._open_db, lately[LOUD_HOLD_HOPS:] > self._stay_db
        is_open = last_event(present & opens, ~(present & stays), self._is_open)
        before = np.r_[self._is_open, is_open][:ready]
        reason = np.where(np.where(before, stays, opens), Reason.TARGET_ABSENT,
                          Reason.BELOW_THRESHOLD)  # fmt: skip
        reason[is_open] = np.where(self._logits[:ready] > 0.0, Reason.OPEN, Reason.HELD)[is_open]
        low, high = np.full((2, ready), [[-self.rule.open_cost], [self.rule.shut_cost]])
        kept = np.clip(self._evidence[:ready], low, high)
        if ready:
            self._lately, self._is_open = np.r_[self._lately, loudest][ready:], bool(is_open[-1])
        self._levels, self._logits = self._levels[ready:], self._logits[ready:]
        self._evidence, self._states = self._evidence[ready:], self._states[ready:]
        return Verdicts(is_open, reason, np.stack([kept, low, high]))


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
        return self._cut(self.process_many(tail))

    def _tell(self, index, table):
        """Report hops, but for those that lie beyond the recording."""
        ended_s = (self._taken + 0.5) / self.sample_rate
        super()._tell(index, table.first(int(np.searchsorted(table["time_s"], ended_s))))

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
            gains, table = backlog.gains(last)
            self._tell(index, table)
            gains = np.concatenate([self._first[index], gains])
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
        rule = lane.evidence_rule
        self._hindsight = None
        if rule is not None:
            self._hindsight = Hindsight(settings.threshold_db, settings.hysteresis_db, rule)

    def hear(self, key):
        """Take key samples."""
        heard = self._lane.hear_many(key)
        self._waiting.append(heard)
        if self._hindsight is not None:
            self._hindsight.push(heard.level_dbfs, heard.presence)

    def gains(self, last):
        """The gains that have become final, and the `MeterTable` of their hops."""
        waiting, verdicts = Heard.joined(self._waiting), None
        n = len(waiting.lengths)
        if self._hindsight is not None:
            if last:
                self._hindsight.finish()
            verdicts = self._hindsight.verdicts()
            n = len(verdicts.open)
        self._waiting = [waiting.part(slice(n, None))]
        return self._lane.decide_many(waiting.part(slice(n)), verdicts)
