"""The exceptions of the gate. All derive from `GateError`; a message says name, value, rule."""


class GateError(Exception):
    """Root of every error raised on purpose by this project."""


class ConfigError(GateError, ValueError):
    """A setting, option or configuration file breaks a rule."""


class ModelError(GateError):
    """A detector or profile cannot be loaded or breaks its contract."""


class DeviceError(GateError):
    """An audio device cannot be opened or has gone away."""


class AudioFileError(GateError):
    """An audio or label file cannot be read or written."""
