"""What a page may ask for. Carried out by the same `LiveControl` as keys and OSC."""

import json

from gate.errors import ConfigError, GateError

_LONGEST_NAME = 60


def act(control, text):
    """Carry out one message of a page; whatever it holds, nothing is raised.

    Parameters
    ----------
    control : LiveControl
    text : str or bytes
        JSON: ``{"do": NAME, ...}``; see `ACTIONS`.

    Returns
    -------
    str or None
        One line about what was refused.
    """
    try:
        message = json.loads(text)
        if not isinstance(message, dict):
            raise ConfigError("a message must be an object")
        name = message.get("do")
        if not isinstance(name, str) or name not in ACTIONS:
            raise ConfigError(f"do={name!r} must be one of {', '.join(ACTIONS)}")
        ACTIONS[name](control, message)
    except GateError as error:
        return str(error)
    except (ValueError, RecursionError):
        return "a message must be JSON"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def _change(control, message):
    changes = message.get("settings")
    if not isinstance(changes, dict) or not changes:
        raise ConfigError(f"settings={changes!r} must be a mapping of names to values")
    control.change(changes)


def _mute(control, message):
    if not isinstance(message.get("on"), bool):
        raise ConfigError(f"on={message.get('on')!r} must be true or false")
    control.set_muted(message["on"])


def _profile(control, message):
    path = message.get("path")
    # Only what is offered: a page has no business with other files.
    if path not in [None, *(known["path"] for known in control.profiles())]:
        raise ConfigError(f"profile={path!r} must be one of those listed")
    control.set_profile(path)


def _keep(control, message):
    name = message.get("name")
    if not isinstance(name, str) or not name.strip():
        raise ConfigError("give the profile a name")
    name = name.strip()
    if len(name) > _LONGEST_NAME:
        raise ConfigError(f"the name has {len(name)} letters and may have {_LONGEST_NAME}")
    if not name.isprintable() or any(c in name for c in '/\\:*?"<>|') or name.startswith("."):
        raise ConfigError(f"name={name!r} must be a plain name, not a path")
    control.keep(name)


ACTIONS = {
    "change": _change,
    "mute": _mute,
    "profile": _profile,
    "open": lambda control, message: control.mark_open(),
    "shut": lambda control, message: control.mark_shut(),
    "wrong": lambda control, message: control.wrong(),
    "undo": lambda control, message: control.undo_mark(),
    "keep": _keep,
    "hint": lambda control, message: control.take_hint(),
}
"""What a message may ask for."""
