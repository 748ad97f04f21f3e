"""Teaching tasks from the voice corpus: what to open on, what to stay shut on, and a test.

Every task teaches with some recordings and tests on others of the same sounds. Recordings of the
splits ``dev`` and ``test`` were kept from the shipped detector; cries of one source, drums, sung
notes and instruments exist in the training split only, so tasks made of them are marked `seen`:
the detector has heard these recordings, though nobody told it the task. Dev and test then use
different halves of them.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.learn import untaught
from gate.frontend import Frontend
from gate.metrics import merge_segments, segments_of
from training.corpus.decode import read_mono
from training.corpus.manifest import UNLABELLABLE, read_manifest

RATE = 16000
TEACH_S, TEST_S = 60.0, 45.0
"""Most seconds a side for teaching and for testing."""

_SPEAKERS = {
    "dev": ("ptF08", "ptM08", "ast_es", "so7001", "so9615", "so9643"),
    "test": ("ptF09", "ptF10", "ptM09", "ptM10", "ast_it"),
}
_EVENTS = {
    "dev": ("001 - Dog bark", "005 - Clock tick", "006 - Person sneeze", "009 - Rooster"),
    "test": ("car_horn", "frog", "door_wood_creaks", "chirping_birds"),
}
_DRUMS = ("snare", "hi-hat", "bass drum", "tom", "cymbal")
_DRUM_NAMES = {
    "snare": "snare", "sd": "snare", "hihat": "hi-hat", "hatclosed": "hi-hat", "hh": "hi-hat",
    "hatopen": "hi-hat", "kick": "bass drum", "bd": "bass drum", "tom": "tom",
    "crash": "cymbal", "ride": "cymbal",
}  # fmt: skip
_INSTRUMENTS = ("Flute", "Cello", "Violin_or_fiddle", "Saxophone", "Clarinet", "Acoustic_guitar")
_STROKE = re.compile(r"[_-]?(softest|soft|med|hardest|hard|\d+)$", re.IGNORECASE)
_LONGEST_S = 8.0  # of one recording in a test
_GAP_S = 0.3
_STRANGERS_S, _STRANGER_S = 150.0, 4.0  # of untaught sounds in a test, and of one of them


@dataclass(frozen=True)
class Task:
    """What to teach and on what to test.

    Attributes
    ----------
    name, group : str
        ``speaker ptF09``, ``speaker``.
    seen : bool
        The detector's training had some of these recordings.
    open_teach, shut_teach, open_test, shut_test : tuple of Path
    untaught : tuple of Path
        Sounds of kinds that are not among the examples: see `benchmarks.learn.untaught`.
    """

    name: str
    group: str
    seen: bool
    open_teach: tuple
    shut_teach: tuple
    open_test: tuple
    shut_test: tuple
    untaught: tuple = ()


def _rows(data):
    """The corpus' manifest as dicts with ``path`` and ``sec``; drums get a name and a kind."""
    rows = [
        {**vars(entry), "path": Path(data) / entry.file, "sec": entry.seconds}
        for entry in read_manifest(data)
    ]
    for row in rows:
        if row["source"] == "hydrogen_drums":
            # 00012_PearlSnare_Hardest.opus: one of several strokes on the drum PearlSnare.
            drum = _STROKE.sub("", re.sub(r"^\d+_", "", row["path"].stem))
            name = drum.lower()
            row["speaker"] = drum
            row["cls"] = next((c for part, c in _DRUM_NAMES.items() if part in name), "other")
    return rows


def make_tasks(data, split, seed=0):
    """The tasks of a split, always the same for a seed.

    Parameters
    ----------
    data : str or Path
        Folder of the voice corpus.
    split : {"dev", "test"}
    seed : int

    Returns
    -------
    list of Task
    """
    rows = _rows(data)
    own = [r for r in rows if r["split"] == split]
    half = 0 if split == "dev" else 1
    train = [r for i, r in enumerate(r for r in rows if r["split"] == "train") if i % 2 == half]
    speech = [r for r in own if r["kind"] == "speech" and r["source"] not in UNLABELLABLE]
    rng = np.random.default_rng([seed, half])
    tasks = []

    def add(name, group, opens, shuts, seen=False):
        strangers = untaught.choose(
            name, own, [*opens, *shuts], np.random.default_rng([seed, half, len(tasks)])
        )
        opens, shuts = _part(opens, rng), _part(shuts, rng)
        tasks.append(Task(name, group, seen, opens[0], shuts[0], opens[1], shuts[1], strangers))

    for speaker in _SPEAKERS[split]:
        mine = [r for r in speech if r["speaker"] == speaker]
        others = [r for r in speech if r["speaker"] != speaker]
        near = sorted({r["speaker"] for r in others if r["source"] == mine[0]["source"]})
        far = sorted({r["speaker"] for r in others} - set(near))
        chosen = [*rng.permutation(near)[:4]]
        chosen += [*rng.permutation(far)[: 4 - len(chosen)]]
        add(f"speaker {speaker}", "speaker", mine, _take(others, "speaker", chosen))
    voices = _take(speech, "speaker", rng.permutation(sorted({r["speaker"] for r in speech}))[:8])
    keys = [r for r in own if r["source"].startswith("kbd_")]
    add("keyboard, not speech", "keyboard", keys, voices)
    if split == "dev":
        cries = _take(own, "cls", ("004 - Baby cry",))
        add("infant cry, not speech", "human", cries, voices)
    else:
        for cls in ("laughing", "coughing"):
            add(f"{cls}, not speech", "human", _take(own, "cls", (cls,)), voices)
    cries = [r for r in train if r["source"] == "donateacry"][:16]
    add("infant cry (2), not speech", "human", cries, voices, True)
    drums = _drums(rows, half)
    for drum in _DRUMS[:2]:
        rest = [r for r in drums if r["cls"] != drum]
        add(f"{drum}, not other drums", "drum", _take(drums, "cls", (drum,)), rest, True)
    sung = [r for r in train if r["source"] == "vocobox"]
    instruments = _take(train, "cls", _INSTRUMENTS)
    add("sung notes, not instruments", "sung", sung, instruments, True)
    source = "esc10" if split == "dev" else "esc50_unseen40"
    events = [r for r in own if r["source"] == source and r["kind"] == "noise"]
    classes = sorted({r["cls"] for r in events})
    for cls in _EVENTS[split]:
        nine = rng.permutation([c for c in classes if c != cls])[:9]
        add(f"{cls.split(' - ')[-1]}, not nine others", "event",
            _take(events, "cls", (cls,)), _take(events, "cls", nine))  # fmt: skip
    return tasks


def _drums(rows, half):
    """Strokes on drums that were struck at least twice; every other drum of each kind."""
    strokes = {}
    for row in rows:
        if row["source"] == "hydrogen_drums" and row["cls"] in _DRUMS:
            strokes.setdefault((row["cls"], row["speaker"]), []).append(row)
    chosen, seen = [], {}
    for kind, drum in sorted(strokes):
        if len(strokes[kind, drum]) < 2:
            continue
        seen[kind] = seen.get(kind, -1) + 1
        if seen[kind] % 2 == half:
            chosen += strokes[kind, drum]
    return chosen


def _take(rows, column, values):
    return [r for r in rows if r[column] in set(values)]


def _part(rows, rng):
    """Teaching and test recordings: every kind of sound on both sides, none twice."""
    kinds = {}
    for row in rows:
        kinds.setdefault((row["speaker"], row["cls"]), []).append(row)
    teach, test = [], []
    for kind in kinds.values():
        order = [kind[i] for i in rng.permutation(len(kind))]
        total = sum(r["sec"] for r in order)
        share = min(TEST_S / len(kinds), 0.3 * total)
        taken = 0.0
        for row in order:
            (test if taken < share else teach).append(row["path"])
            taken += row["sec"]
    return tuple(_dealt(teach, kinds)), tuple(_dealt(test, kinds))


def _dealt(paths, kinds):
    """One of every kind in turn, so that the first seconds hold all of them."""
    rows = {r["path"]: kind for kind, rs in kinds.items() for r in rs}
    seen = {}
    keyed = []
    for path in paths:
        seen[rows[path]] = seen.get(rows[path], 0) + 1
        keyed.append((seen[rows[path]], len(keyed), path))
    return [path for _, _, path in sorted(keyed)]


def load(path, longest_s=None):
    """A recording at 16 kHz, mono float32."""
    samples, rate = read_mono(path)
    if longest_s is not None:
        samples = samples[: int(longest_s * rate)]
    samples = np.concatenate([samples, np.zeros(rate // 50, np.float32)]).astype(np.float32)
    return Frontend(rate).process(samples).samples.ravel()


def teaching(paths, seconds):
    """The first `seconds` of recordings, a list of arrays at 16 kHz."""
    taken, left = [], int(seconds * RATE)
    for path in paths:
        if left < RATE // 2:
            break
        samples = load(path)[:left]
        taken.append(samples)
        left -= len(samples)
    return taken


def performance(paths, seconds, seed=0):
    """A drummer: the strokes of recordings in turn, soft and loud, as often as they fit.

    Returns
    -------
    list of ndarray
        Stretches of 5 s at 16 kHz.
    """
    rng = np.random.default_rng([seed, 5])
    strokes = [load(path, 2.0) for path in paths]
    stretches = []
    while sum(map(len, stretches)) < seconds * RATE - 1:
        stretch = np.zeros(int(min(5.0, seconds) * RATE), np.float32)
        at = 0
        while at < len(stretch):
            stroke = strokes[rng.integers(len(strokes))] * np.float32(10 ** rng.uniform(-0.6, 0.0))
            end = min(len(stretch), at + len(stroke))
            stretch[at:end] += stroke[: end - at]
            at += int(rng.uniform(0.2, 0.7) * RATE)
        stretches.append(stretch)
    return stretches


def sounding(samples, frame_s=0.01, range_db=30.0, above_floor_db=6.0):
    """Segments in which a clean recording sounds, from its own energy."""
    frame = int(frame_s * RATE)
    n = len(samples) // frame
    if n < 3:
        return np.zeros((0, 2))
    power = np.mean(np.square(samples[: n * frame].reshape(n, frame), dtype=np.float64), axis=1)
    level = 10.0 * np.log10(power + 1e-12)
    loud, floor = np.percentile(level, 95), np.percentile(level, 5)
    # A recording without pauses has no floor below it: all of it sounds.
    bottom = max(loud - range_db, min(floor + above_floor_db, loud - 15.0), -85.0)
    segments = merge_segments(segments_of(level > bottom, 1.0 / frame_s), 0.15)
    return segments[segments[:, 1] - segments[:, 0] >= 0.02]


def test_scene(task, seed=0, strangers=False):
    """The test recordings in random order, each at a random level, pauses between them.

    Parameters
    ----------
    task : Task
    seed : int
    strangers : bool
        The unwanted sounds are those of kinds that nobody taught, 4 s of each at most.

    Returns
    -------
    audio : ndarray, shape (n,), float32
    wanted, unwanted : ndarray, shape (k, 2)
        Where the one and the other sounds, seconds.
    """
    rng = np.random.default_rng([seed, 7])
    clips = []
    unwanted = (task.untaught, _STRANGERS_S, _STRANGER_S)
    sides = [(task.open_test, TEST_S, _LONGEST_S), (task.shut_test, TEST_S, _LONGEST_S)]
    for side, (paths, left, longest_s) in enumerate((sides[0], unwanted) if strangers else sides):
        for path in paths:
            if left <= 0:
                break
            samples = load(path, longest_s)
            segments = sounding(samples)
            if not len(segments):
                continue
            active = np.concatenate([samples[int(a * RATE) : int(b * RATE)] for a, b in segments])
            rms = float(np.sqrt(np.mean(np.square(active, dtype=np.float64))))
            gain = 10 ** (rng.uniform(-32, -20) / 20) / rms
            samples = samples * np.float32(min(gain, 0.99 / np.max(np.abs(samples))))
            clips.append((side, samples, segments))
            left -= len(samples) / RATE
    gap = int(_GAP_S * RATE)
    parts, at, found = [], 0, ([], [])
    for i in rng.permutation(len(clips)):
        side, samples, segments = clips[i]
        parts += [np.zeros(gap, np.float32), samples.astype(np.float32)]
        at += gap
        found[side].append(segments + at / RATE)
        at += len(samples)
    parts.append(np.zeros(gap, np.float32))
    audio = np.concatenate(parts)
    audio += 10 ** (-80 / 20) * rng.standard_normal(len(audio)).astype(np.float32)
    return audio, *(np.concatenate(f) if f else np.zeros((0, 2)) for f in found)
