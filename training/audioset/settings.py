"""Names and settings of one run; nothing here needs torch."""

import dataclasses
from dataclasses import dataclass, field

from gate.errors import ConfigError

TITLES = {
    "linear": "Linear",
    "conv1d": "1-D convolution",
    "conv2d": "2-D convolution",
    "lstm": "LSTM",
    "transformer": "Transformer",
    "vgg": "VGG-like CNN over the plane",
    "gated-conv": "Gated convolutions, attention",
    "bilstm": "Bidirectional LSTM, a row a second",
    "multi-level": "Multi-level attention",
    "paper-conv1d": "1-D convolution, the paper's layers",
    "paper-conv2d": "2-D convolution, the paper's layers",
    "paper-transformer": "Transformer on the rows themselves",
}
"""Every architecture; the classes are in `training.audioset.models`."""

N_ROWS = 10
N_DIMS = 128
"""A clip has so many embedding rows, one a second, of so many bytes."""
METRICS = ("accuracy", "f1_class", "ap", "roc_auc")
SECONDS = ("seconds_roc_auc", "seconds_roc_auc_strict")
"""Figures of clips, and of their seconds; see `training.audioset.metrics`."""
LEARNING_RATES = {"adam": 1e-3, "rmsprop": 5e-4, "adagrad": 1e-2}
"""Of each optimiser, where a run names none."""
CHOICES = {
    "arch": tuple(TITLES),
    "loss": ("bce", "ce"),
    "optimiser": tuple(LEARNING_RATES),
    "augment": ("none", "constant", "halves"),
    "split": ("shuffled", "file-order", "eval"),
}


@dataclass(frozen=True)
class RunSettings:
    """Everything that decides a run's outcome.

    Attributes
    ----------
    arch : str
        Key of `TITLES`; `options` are keyword arguments of its class.
    target : str
        Name, mid or index of the class; no negative clip carries one of `exclude`.
    loss : {"bce", "ce"}
        One output with binary cross-entropy, or two with cross-entropy.
    optimiser : {"adam", "rmsprop", "adagrad"}
        `learning_rate` None takes its own of `LEARNING_RATES`.
    augment : {"none", "constant", "halves"}
        What is done to positives; see `training.audioset.train.augment_positives`.
    split : {"shuffled", "file-order", "eval"}
        "eval" trains on 4/5 of the *eval* part and validates on the rest: the paper's sanity
        check, never a result.
    epochs, patience : int
        Stop after `patience` epochs without a lower validation loss.
    """

    arch: str = "linear"
    options: dict = field(default_factory=dict)
    target: str = "Speech"
    exclude: tuple = ()
    loss: str = "bce"
    optimiser: str = "adam"
    learning_rate: float | None = None
    augment: str = "none"
    split: str = "shuffled"
    epochs: int = 15
    patience: int = 3
    batch_size: int = 128
    seed: int = 0

    def __post_init__(self):
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ConfigError(f"{name}={getattr(self, name)!r} must be {', '.join(known)}")
        for name in ("epochs", "patience", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} must be >= 1")

    @property
    def options_text(self):
        """The options as text for a table."""
        return ", ".join(f"{k} {v}" for k, v in self.options.items()) or "defaults"


FIELDS = tuple(f.name for f in dataclasses.fields(RunSettings))
