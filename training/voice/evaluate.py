"""Figures of a detector through the gate it will drive.

The evaluation set is the benchmark's (`training.corpus.mixtures`): mixtures clean to 0 dB,
recordings without speech. The network runs once a recording; any number of rules and settings is
then tried on what it said, by the gate's own rules for whole recordings (`gate.decision`) and the
batched twin of its envelope (`training.voice.gate_loss`), which tests hold to `gate.envelope`.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from gate.decision import ClassicRule, EvidenceRule, present_hops
from gate.errors import ModelError
from gate.features import mel_centres_hz
from gate.frontend import Frontend
from gate.key import band_partition
from gate.metrics import Tally, measure, open_segments
from gate.settings import GateSettings
from gate.signal_metrics import FRAME_S, LossWeights, gated_signal_loss, weighted_energy
from realtime.ears import open_ears
from training.corpus.decode import decode
from training.corpus.labels import runs, sound_labels
from training.corpus.manifest import read_manifest
from training.voice.gate_loss import GateLossSettings, decided, gate_gain
from training.voice.mixing import over_mixtures

_HOP_S = 0.01
_SHIPPED = GateSettings()


@dataclass
class Heard:
    """One recording as the detector hears it, and what it said.

    Attributes
    ----------
    name, group, cluster : str
    duration_s : float
    segments : ndarray, shape (k, 2)
        Wanted, seconds.
    features, band_power : ndarray, shape (T, 64)
    ears : ndarray, shape (T, k)
        What the other ears said.
    s_level_db : ndarray, shape (T,) or None
        Level of the wanted sound alone in the detector's bands, dBFS.
    s_energy, n_energy : ndarray or None
        Weighted energies a frame of 2.5 ms.
    presence : ndarray, shape (T, n_classes)
    key : ndarray, shape (T, 64)
    ballistics : ndarray, shape (T, 3)
    levels : dict
        Key levels that have been computed (`key_levels`).
    """

    name: str
    group: str
    cluster: str
    duration_s: float
    segments: np.ndarray
    features: np.ndarray
    band_power: np.ndarray
    ears: np.ndarray
    s_level_db: np.ndarray | None = None
    s_energy: np.ndarray | None = None
    n_energy: np.ndarray | None = None
    presence: np.ndarray | None = None
    key: np.ndarray | None = None
    ballistics: np.ndarray | None = None
    levels: dict = field(default_factory=dict)


@dataclass(frozen=True)
class GateChoice:
    """Settings of the gate to try.

    Attributes
    ----------
    rule : EvidenceRule or ClassicRule
    threshold_db, range_db, hysteresis_db : float
    lookahead_ms : float or None
        None reads a recording back from its end.
    fixed : tuple of float or None
        Attack, hold, release in seconds instead of the learned ones; None for a learned one.
        The hold is the classic rule's.
    key : str or tuple of float
        ``learned``, ``off``, or lower and upper edge in Hz.
    columns : tuple of int
        Presence columns of the target.
    """

    rule: EvidenceRule | ClassicRule = field(default_factory=EvidenceRule)
    threshold_db: float = _SHIPPED.threshold_db
    range_db: float = _SHIPPED.range_db
    hysteresis_db: float = _SHIPPED.hysteresis_db
    lookahead_ms: float | None = 0.0
    fixed: tuple = (None, None, None)
    key: object = "learned"
    columns: tuple = (0,)

    @property
    def gate(self):
        """The same for `training.voice.gate_loss`."""
        return GateLossSettings(
            rule=self.rule,
            hold_s=self.fixed[1] or 0.0,
            hysteresis_db=self.hysteresis_db,
            lookahead_ms=self.lookahead_ms,
        )


def _analyse(samples, sample_rate, ears=()):
    hops = Frontend(sample_rate).process(np.asarray(samples, dtype=np.float32))
    said = [ear(hops.samples.reshape(1, -1))[0] for ear in ears]
    said = np.stack(said, axis=-1) if said else np.zeros((len(hops.log_mel), 0), np.float32)
    return hops.log_mel, hops.power @ band_partition().T, said


def hear(clip, ears=()):
    """Load a clip of the evaluation set and analyse it; `ears` as of the mixer."""
    loaded = clip.load()
    sound, rate = loaded.sound, loaded.sample_rate
    heard = Heard(
        clip.name,
        clip.group,
        clip.cluster,
        loaded.duration_s,
        loaded.segments,
        *_analyse(sound.audio, rate, ears),
    )
    if sound.wanted is not None:
        s_power = _analyse(sound.wanted, rate)[1].sum(axis=1)
        heard.s_level_db = 10.0 * np.log10(np.maximum(s_power, 1e-14))
        heard.s_energy = weighted_energy(sound.wanted, rate)
        heard.n_energy = weighted_energy(sound.unwanted, rate)
    return heard


@torch.no_grad()
def ask(net, recordings, together=32, listen=True):
    """Run the network over recordings and keep what it says in them.

    Without `listen` the other ears are silent.

    `together` recordings of about the same length run side by side; what pads the shorter ones
    comes after their end and changes nothing. A network of one sequence at a time needs 1.
    """
    order = sorted(recordings, key=lambda heard: len(heard.features))
    for begin in range(0, len(order), together):
        group = order[begin : begin + together]
        longest = len(group[-1].features)
        features = torch.full((len(group), longest, 64), -11.5)
        ears = torch.zeros(len(group), longest, group[0].ears.shape[1])
        for row, heard in enumerate(group):
            features[row, : len(heard.features)] = torch.from_numpy(heard.features)
            ears[row, : len(heard.ears)] = torch.from_numpy(heard.ears)
        outputs = net(features, ears if ears.shape[-1] and listen else None)
        presence = torch.sigmoid(outputs["presence_logits"])
        key = torch.sigmoid(outputs["key_logits"])
        for row, heard in enumerate(group):
            n = len(heard.features)
            heard.presence = presence[row, :n].numpy().copy()
            heard.key = key[row, :n].numpy().copy()
            heard.ballistics = outputs["ballistics"][row, :n].numpy().copy()
            heard.levels.pop("learned", None)
    return recordings


def key_levels(heard, key="learned"):
    """Key level of each hop in dBFS."""
    if key not in heard.levels:
        if key == "learned":
            weights = heard.key
        elif key == "off":
            weights = np.ones((1, heard.band_power.shape[1]), dtype=np.float32)
        else:
            centres = mel_centres_hz()
            weights = ((centres >= key[0]) & (centres <= key[1])).astype(np.float32)[None]
        power = np.einsum(
            "tb,tb->t", heard.band_power, np.broadcast_to(weights, heard.band_power.shape)
        )
        heard.levels[key] = 10.0 * np.log10(np.maximum(power, 1e-14))
    return heard.levels[key]


@torch.no_grad()
def gains(recordings, choice):
    """Gain of the gate for each recording, one value a 2.5 ms frame: list of ndarray."""
    order = sorted(range(len(recordings)), key=lambda i: len(recordings[i].features))
    result = [None] * len(recordings)
    for begin in range(0, len(order), 64):  # of about the same length, side by side
        rows = order[begin : begin + 64]
        for i, gain in zip(rows, _gains([recordings[i] for i in rows], choice), strict=True):
            result[i] = gain
    return result


def _gains(recordings, choice):
    longest = max(len(heard.features) for heard in recordings)
    count = len(recordings)
    presence = np.zeros((count, longest), dtype=np.float32)
    level = np.full((count, longest), -140.0, dtype=np.float32)
    ballistics = np.full((count, longest, 3), 0.01, dtype=np.float32)
    for row, heard in enumerate(recordings):
        n = len(heard.features)
        presence[row, :n] = heard.presence[:, list(choice.columns)].max(axis=1)
        level[row, :n] = key_levels(heard, choice.key)
        ballistics[row, :n] = heard.ballistics
    for column, value in enumerate(choice.fixed):
        if value is not None:
            ballistics[..., column] = value
    settings = choice.gate
    opened = decided(presence, level, choice.threshold_db, settings)
    range_db = torch.full((count,), choice.range_db)
    gain = gate_gain(opened, torch.from_numpy(ballistics), range_db, settings)
    return [gain[row, : 4 * len(h.features)].numpy() for row, h in enumerate(recordings)]


@dataclass
class Verdict:
    """What a choice of settings did.

    Attributes
    ----------
    tallies : dict of str to Tally
        One a group.
    losses : dict of str to float
        Gated-signal loss a recording, where the parts are known.
    """

    tallies: dict = field(default_factory=dict)
    losses: dict = field(default_factory=dict)

    def table(self):
        """Rows a group: dict of str to dict of float (see `gate.metrics.Tally.summary`)."""
        return {group: tally.summary() for group, tally in self.tallies.items()}


def judge(recordings, choice, with_loss=False):
    """Try gate settings on what the network said.

    Parameters
    ----------
    recordings : list of Heard
        After `ask`.
    choice : GateChoice
    with_loss : bool
        Also the gated-signal loss.

    Returns
    -------
    Verdict
    """
    verdict = Verdict()
    for heard, gain in zip(recordings, gains(recordings, choice), strict=True):
        opened = open_segments(gain, 1.0 / FRAME_S, choice.range_db)
        opened = np.minimum(opened, heard.duration_s)
        tally = measure(heard.segments, opened[opened[:, 1] > opened[:, 0]], heard.duration_s)
        verdict.tallies[heard.group] = verdict.tallies.get(heard.group, Tally()) + tally
        if with_loss and heard.s_energy is not None:
            n = min(len(gain), len(heard.s_energy))
            verdict.losses[heard.name] = gated_signal_loss(
                gain[:n], heard.s_energy[:n], heard.n_energy[:n], LossWeights()
            )
    return verdict


def key_error_db(recordings):
    """Median absolute error of the key level against the voice's own level, a group.

    Over hops inside wanted segments in which the voice is within 30 dB of its loud parts.
    """
    errors = {}
    for heard in recordings:
        if heard.s_level_db is None:
            continue
        n = min(len(heard.features), len(heard.s_level_db))
        times = (np.arange(n) + 0.5) * _HOP_S
        inside = np.zeros(n, dtype=bool)
        for begin, end in heard.segments:
            inside |= (times >= begin) & (times < end)
        level = heard.s_level_db[:n]
        if not inside.any():
            continue
        inside &= level > np.percentile(level[inside], 95) - 30.0
        error = np.abs(key_levels(heard)[:n] - level)[inside]
        errors.setdefault(heard.group, []).append(error)
    return {group: float(np.median(np.concatenate(parts))) for group, parts in errors.items()}


@torch.no_grad()
def level_changes(net, clips, rule, ears=()):
    """Share of hops whose decision differs between a recording at -50 and at -10 dBFS."""
    changed = total = 0
    for clip in clips:
        loaded = clip.load()
        audio = np.asarray(loaded.sound.audio, dtype=np.float64)
        rms = np.sqrt(np.mean(np.square(audio))) + 1e-12
        decisions = []
        for level in (-50.0, -10.0):
            scaled = audio * (10.0 ** (level / 20.0) / rms)
            features, _, said = _analyse(scaled.astype(np.float32), loaded.sample_rate, ears)
            said = torch.from_numpy(said)[None] if ears else None
            logits = net(torch.from_numpy(features)[None], said)["presence_logits"][0, :, 0]
            decisions.append(present_hops(torch.sigmoid(logits).numpy(), rule))
        changed += int(np.sum(decisions[0] != decisions[1]))
        total += len(decisions[0])
    return changed / max(total, 1)


def print_table(verdict, print_line=print):
    """The measures of each group, one line a group."""
    print_line(
        f"{'group':<16} {'bacc':>5} {'FEC%':>5} {'MSC%':>5} {'OVER%':>5} {'NDS%':>5} {'p50':>4} "
        f"{'p90':>4} {'open%':>6} {'/min':>5}"
    )
    for group, row in verdict.table().items():
        print_line(
            f"{group:<16} {row['balanced_accuracy']:5.3f} {100 * row['fec']:5.1f} "
            f"{100 * row['msc']:5.1f} {100 * row['over']:5.1f} {100 * row['nds']:5.1f} "
            f"{row['onset_p50_ms']:4.0f} {row['onset_p90_ms']:4.0f} "
            f"{100 * row['open_share']:6.2f} {row['opens_per_minute']:5.1f}"
        )


def hear_sound(samples, name, group, ears=()):
    """A recording at 16 kHz without any wanted sound."""
    nothing = np.zeros((0, 2))
    return Heard(name, group, name, len(samples) / 16000, nothing, *_analyse(samples, 16000, ears))


def sung_recordings(folder, ears=()):
    """The corpus' sung notes, half a second of near silence around each; group ``sung``.

    There are two minutes of them, of one singer, and all are in the train split.
    """
    recordings = []
    for recording in read_manifest(folder):
        if recording.kind != "voice_sung":
            continue
        note = decode(Path(folder) / recording.file)
        note = np.pad(note[: len(note) // 160 * 160], 8000)
        noise = np.random.default_rng(0).standard_normal(len(note))
        heard = hear_sound((note + 1e-4 * noise).astype(np.float32), recording.file, "sung", ears)
        heard.segments = runs(sound_labels(note)) * _HOP_S
        recordings.append(heard)
    return recordings


def heard_by(info):
    """The ears that a detector names, as `hear` takes them."""
    ears, silent = open_ears(info)
    if silent:
        raise ModelError("; ".join(f"ear {name}: {why}" for name, why in silent.items()))
    return [over_mixtures(ear) for ear in ears]


class OnnxNet:
    """An exported detector that is called like the network it came from, one sequence a call.

    Parameters
    ----------
    path : path-like
    """

    def __init__(self, path):
        from realtime.onnx_detector import OnnxDetector

        self.detector = OnnxDetector(path)

    def __call__(self, features, ears=None):
        """Outputs of a sequence (1, T, n_mels), (1, T, n_ears) from a reset."""
        self.detector.reset()
        heard = () if ears is None else (ears[0].numpy(),)
        found = self.detector.process(features[0].numpy(), *heard)
        presence, key = (
            torch.logit(torch.from_numpy(np.array(a)), eps=1e-7)[None]
            for a in (found.presence, found.key)
        )
        ballistics = torch.from_numpy(np.array(found.ballistics))[None]
        return {"presence_logits": presence, "key_logits": key, "ballistics": ballistics}
