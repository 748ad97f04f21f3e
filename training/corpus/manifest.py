"""``MANIFEST.csv``: the recordings of the voice corpus, one `Entry` a file."""

import csv
from dataclasses import dataclass
from pathlib import Path

from gate.errors import ConfigError

SPLITS = ("train", "dev", "test")
MANIFEST = "MANIFEST.csv"

UNLABELLABLE = frozenset(
    {"precise_community", "hedgewars_voices", "gcin_voice", "fsdd_8k", "klettres"}
)
"""Sources with noise or hum between the words: their energy says nothing about them."""

_HUMAN_EVENTS = (
    "cry", "sneez", "laugh", "cough", "snor", "breath", "brushing_teeth", "clapping", "drinking",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One recording of the corpus.

    Attributes
    ----------
    split : str
        ``train``, ``dev`` or ``test``.
    kind : str
        ``speech``, ``noise``, ``music``, ``human_nonspeech``, ``voice_cry``, ``voice_sung``
        or ``ir`` (an impulse response).
    source, file, speaker, cls, lang : str
        Collection, path below the corpus folder, speaker, event class, language; may be empty.
    source_rate : int
        Sample rate before any resampling in Hz, 0 where unknown.
    seconds : float
        Length, 0 where unknown.
    vad_share, vad_peak : float or None
        Share of 32 ms chunks in which a speech detector heard speech, and its highest
        probability.
    energy_share : float or None
        Share of 10 ms frames within 30 dB of the loud parts.
    licence : str
        Of the recording; may be empty.
    """

    split: str
    kind: str
    source: str
    file: str
    speaker: str
    cls: str
    lang: str
    source_rate: int
    seconds: float = 0.0
    vad_share: float | None = None
    vad_peak: float | None = None
    energy_share: float | None = None
    licence: str = ""

    @property
    def event_class(self):
        """Name of the event: the source's class, or the kind where there is none."""
        return f"{self.kind}:{self.cls or self.source}"

    @property
    def role(self):
        """The kind; ``human_nonspeech`` for noises whose class names something human."""
        human = self.kind == "noise" and any(word in self.cls.lower() for word in _HUMAN_EVENTS)
        return "human_nonspeech" if human else self.kind

    @property
    def unheard(self):
        """Share of the time with energy but without speech."""
        return (self.energy_share or 0.0) - (self.vad_share or 0.0)


def has_manifest(folder):
    """Whether the corpus is there."""
    return Path(folder, MANIFEST).is_file()


def read_manifest(folder, split=None):
    """Recordings of ``MANIFEST.csv``, in its order.

    Parameters
    ----------
    folder : path-like
        The corpus folder.
    split : str, optional
        Only of this split.

    Returns
    -------
    list of Entry

    Raises
    ------
    ConfigError
        Where there is no manifest, or nothing of that split in it.
    """
    folder = Path(folder)
    if not has_manifest(folder):
        raise ConfigError(
            f"data={folder} must be a folder with a {MANIFEST}; looked in {folder.resolve()} "
            "(say where with --data, or with data: in --config)"
        )
    if split is not None and split not in SPLITS:
        raise ConfigError(f"split={split!r} must be one of {', '.join(SPLITS)}")
    with (folder / MANIFEST).open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if split in (None, row["split"])]
    if split is not None and not rows:
        raise ConfigError(f"data={folder}: the manifest has no rows of split {split!r}")
    return [_entry(row) for row in rows]


def _entry(row):
    checks = (row.get(name) for name in ("vad_share", "vad_peak", "energy_share"))
    return Entry(
        row["split"], row["kind"], row["source"], row["file"], row["speaker"],
        row["cls"], row["lang"], int(row["sr_src"] or 0), float(row["sec"] or 0),
        *(float(value) if value else None for value in checks), row.get("licence", ""),
    )  # fmt: skip


def response_paths(folder, split):
    """Files of the split's impulse responses."""
    return sorted(Path(folder, split, "ir").glob("*.flac"))


def read_responses(folder):
    """The impulse responses that lie beside the manifest, as entries of kind ``ir``."""
    folder = Path(folder)
    return [
        Entry(split, "ir", "ir", path.relative_to(folder).as_posix(), "", path.stem, "", 0)
        for split in SPLITS
        for path in response_paths(folder, split)
    ]
