"""Examples are taken in: read, reduced to hops, labelled and checked."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from gate.ears import Ears
from gate.frontend import Frontend
from gate.meters import Counters
from gate.metrics import hop_labels
from gate.signal_metrics import weighted_energy
from realtime.ears import open_ears
from realtime.files import AudioReader
from realtime.labels import read_labels
from realtime.learn.recording import (
    HOP_S,
    OPEN,
    SHUT,
    UNKNOWN,
    Recording,
    find_sounding,
    hop_levels_db,
    pack_ears,
    pack_energy,
    pack_log_mel,
    unpack_log_mel,
)
from realtime.learn.remarks import TeachingError

MAX_SECONDS_A_SIDE = 180.0
"""More is thinned out evenly, so that teaching stays a matter of seconds."""

_SILENT_DBFS = -75.0
_SHORT_S, _LITTLE_S = 0.5, 5.0
_CHUNK_S = 5.0


def listeners(info, notes=None):
    """The second ears that a detector names, for `Analyser`.

    Parameters
    ----------
    info : gate.detector.DetectorInfo
    notes : TeachingNotes, optional
        Gets a warning where one cannot be heard.

    Returns
    -------
    gate.ears.Ears or None
        None where the detector names none, or none of them is there.
    """
    found, silent = open_ears(info)
    for name, why in silent.items():
        if notes is not None:
            notes.warn(f"the second ear {name} is not heard: {why}")
    return Ears(info.ears, found, Counters()) if found else None


class Analyser:
    """Samples of any rate to hops, a chunk at a time.

    Parameters
    ----------
    sample_rate : int
    ears : gate.ears.Ears, optional
        Reset, and asked what they say.
    """

    def __init__(self, sample_rate, ears=None):
        self._frontend = Frontend(sample_rate)
        self._ears = ears
        if ears is not None:
            ears.reset()
        self._log_mel, self._energy, self._said = [], [], []

    def push(self, samples):
        """Append float32 samples (n,) or (n, channels), heard as a linked gate hears them."""
        hops = self._frontend.process(np.asarray(samples, dtype=np.float32))
        if len(hops.ends):
            self._log_mel.append(pack_log_mel(hops.log_mel))
            rate = self._frontend.mel.sample_rate
            self._energy.append(pack_energy(weighted_energy(hops.samples.ravel(), rate)))
            if self._ears is not None:
                self._said.append(pack_ears(self._ears.process_many(hops.samples)))

    def finish(self, name, label):
        """All of it as a recording with one label."""
        if not self._log_mel:
            none = np.zeros((0, 64), np.uint8)
            return Recording(name, none, none[:, 0], np.zeros(0, np.int8), np.zeros(0, bool))
        log_mel = np.concatenate(self._log_mel)
        said = np.concatenate(self._said) if self._said else None
        sounding = find_sounding(unpack_log_mel(log_mel))
        labels = np.full(len(log_mel), label, np.int8)
        return Recording(name, log_mel, np.concatenate(self._energy), labels, sounding, said)


def from_samples(samples, sample_rate, label, name="samples", ears=None):
    """A recording from an array.

    Parameters
    ----------
    samples : ndarray, shape (n,), float32
    sample_rate : int
    label : int
        `OPEN` or `SHUT`, of all of it.
    name : str
    ears : gate.ears.Ears, optional
        See `listeners`.
    """
    analyser = Analyser(sample_rate, ears)
    chunk = int(_CHUNK_S * sample_rate)
    for start in range(0, len(samples), chunk):
        analyser.push(samples[start : start + chunk])
    return analyser.finish(name, label)


def read_recording(path, label, notes, ears=None):
    """A recording from a file, all of it with one label.

    Parameters
    ----------
    path : str or Path
    label : int
    notes : TeachingNotes
        Gets a warning for what is doubtful.
    ears : gate.ears.Ears, optional
        See `listeners`.

    Raises
    ------
    AudioFileError, TeachingError
    """
    path = Path(path)
    with AudioReader(path, allow_truncated=True) as reader:
        info = reader.info
        analyser = Analyser(info.sample_rate, ears)
        peak, clipped, total = 0.0, 0, 0
        for chunk in reader.chunks(int(_CHUNK_S * info.sample_rate)):
            bad = ~np.isfinite(chunk)
            if bad.any():
                notes.warn(f"{path}: {int(bad.sum())} samples are not finite and became silence")
                chunk = np.where(bad, np.float32(0.0), chunk)
            analyser.push(chunk)
            peak = max(peak, float(np.abs(chunk).max()))
            clipped += int(np.sum(np.abs(chunk) >= 0.999))
            total += chunk.size
    if total == 0:
        raise TeachingError(f"{path}: holds no sound")
    if info.channels > 1:
        notes.tell(f"{path}: {info.channels} channels, heard as one as a linked gate does")
    if clipped > 1e-3 * total:
        notes.warn(f"{path}: {100 * clipped / total:.1f} % of the samples are clipped; what is "
                   "learned is the sound of clipping, too")  # fmt: skip
    if info.sample_rate < 16000:
        notes.warn(
            f"{path}: sample_rate={info.sample_rate} holds nothing above "
            f"{info.sample_rate / 2000:g} kHz; teach with sound as the gate will get it"
        )
    recording = analyser.finish(path.name, label)
    notes.rates.setdefault(label, set()).add(min(info.sample_rate, 16000))
    peak_dbfs = 20.0 * np.log10(peak + 1e-9)
    if peak_dbfs < _SILENT_DBFS:
        notes.warn(f"{path}: is silent (peak {peak_dbfs:.0f} dBFS) and is left out")
        return recording.part(0, 0)
    return recording


def read_labelled(path, labels_path, notes, ears=None):
    """A recording that is open where a label file says so and shut elsewhere.

    Parameters
    ----------
    path, labels_path : str or Path
        Audio; CSV ``file,start_s,end_s`` or an Audacity label track.
    notes : TeachingNotes
    ears : gate.ears.Ears, optional
    """
    recording = read_recording(path, SHUT, notes, ears)
    segments = read_labels(labels_path, str(path))
    wanted = hop_labels(segments, len(recording.label))
    if not wanted.any():
        raise TeachingError(f"{labels_path}: labels nothing in {path}")
    if wanted.all():
        raise TeachingError(f"{labels_path}: labels all of {path}; nothing is left to stay shut on")
    if len(segments) and segments[-1, 1] > recording.seconds + 0.5:
        notes.warn(f"{labels_path}: labels go on to {segments[-1, 1]:.1f} s, {path} ends at "
                   f"{recording.seconds:.1f} s")  # fmt: skip
    level = hop_levels_db(unpack_log_mel(recording.log_mel))
    quiet = level < np.percentile(level, 95) - 40.0
    if np.mean(quiet[wanted]) > 0.5:
        notes.warn(f"{labels_path}: {100 * np.mean(quiet[wanted]):.0f} % of what it labels in "
                   f"{path} is all but silent; do the labels belong to it?")  # fmt: skip
    return replace(recording, label=np.where(wanted, OPEN, SHUT).astype(np.int8))


def read_multitrack(stem_path, mix_path, notes, ears=None):
    """A mix that is open where its stem sounds.

    Parameters
    ----------
    stem_path, mix_path : str or Path
        The wanted sound alone, and the microphone that the gate will listen to.
    notes : TeachingNotes
    ears : gate.ears.Ears, optional
    """
    stem = read_recording(stem_path, OPEN, notes)
    mix = read_recording(mix_path, OPEN, notes, ears)
    if abs(stem.seconds - mix.seconds) > 0.5:
        notes.warn(f"{stem_path} lasts {stem.seconds:.1f} s, {mix_path} {mix.seconds:.1f} s; "
                   "they are lined up at their beginnings")  # fmt: skip
    n_hops = min(len(stem.label), len(mix.label))
    stem, mix = stem.part(0, n_hops), mix.part(0, n_hops)
    if not stem.sounding.any() or stem.sounding.all():
        what = "never" if not stem.sounding.any() else "always"
        raise TeachingError(f"{stem_path}: sounds {what}; there is nothing to tell apart")
    # Around a stem's edges its mix is neither.
    edge = np.convolve(stem.sounding, np.ones(5), mode="same") > 0
    label = np.where(stem.sounding, OPEN, np.where(edge, UNKNOWN, SHUT)).astype(np.int8)
    return replace(mix, label=label, sounding=mix.sounding | stem.sounding)


def check_sides(recordings, notes, world=False):
    """Refuse teaching that cannot work, warn of what is doubtful, thin out what is too much.

    Parameters
    ----------
    recordings : list of Recording
    notes : TeachingNotes
    world : bool
        Everyday sounds count as shut, so there need be no examples of that side.

    Returns
    -------
    list of Recording

    Raises
    ------
    TeachingError
    """
    recordings = [r for r in recordings if len(r.label)]
    _check_contradictions(recordings, notes)
    for label, flag in ((OPEN, "--open"), (SHUT, "--shut")):
        seconds = sum(r.seconds_of(label) for r in recordings)
        if world and label == SHUT and seconds < _SHORT_S:
            notes.tell("nothing to stay shut on but everyday sounds; 30 s of what the gate will "
                       "hear beside the wanted sound are better")  # fmt: skip
            continue
        if seconds < _SHORT_S:
            raise TeachingError(
                f"{flag}: {seconds:.1f} s of sound must be at least {_SHORT_S:g} s, better 30 s"
            )
        if seconds < _LITTLE_S:
            notes.warn(f"{flag}: only {seconds:.1f} s of sound; 30 s are better")
    rates = [notes.rates.get(label, set()) for label in (OPEN, SHUT)]
    if all(rates) and max(rates[0]) != max(rates[1]):
        notes.warn("one side has a higher sample rate than the other: the gate may learn the "
                   "bandwidth instead of the sound")  # fmt: skip
    return _thinned(recordings, notes)


def _check_contradictions(recordings, notes):
    """The same sound on both sides."""
    heard = {}
    for recording in recordings:
        for label in (OPEN, SHUT):
            mine = (recording.label == label) & recording.sounding
            # Hops of real sound repeat by chance hardly ever, 64 bytes each.
            for row in recording.log_mel[mine]:
                heard.setdefault(row.tobytes(), [set(), set()])[label].add(recording.name)
    both = [sides for sides in heard.values() if sides[0] and sides[1]]
    total = sum(int(np.sum(r.sounding)) for r in recordings)
    if not both or not total:
        return
    shared = len(both) / len(heard)
    names = sorted(both[0][OPEN])[0], sorted(both[0][SHUT])[0]
    if shared > 0.5:
        raise TeachingError(f"{names[0]} and {names[1]}: the same sound is on both sides")
    if shared > 0.002:
        notes.warn(f"{names[0]} and {names[1]}: {len(both) * HOP_S:.1f} s of the same sound are on "
                   "both sides; they contradict each other and are left out")  # fmt: skip
        for recording in recordings:
            for hop, row in enumerate(recording.log_mel):
                sides = heard.get(row.tobytes())
                if sides and sides[0] and sides[1]:
                    recording.label[hop] = UNKNOWN


def _thinned(recordings, notes):
    """At most `MAX_SECONDS_A_SIDE`, taken in stretches of 3 s from all over."""
    total = max(sum(float(np.sum(r.label == s)) * HOP_S for r in recordings) for s in (OPEN, SHUT))
    if total <= MAX_SECONDS_A_SIDE:
        return recordings
    share = MAX_SECONDS_A_SIDE / total
    notes.tell(f"{total:.0f} s on a side: every {1 / share:.1f}th stretch of 3 s is used")
    kept = []
    for recording in recordings:
        n = len(recording.label)
        pieces = max(1, round(share * n / 300))
        for begin in np.linspace(0, max(0, n - 300), pieces).astype(int):
            kept.append(recording.part(begin, min(begin + 300, n)))
    return kept
