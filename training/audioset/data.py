"""AudioSet's released embeddings as arrays: shards, cache, classes, targets and splits."""

import csv
import difflib
import functools
import hashlib
import json
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from gate.errors import ConfigError
from realtime.outputs import Replacement
from training.audioset.settings import N_DIMS, N_ROWS
from training.audioset.tfrecord import RecordError, parse_sequence_example, read_records

_CACHE_VERSION = 1


@dataclass(frozen=True)
class ClipSet:
    """Clips of one part of the data set.

    Attributes
    ----------
    embeddings : ndarray, shape (n, 10, 128), uint8
        One row a second; rows past a clip's length are 0.
    lengths : ndarray, shape (n,), int64
        Rows that are real, 1 to 10.
    labels : ndarray, shape (n, n_classes), bool
    video_ids : ndarray, shape (n,), str
    """

    embeddings: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    video_ids: np.ndarray

    def __len__(self):
        return len(self.lengths)

    @property
    def mask(self):
        """Which rows are real, shape (n, 10), bool."""
        return np.arange(self.embeddings.shape[1]) < self.lengths[:, None]

    def take(self, index):
        """The clips at `index` (integers or a boolean mask)."""
        return ClipSet(*(getattr(self, f.name)[index] for f in fields(self)))

    def joined(self, other):
        """These clips and then the `other` ones."""
        pairs = ([getattr(part, f.name) for part in (self, other)] for f in fields(self))
        return ClipSet(*map(np.concatenate, pairs))


def load_shards(folder, n_classes=527):
    """The clips of a folder's ``*.tfrecord``, in file-name order, as a ClipSet."""
    paths = sorted(Path(folder).glob("*.tfrecord"))
    if not paths:
        raise ConfigError(f"data={folder} must hold .tfrecord files")
    records = read_records(paths)
    embeddings = np.zeros((len(records), N_ROWS, N_DIMS), dtype=np.uint8)
    lengths = np.zeros(len(records), dtype=np.int64)
    labels = np.zeros((len(records), n_classes), dtype=bool)
    video_ids = []
    for i, record in enumerate(records):
        context, lists = parse_sequence_example(record)
        try:
            video_id = context["video_id"][0].decode()
            rows = [step[0] for step in lists["audio_embedding"]]
            labels[i, context["labels"]] = True
        except (KeyError, IndexError, AttributeError, UnicodeDecodeError) as error:
            raise RecordError(f"{folder}: record {i} is not an AudioSet embedding clip") from error
        if not 1 <= len(rows) <= N_ROWS or any(len(row) != N_DIMS for row in rows):
            raise RecordError(f"clip {video_id}: expected 1 to {N_ROWS} rows of {N_DIMS} bytes")
        embeddings[i, : len(rows)] = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, N_DIMS)
        lengths[i] = len(rows)
        video_ids.append(video_id)
    return ClipSet(embeddings, lengths, labels, np.array(video_ids, dtype="U16"))


def _there(data, name):
    path = Path(data) / name
    if not path.exists():
        raise ConfigError(
            f"data={data} must hold {name}; looked in {path.resolve()} "
            "(say where with --data, or with data: in --config)"
        )
    return path


def load_part(data, part, cache=None):
    """One part of the data set, from the cache when it is of these very files.

    Parameters
    ----------
    data : path-like
        Folder with ``audioset_v1_embeddings`` and ``metadata``.
    part : {"bal_train", "eval"}
    cache : path-like or None
        Folder for the arrays; None reads the shards every time.
    """
    folder = _there(data, f"audioset_v1_embeddings/{part}")
    n_classes = len(ClassList.load(data).names)
    if cache is None:
        return load_shards(folder, n_classes)
    shards = [(path.name, path.stat()) for path in folder.glob("*.tfrecord")]
    listing = sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in shards)
    key = hashlib.sha256(repr((_CACHE_VERSION, n_classes, listing)).encode()).hexdigest()[:16]
    path = Path(cache) / f"{part}-{key}.npz"
    if not path.exists():
        clips = load_shards(folder, n_classes)
        with Replacement(path) as output:
            packed = {"labels": np.packbits(clips.labels, axis=1)}
            np.savez(output.file, **vars(clips) | packed)
            output.commit()
    return _read_arrays(path, n_classes)


@functools.lru_cache(maxsize=2)
def _read_arrays(path, n_classes):
    # Both parts stay in memory: a process runs many rows of a table.
    with np.load(path, allow_pickle=False) as arrays:
        labels = np.unpackbits(arrays["labels"], axis=1, count=n_classes).astype(bool)
        return ClipSet(arrays["embeddings"], arrays["lengths"], labels, arrays["video_ids"])


@dataclass(frozen=True)
class ClassList:
    """The labelled classes by index, and the ontology above them: mid -> (name, child mids)."""

    mids: tuple
    names: tuple
    ontology: dict

    @classmethod
    def load(cls, data):
        """Read ``metadata/class_labels_indices.csv`` and ``ontology.json`` of a data folder."""
        names = _there(data, "metadata/class_labels_indices.csv")
        with open(names, newline="", encoding="utf-8") as file:
            rows = sorted(csv.DictReader(file), key=lambda row: int(row["index"]))
        ontology, path = {}, Path(data) / "metadata" / "ontology.json"
        if path.is_file():
            nodes = json.loads(path.read_text(encoding="utf-8"))
            ontology = {e["id"]: (e["name"], tuple(e["child_ids"])) for e in nodes}
        mids, names = zip(*((row["mid"], row["display_name"]) for row in rows), strict=True)
        return cls(mids, names, ontology)

    def _mid(self, name):
        # Labelled classes win over ontology nodes of the same name.
        names = {n.lower(): mid for mid, (n, _) in self.ontology.items()}
        names |= {n.lower(): mid for n, mid in zip(self.names, self.mids, strict=True)}
        known = names | {mid: mid for mid in (*self.ontology, *self.mids)}
        known |= {str(i): mid for i, mid in enumerate(self.mids)}
        text = str(name).strip().lower()
        if text in known:
            return known[text]
        near = difflib.get_close_matches(text, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        last = len(self.mids) - 1
        raise ConfigError(f"class={name!r} must be a class name, mid or index in 0..{last}{hint}")

    def indices(self, name, descendants=False):
        """Label indices that a name, mid or index stands for, a list of int.

        With `descendants` the classes below it in the ontology too. A node that labels no clip
        itself ("Human voice") always stands for those below it.
        """
        mid = self._mid(name)
        if mid in self.mids and not descendants:
            return [self.mids.index(mid)]
        below, queue = set(), [mid]
        while queue:
            mid = queue.pop()
            if mid not in below:
                below.add(mid)
                queue.extend(self.ontology.get(mid, ("", ()))[1])
        found = [i for i, m in enumerate(self.mids) if m in below]
        if not found:
            raise ConfigError(f"class={name!r} must have labelled classes at or below it")
        return found


def select_target(clips, classes, target, exclude=()):
    """Binary targets of `clips`, (n,) float32, and which of them to keep, (n,) bool.

    Not kept are *negative* clips with one of the classes of `exclude` or one below it.
    """
    positive = clips.labels[:, classes.indices(target)].any(axis=1)
    unwanted = sorted({i for name in exclude for i in classes.indices(name, descendants=True)})
    keep = positive | ~clips.labels[:, unwanted].any(axis=1)
    return positive.astype(np.float32), keep


def split_clips(n, file_order=False):
    """Indices of the training and validation parts of `n` clips, 4/5 and 1/5.

    They are shuffled, always alike; in `file_order` the last fifth validates, as in the paper.
    """
    order = np.arange(n) if file_order else np.random.default_rng(0).permutation(n)
    cut = n * 4 // 5
    return order[:cut], order[cut:]


def load_strong_speech(data):
    """Human labels of eval clips, for evaluation only: video ids (n,), share of speech (n, 10)."""
    path = _there(data, "metadata/eval_strong_speech.npz")
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["video_id"].astype("U16"), arrays["speech_coverage_per_second"]
