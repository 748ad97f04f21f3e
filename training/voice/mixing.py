"""What the mixing process is given: where the sounds are, and how they are mixed."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from realtime.ears import EarSpec, SileroEar

EAR = EarSpec("silero")
DESCRIPTION = asdict(EAR)
"""What a detector's metadata says of the ear that it was trained with."""

_HOP = 160


def over_mixtures(ear):
    """An ear as the mixer asks it: (B, n) at 16 kHz, each from a reset, to (B, T)."""

    def hear(mixtures):
        said = []
        for samples in mixtures:
            ear.reset()
            said.append(ear.process_many(samples[: len(samples) // _HOP * _HOP].reshape(-1, _HOP)))
        return np.stack(said)

    return hear


@dataclass(frozen=True)
class Mixing:
    """Makes the mixer; called in the mixing process, which never loads torch.

    Attributes
    ----------
    cache : str
        Folder of the decode cache.
    n_hops, seed : int
        Hops an item; of the draw.
    n_rooms, synthetic_rounds, n_noises : int
    held_out : str
        See `training.voice.library.Library`.
    snr_db : tuple of float
        See `training.voice.mixer.MixSettings`.
    n_ears : int
        Detectors heard beside the bands.
    taught : bool
        Whether a teacher hears the mixtures (`training.voice.teachers.FireRed`).
    """

    cache: str
    n_hops: int = 800
    seed: int = 0
    n_rooms: int = 300
    synthetic_rounds: int = 25
    n_noises: int = 80
    held_out: str = "without"
    snr_db: tuple = (-5.0, 30.0)
    n_ears: int = 1
    taught: bool = False

    def ears(self):
        """What hears mixtures beside the bands, one callable an ear."""
        return [over_mixtures(SileroEar(EAR)) for _ in range(self.n_ears)]

    def library(self, split="train", held_out=None):
        """The sounds of a split."""
        from training.corpus.cache import Corpus
        from training.voice.library import Library
        from training.voice.teachers import load_opinions

        cache = Path(self.cache)
        opinions = load_opinions(cache / "teachers.npz")
        return Library(
            Corpus(cache), split, self.seed, opinions, self.n_rooms, self.synthetic_rounds,
            self.n_noises, held_out or self.held_out,
        )  # fmt: skip

    def __call__(self, n_made=0):
        """A mixer of the train split, whose items are others for every `n_made` before them."""
        from training.voice.mixer import MixSettings, VoiceMixer
        from training.voice.teachers import FireRed

        settings = MixSettings(n_hops=self.n_hops, snr_db=self.snr_db)
        return VoiceMixer(
            self.library(), settings, [self.seed, 1, n_made], self.ears(),
            FireRed() if self.taught else None,
        )  # fmt: skip
