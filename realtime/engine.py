"""`open_gate`: a ready gate from settings, a detector and perhaps a profile."""

from collections.abc import Sequence
from pathlib import Path

from gate import checks
from gate.detector import Detector
from gate.errors import ConfigError, ModelError
from gate.hindsight import FileGate
from gate.processor import GateProcessor
from gate.settings import GateSettings
from realtime.config import ENGINES
from realtime.models import find_model

Model = str | Path | Detector | None

NO_MODEL = "none"
"""Name of no detector, in configurations and on command lines: a plain level gate."""


def open_detector(
    model: Model = "voice", profile: str | Path | None = None, ears: Sequence[str] | None = None
) -> Detector:
    """A detector by name or path, with a taught profile around it where one is given.

    Parameters
    ----------
    model : str, Path, None or Detector
        A shipped name, the path of an ONNX file, None or ``none`` for a plain level gate, or an
        object that is a detector already.
    profile : str or Path, optional
        A profile made by ``gate-learn``.
    ears : sequence of str, optional
        Which of the second ears that the detector names to open; None: all, (): none. Those
        that cannot be opened are silent, and its ``ears_silent`` says why.

    Raises
    ------
    ModelError
    """
    if profile is None:
        return _open_plain(model, ears)
    from realtime.learn.profile import load_profile
    from realtime.learn.profile_detector import ProfileDetector

    taught = load_profile(profile, with_memory=False)
    if model in (None, NO_MODEL):
        raise ModelError(f"{profile}: was taught on detector {taught.detector!r}; there is none")
    return ProfileDetector(_open_plain(model, ears), taught, str(profile))


def _open_plain(model, ears):
    if model in (None, NO_MODEL):
        from gate.detector import NoDetector

        return NoDetector()
    if hasattr(model, "process"):
        return model
    from realtime.onnx_detector import OnnxDetector
    from realtime.onnx_session import metadata_of, open_session
    from realtime.vggish_worker import is_embedding_head, open_vggish_detector

    path = find_model(model)
    session = open_session(path)
    if is_embedding_head(metadata_of(session)):
        return open_vggish_detector(_with_ears(OnnxDetector(find_model("voice")), ears), path)
    return _with_ears(OnnxDetector(path, session), ears)


def _with_ears(detector, wanted):
    from realtime.ears import open_ears

    detector.ears, detector.ears_silent = open_ears(detector.info, wanted)
    return detector


def open_file_gate(
    settings: GateSettings | None = None,
    *,
    sample_rate: int,
    channels: int = 1,
    model: Model = "voice",
    profile: str | Path | None = None,
    ears: Sequence[str] | None = None,
    engine: str = "python",
) -> FileGate:
    """Open a gate for recordings: `open_gate` whose settings may say ``lookahead_ms: file``.

    With the engine ``native`` they may not: it decides as sound comes in.

    Returns
    -------
    gate.hindsight.FileGate
        With ``feed(stretch)`` and ``finish()``: in all as many samples as went in, in place.

    Examples
    --------
    >>> import numpy as np
    >>> from gate.settings import GateSettings
    >>> gate = open_file_gate(GateSettings(lookahead_ms="file"), sample_rate=48000)
    >>> sum(len(part) for part in (gate.feed(np.zeros((4800, 1), np.float32)), gate.finish()))
    4800
    """
    checks.one_of("engine", engine, ENGINES)
    if engine == "native":
        from realtime.native_gate import NativeFileGate

        return _open_native(NativeFileGate, settings, sample_rate, channels, model, profile, ears)
    detector = open_detector(model, profile, ears=ears)
    return FileGate(settings, sample_rate=sample_rate, channels=channels, detector=detector)


def open_gate(
    settings: GateSettings | None = None,
    *,
    sample_rate: int,
    channels: int = 1,
    model: Model = "voice",
    profile: str | Path | None = None,
    ears: Sequence[str] | None = None,
    engine: str = "python",
) -> GateProcessor:
    """Open a streaming gate.

    Parameters
    ----------
    settings : GateSettings, optional
        None takes the defaults.
    sample_rate : int
        8,000 to 192,000 Hz.
    channels : int
        1 to 8.
    model : str, Path, None or Detector
        See `open_detector`.
    profile : str or Path, optional
        A profile made by ``gate-learn``.
    ears : sequence of str, optional
        See `open_detector`; ``gate.ears_heard`` names those that are heard.
    engine : {"python", "native"}
        ``native`` is the same gate in machine code, where ``make native`` has built it for this
        model: a `realtime.native_gate.NativeGate`. It takes no profile and no detector object.

    Returns
    -------
    gate.processor.GateProcessor
        With ``process(block)`` (float32 (n, channels) in, the same shape out), ``settings``
        (assignable at any time), ``latency_samples``, ``meters`` and ``reset()``.

    Raises
    ------
    ConfigError, ModelError

    Examples
    --------
    >>> import numpy as np
    >>> gate = open_gate(sample_rate=48000)
    >>> gate.process(np.zeros((100, 1), np.float32)).shape
    (100, 1)
    """
    checks.one_of("engine", engine, ENGINES)
    if engine == "native":
        from realtime.native_gate import NativeGate

        return _open_native(NativeGate, settings, sample_rate, channels, model, profile, ears)
    return GateProcessor(
        settings,
        sample_rate=sample_rate,
        channels=channels,
        detector=open_detector(model, profile, ears=ears),
    )


def _open_native(kind, settings, sample_rate, channels, model, profile, ears):
    from realtime.native_core import NativeCore
    from realtime.onnx_detector import OnnxDetector

    if profile is not None:
        raise ConfigError(f"profile={str(profile)!r} must be null with engine native")

    if model in (None, NO_MODEL) or hasattr(model, "process"):
        raise ConfigError("model must be the name or the path of a detector with engine native")
    core, path = NativeCore(), find_model(model)
    core.check_detector(path)
    return kind(
        core,
        settings,
        sample_rate=sample_rate,
        channels=channels,
        info=OnnxDetector(path).info,
        ears=ears,
    )
