"""One place through which keys, the configuration file and OSC change the running gate."""

import threading
from dataclasses import fields

from gate.errors import ConfigError, GateError
from gate.settings import LEARNED, RANGES, GateSettings

SWITCHES = ("bypass", "key_listen")
_NAMES = tuple(f.name for f in fields(GateSettings))


class LiveControl:
    """Holds what is in force and tells the stream of changes.

    Parameters
    ----------
    config : Config
    host : StreamHost, optional
        May be assigned later.
    say : callable
        Called with one line for people.

    Attributes
    ----------
    settings : GateSettings
    muted : bool
    profile : str or None
    targets : list of str
        What the detector knows; empty until the stream is open.
    stream : dict
        The last ``open`` event: devices, rate, detector.
    """

    def __init__(self, config, host=None, say=print):
        self.config = config
        self.host = host
        self.settings = config.gate
        self.muted = False
        self.profile = config.engine.profile
        self.targets = []
        self.stream = {}
        self._agreed = config.gate  # what the stream started with
        self._told_muted = False
        self._told = set()
        self._say = say
        self._lock = threading.RLock()

    def job(self):
        """The stream's job as it is now."""
        from dataclasses import asdict

        with self._lock:
            self._agreed = self.settings
            self._told_muted = self.muted
            return {
                "live": asdict(self.config.live),
                "model": self.config.engine.model,
                "profile": self.profile,
                "block_size": self.config.engine.block_size,
                "gate": self.settings.to_mapping(),
                "muted": self.muted,
            }

    def change(self, changes, source=None):
        """Change settings of the gate while it runs.

        Parameters
        ----------
        changes : dict
            Names and values of `GateSettings`.
        source : str, optional
            Who asks; then the change is told to people.

        Raises
        ------
        ConfigError
            And nothing has changed.
        """
        with self._lock:
            settings = self.settings.with_changes(changes)
            if self.targets and settings.target not in self.targets:
                raise ConfigError(
                    f"target={settings.target!r} must be one of {', '.join(self.targets)}"
                )
            if settings == self.settings:
                return
            before, self.settings = self.settings, settings
            self._send("settings", gate=settings.to_mapping())
        if source:
            for name in _NAMES:
                value = getattr(settings, name)
                if value != getattr(before, name):
                    self._say(f"{source}: {name} = {shown(value)}")

    def nudge(self, name, step):
        """Move a number by a step within its range."""
        with self._lock:
            low, high = RANGES[name]
            value = getattr(self.settings, name)
            value = 0.0 if value == LEARNED else value
            self.change({name: min(max(round(value + step, 3), low), high)})

    def toggle(self, name):
        """Flip a switch of the settings, or ``muted``."""
        with self._lock:
            if name == "muted":
                self.set_muted(not self.muted)
            else:
                self.change({name: not getattr(self.settings, name)})

    def set_muted(self, muted):
        """Silence the output, or not, within 10 ms."""
        with self._lock:
            self.muted = bool(muted)
            self._send("mute", on=self.muted)

    def next_target(self):
        """Walk through the detector's targets."""
        with self._lock:
            if self.targets:
                at = self.targets.index(self.settings.target)
                self.change({"target": self.targets[(at + 1) % len(self.targets)]}, "key")

    def next_profile(self):
        """Walk through no profile and those of the configuration."""
        with self._lock:
            listed = dict.fromkeys([None, *self.config.live.profiles, self.config.engine.profile])
            if len(listed) < 2:
                self._say("no profiles: name some in the configuration, live: profiles")
                return
            known = list(listed)
            at = known.index(self.profile) if self.profile in known else 0
            self.set_profile(known[(at + 1) % len(known)])

    def set_profile(self, path):
        """Ask the stream to use another profile; None for none."""
        self._send("profile", path=path)

    def command(self, name, **what):
        """Send any other command to the stream: see ``StreamProcess.commands``."""
        self._send(name, **what)

    def reload(self, old, new):
        """Take over what differs between two readings of the configuration file."""
        changes = {
            name: getattr(new.gate, name)
            for name in _NAMES
            if getattr(new.gate, name) != getattr(old.gate, name)
        }
        self.change(changes, "config")
        if new.engine.profile != old.engine.profile:
            self.set_profile(new.engine.profile)
        for section in ("engine", "live", "osc"):
            before, after = getattr(old, section), getattr(new, section)
            later = [
                f.name
                for f in fields(before)
                if getattr(before, f.name) != getattr(after, f.name) and f.name != "profile"
            ]
            if later:
                self._say(f"config: {section}: {', '.join(later)} changes at the next start")

    def hear(self, event):
        """Take an event of the stream in."""
        kind = event["event"]
        with self._lock:
            if kind == "open":
                self.stream, self.targets = event, event["targets"]
                self._catch_up()
            elif kind == "profile":
                self.profile, self.targets = event["path"], event["targets"]
            elif kind == "refused" and event.get("command") == "settings":
                self.settings = self._agreed
        line = describe(event)
        if kind == "open":
            self._told.clear()
        elif kind in ("lost", "error", "silence"):
            # Retrying for hours must not fill the log with one line.
            if line in self._told:
                return
            self._told.add(line)
        if line:
            self._say(line)

    def _catch_up(self):
        """Tell a stream that has just opened what changed while it did."""
        if self.settings != self._agreed:
            self._send("settings", gate=self.settings.to_mapping())
        if self.muted != self._told_muted:
            self._send("mute", on=self.muted)

    def _send(self, do, **what):
        if self.host is not None:
            self.host.send(do, **what)


def describe(event):
    """An event of the stream as a line for people; None for none."""
    kind = event["event"]
    if kind == "open":
        return (
            f"running: {event['input']} -> {event['output']} ({event['host_api']}), "
            f"{event['sample_rate']} Hz, detector {event['detector']}"
        )
    if kind == "profile":
        return f"profile: {event['path'] or 'none'}"
    if kind == "lost":
        return f"lost: {event['message']}; retrying"
    if kind == "error":
        return f"not open: {event['message']}; retrying"
    return event.get("message")


def shown(value):
    """A setting's value for people."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def tried(work, say, *args):
    """Call `work`; say in one line what it refuses. Returns whether it was done."""
    try:
        work(*args)
    except GateError as error:
        say(str(error))
        return False
    return True
