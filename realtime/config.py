"""`config.yaml`: one section a settings dataclass; defaults live in the dataclasses only."""

from dataclasses import dataclass, field, fields, replace

from gate import checks
from gate.errors import ConfigError
from gate.settings import GateSettings
from realtime.live_settings import LiveSettings, OscSettings, PageSettings
from realtime.text_files import TextError, parse_yaml, read_utf8

ENGINES = ("python", "native")
"""What can run a gate; ``native`` is built by ``make native``."""

AUTO = "auto"
"""In files and flags: `threshold_db` from the sound, `lookahead_ms` by what the command reads."""


@dataclass(frozen=True)
class EngineSettings:
    """What runs the gate.

    Attributes
    ----------
    model : str
        Shipped name or path of a detector.
    profile : str or None
        Path of a profile made by ``gate-learn``.
    ears : list of str or None
        Second ears to listen with, of those that the detector names; None: all.
    kind : {"python", "native"}
        ``native``: the gate in machine code, which ``make native`` builds; it takes no profile and
        no ``lookahead_ms: file``.
    block_size : int
        Samples a block, 1..65536.
    auto_threshold : bool
        Take `threshold_db` from the sound: of a file, or the first ten seconds of the target live.
        ``gate: {threshold_db: auto}`` says the same.
    auto_lookahead : bool
        Read recordings back from their end, ``lookahead_ms: file``, wherever files are gated, and
        have no lookahead in streams. A number or ``file`` for ``lookahead_ms`` turns it off.
    """

    model: str = "voice"
    profile: str | None = None
    ears: list | None = None
    kind: str = "python"
    block_size: int = 100
    auto_threshold: bool = False
    auto_lookahead: bool = True

    def __post_init__(self):
        checks.text("model", self.model, "a name or a path")
        if self.profile is not None:
            checks.text("profile", self.profile, "a path")
        if self.ears is not None and not (
            isinstance(self.ears, list) and all(isinstance(name, str) for name in self.ears)
        ):
            raise ConfigError(f"ears={self.ears!r} must be a list of names, or null for all")
        checks.one_of("kind", self.kind, ENGINES)
        checks.whole("block_size", self.block_size, 1, 65536)
        checks.switch("auto_threshold", self.auto_threshold)
        checks.switch("auto_lookahead", self.auto_lookahead)

    @property
    def of_gate(self):
        """What `realtime.engine.open_file_gate` is told of it: a dict of keywords."""
        return {"model": self.model, "profile": self.profile, "ears": self.ears,
                "engine": self.kind}  # fmt: skip


@dataclass(frozen=True)
class DataSettings:
    """Where the trainer and the benchmarks find recordings that are not in the project.

    Attributes
    ----------
    voice, audioset, yamnet : str
        Folders; relative ones are taken from the working directory.
    """

    voice: str = "../shared/data/voice"
    audioset: str = "../shared/data/audioset"
    yamnet: str = "../shared/data/yamnet"


_AUTOMATIC = ("threshold_db", "lookahead_ms")

SECTIONS = {
    "gate": GateSettings,
    "engine": EngineSettings,
    "live": LiveSettings,
    "osc": OscSettings,
    "page": PageSettings,
    "data": DataSettings,
}
"""Section name to its dataclass; `Config` has one field each."""


@dataclass(frozen=True)
class Config:
    """All settings."""

    gate: GateSettings = field(default_factory=GateSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    live: LiveSettings = field(default_factory=LiveSettings)
    osc: OscSettings = field(default_factory=OscSettings)
    page: PageSettings = field(default_factory=PageSettings)
    data: DataSettings = field(default_factory=DataSettings)


def load_config(path=None):
    """Read a configuration file.

    Parameters
    ----------
    path : str or Path, optional
        A YAML file; without it all defaults.

    Raises
    ------
    ConfigError
        One line: the file, the section, the name, the rule.
    """
    if path is None:
        return Config()
    try:
        text = read_utf8(path)
    except TextError as error:
        raise ConfigError(error.of(path)) from None
    return parse_config(text, str(path))


def parse_config(text, where):
    """`Config` from YAML text; `where` names it in messages."""
    try:
        tree = parse_yaml(text)
    except TextError as error:
        raise ConfigError(error.of(where)) from None
    tree = {} if tree is None else tree
    config = Config()
    try:
        checks.keys(tree, list(SECTIONS), "configuration")
        tree = _without_auto(tree)
        for name, section in tree.items():
            section = {} if section is None else section
            kind = SECTIONS[name]
            checks.keys(section, [f.name for f in fields(kind)], name)
            config = replace(config, **{name: kind(**section)})
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return config


def _without_auto(tree):
    """The tree with what `auto` stands for in its gate as settings of the engine."""
    gate, engine = tree.get("gate"), tree.get("engine")
    if not isinstance(gate, dict) or not isinstance(engine, dict | None):
        return tree
    found = {}
    if gate.get("threshold_db") == AUTO:
        found["auto_threshold"] = True
    if "lookahead_ms" in gate:
        found["auto_lookahead"] = gate["lookahead_ms"] == AUTO
    gate = {k: v for k, v in gate.items() if k not in _AUTOMATIC or v != AUTO}
    return {**tree, "gate": gate, "engine": {**(engine or {}), **found}}
