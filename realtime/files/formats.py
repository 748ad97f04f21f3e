"""Formats: names of files, containers and sample formats, in one place."""

from dataclasses import dataclass
from pathlib import Path

from gate.errors import AudioFileError, ConfigError
from gate.settings import check_format

_FAMILIES = {
    "WAV": (".wav", ".wave", ".bwf", ".rf64", ".w64"),
    "FLAC": (".flac",),
    "AIFF": (".aif", ".aiff", ".aifc"),
    "OGG": (".ogg", ".oga", ".opus"),
    "MP3": (".mp3",),
    "CAF": (".caf",),
    "AU": (".au", ".snd"),
    "VOC": (".voc",),
    "NIST": (".nist", ".sph"),
    "PAF": (".paf",),
    "IRCAM": (".sf", ".ircam"),
    "SVX": (".svx", ".8svx", ".16svx"),
    "AVR": (".avr",),
    "PVF": (".pvf",),
    "SDS": (".sds",),
    "MPC2K": (".mpc2k",),
    "MAT5": (".mat",),
    "XI": (".xi",),
    "HTK": (".htk",),
}
AUDIO_SUFFIXES = tuple(suffix for family in _FAMILIES.values() for suffix in family)
"""Names under which audio files are looked for in folders."""

FOREIGN_SUFFIXES = (
    ".m4a", ".m4b", ".mp4", ".aac", ".wma", ".ape", ".wv", ".tta", ".mka", ".webm", ".amr", ".ac3",
    ".dts", ".dsf", ".dff", ".spx", ".mp2", ".mov", ".mkv", ".ra",
)  # fmt: skip
"""Sound that cannot be read here; named where a folder holds it."""

LOSSY = ("VORBIS", "OPUS", "MPEG_LAYER_III", "MPEG_LAYER_II", "MPEG_LAYER_I")
_FLOATS = ("FLOAT", "DOUBLE", *LOSSY)
_BITS = {"PCM_U8": 8, "PCM_S8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32,
         "ALAC_16": 16, "ALAC_20": 20, "ALAC_24": 24, "ALAC_32": 32}  # fmt: skip

# What -o and --format can ask for: libsndfile's container, and the sample format for an input
# of 8, 16, 24 and 32 bits, and of floats or a lossy format.
_TARGETS = {
    ".wav": ("WAV", {8: "PCM_U8", 16: "PCM_16", 24: "PCM_24", 32: "PCM_32", None: "FLOAT"}),
    ".w64": ("W64", {8: "PCM_U8", 16: "PCM_16", 24: "PCM_24", 32: "PCM_32", None: "FLOAT"}),
    ".rf64": ("RF64", {8: "PCM_U8", 16: "PCM_16", 24: "PCM_24", 32: "PCM_32", None: "FLOAT"}),
    ".aiff": ("AIFF", {8: "PCM_S8", 16: "PCM_16", 24: "PCM_24", 32: "PCM_32", None: "FLOAT"}),
    ".caf": ("CAF", {8: "PCM_S8", 16: "PCM_16", 24: "PCM_24", 32: "PCM_32", None: "FLOAT"}),
    ".au": ("AU", {8: "PCM_S8", 16: "PCM_16", 24: "PCM_24", 32: "PCM_32", None: "FLOAT"}),
    ".flac": ("FLAC", {8: "PCM_S8", 16: "PCM_16", 24: "PCM_24", 32: "PCM_24", None: "PCM_24"}),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
_SAME = {".wave": ".wav", ".bwf": ".wav", ".aif": ".aiff", ".aifc": ".aiff", ".oga": ".ogg",
         ".snd": ".au"}  # fmt: skip
TARGET_NAMES = tuple(name[1:] for name in _TARGETS)
"""Formats that `gate-batch --format` converts to."""

_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


@dataclass(frozen=True)
class AudioInfo:
    """What a file holds, checked.

    Attributes
    ----------
    sample_rate, channels : int
    frames : int or None
        Samples a channel; None where only the end will tell (a pipe).
    format, subtype, endian : str
        libsndfile's names.
    bitrate_bps : float or None
        Of lossy formats, where known.
    constant_bitrate : bool
        Every frame of the file has the same (MP3).
    """

    sample_rate: int
    channels: int
    frames: int | None
    format: str
    subtype: str
    endian: str = "FILE"
    bitrate_bps: float | None = None
    constant_bitrate: bool = False

    @property
    def seconds(self):
        """Duration; 0 where it is not known."""
        return (self.frames or 0) / self.sample_rate

    @property
    def bits(self):
        """Width of whole-number samples; None for float and lossy formats."""
        if self.subtype in _FLOATS:
            return None
        return _BITS.get(self.subtype, 16)


def check_taken(path, sample_rate, channels):
    """Raise `AudioFileError` for a rate or a number of channels that the gate does not take."""
    try:
        check_format(sample_rate, channels)
    except ConfigError as error:
        raise AudioFileError(f"{path}: {error}") from None


def fits(path, info):
    """Whether a file name ends as its format does, or in nothing that is a format."""
    suffix = Path(path).suffix.lower()
    if suffix not in AUDIO_SUFFIXES:
        return True
    container = {"WAVEX": "WAV", "RF64": "WAV", "W64": "WAV", "MAT4": "MAT5"}.get(
        info.format, info.format
    )
    if suffix in (".rf64", ".w64"):
        return info.format == suffix[1:].upper()
    if suffix == ".opus":
        return info.subtype == "OPUS"
    if suffix in (".ogg", ".oga"):
        return container == "OGG"
    return suffix in _FAMILIES.get(container, ())


def converted(path, info):
    """The `AudioInfo` of what `info` becomes in a file called `path`.

    Where the name's format is the input's, or is none, the input's format is kept.

    Raises
    ------
    AudioFileError
        If that format cannot be written, or cannot hold this rate or so many channels.
    """
    if fits(path, info):
        return info
    suffix = Path(path).suffix.lower()
    suffix = _SAME.get(suffix, suffix)
    if suffix not in _TARGETS:
        raise AudioFileError(
            f"{path}: {suffix} cannot be converted to; take one of {', '.join(TARGET_NAMES)}"
        )
    container, subtype = _TARGETS[suffix]
    if not isinstance(subtype, str):
        if info.subtype == "DOUBLE" and subtype[None] == "FLOAT":
            subtype = "DOUBLE"
        elif info.subtype in LOSSY:
            subtype = subtype[24]
        else:
            subtype = subtype[info.bits if info.bits != 20 else 24]
    if subtype in _LIMITS:
        name, rates, channels = _LIMITS[subtype]
        if info.sample_rate not in rates:
            raise AudioFileError(
                f"{path}: sample_rate={info.sample_rate}: {name} takes {', '.join(map(str, rates))}"
                " Hz only; choose another format"
            )
        if info.channels > channels:
            raise AudioFileError(f"{path}: channels={info.channels}: {name} takes 1 to {channels}")
    return AudioInfo(
        info.sample_rate, info.channels, info.frames, container, subtype,
        bitrate_bps=info.bitrate_bps if subtype in LOSSY else None,
    )  # fmt: skip


_LIMITS = {"OPUS": ("Opus", _OPUS_RATES, 8), "MPEG_LAYER_III": ("MP3", _MP3_RATES, 2)}
