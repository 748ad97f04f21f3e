"""Puts a profile where programs find it by name: gate-live, and the plugin in any host."""

import hashlib
from pathlib import Path

from gate.errors import ConfigError, ModelError
from realtime.learn.profile import load_profile, memory_path
from realtime.learn.profile_folder import SUFFIX, profile_path
from realtime.models import find_model
from realtime.outputs import OutputRules, write_bytes


def install(path, name=None, overwrite=False):
    """Copy a profile, and its examples if they lie beside it, into the user's folder.

    Parameters
    ----------
    path : str or Path
        ``NAME.gate.yaml``; it is read and checked first.
    name : str, optional
        What it is called there; as its file unless given.
    overwrite : bool
        Replace a profile of that name.

    Returns
    -------
    target : Path
    remark : str or None
        Why the plugin may refuse it.

    Raises
    ------
    ModelError, ConfigError, AudioFileError
    """
    path = Path(path)
    profile = load_profile(path)
    if name is not None and Path(name).name != name:
        raise ConfigError(f"name={name!r} must be a name, not a path")
    target = profile_path(path.name.removesuffix(SUFFIX) if name is None else name)
    parts = [(path, target)]
    if memory_path(path).is_file():
        parts.append((memory_path(path), memory_path(target)))
    rules = OutputRules([source for source, _ in parts], overwrite)
    for _, output in parts:
        rules.check(output, "profile")
    try:
        contents = [(output, source.read_bytes()) for source, output in parts]
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be read ({error.strerror})") from None
    for output, content in reversed(contents):  # the profile last: then all of it is there
        write_bytes(output, content)
    if len(parts) == 1:
        memory_path(target).unlink(missing_ok=True)  # of the profile that was replaced
    return target, _misfit(profile)


def _misfit(profile):
    """Why a plugin built with the shipped detector would refuse the profile, or None."""
    try:
        shipped = hashlib.sha256(Path(find_model("voice")).read_bytes()).hexdigest()
    except (OSError, ModelError):
        return None
    if profile.detector_sha256 == shipped:
        return None
    return (
        f"taught on detector {profile.detector!r} {profile.detector_sha256[:12]}: a plugin built "
        f"with the shipped one ({shipped[:12]}) refuses it; gate-learn update fits it to that"
    )
