"""`gate-train voice`: train, evaluate, calibrate and export the live voice detector."""

import sys
from dataclasses import dataclass
from pathlib import Path

from gate.errors import ConfigError

DEFAULT_DATA = "../shared/data/voice"
DEFAULT_TEACHERS = "../shared/data/yamnet"


@dataclass(frozen=True)
class MixerFactory:
    """Makes the mixer in the mixing process.

    Attributes
    ----------
    cache : str
        Folder of the decode cache.
    n_hops, seed : int
    """

    cache: str
    n_hops: int = 800
    seed: int = 0

    def __call__(self):
        from training.sources import Corpus
        from training.teachers import load_opinions
        from training.voice_library import Library
        from training.voice_mixer import MixSettings, VoiceMixer

        cache = Path(self.cache)
        opinions = load_opinions(cache / "teachers.npz")
        library = Library(Corpus(cache), "train", self.seed, opinions)
        return VoiceMixer(library, MixSettings(n_hops=self.n_hops), [self.seed, 1])
