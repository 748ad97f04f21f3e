"""One place through which keys, the configuration file and OSC change the running gate."""

import threading
import time
from collections import deque
from dataclasses import asdict, fields

from gate.errors import ConfigError, GateError
from gate.settings import LEARNED, RANGES, GateSettings
from realtime.learn.profile_folder import listed_profiles
from realtime.learn.recording import OPEN, SHUT

_NAMES = tuple(f.name for f in fields(GateSettings))
_EVENTS = 200


class LiveControl:
    """Holds what is in force and tells the stream of changes.

    Methods may be called from any thread, return at once, and raise `GateError` with one line
    for people where something is refused.

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
    teaching : LiveTeaching or None
        Assigned by who can teach.
    hint : LiveHint or None
        Assigned by who watches the levels.
    connections : ConnectionWatch or None
        Assigned where a sound server connects the streams.
    """

    def __init__(self, config, host=None, say=print):
        self.config = config
        self.host = host
        self.settings = config.gate
        self.muted = False
        self.profile = self._wanted_profile = config.engine.profile
        self.targets = []
        self.stream = {}
        self.teaching = self.hint = self.connections = None
        self._chosen = None  # a profile that somebody asked for, in a tuple
        self._presence = {}
        self._events = deque(maxlen=_EVENTS)
        self._n_events = 0
        self._agreed = config.gate  # what the stream started with
        self._told_muted = False
        self._told = set()
        self._out = say
        self._saying = threading.Lock()
        self._lock = threading.RLock()

    def say(self, line):
        """Tell people a line: it is kept for `events_since` and shown by the view."""
        with self._saying:
            self._n_events += 1
            event = {"number": self._n_events, "time": round(time.time(), 3), "text": line}
            self._events.append(event)
        self._out(line)

    def events_since(self, number):
        """What was said after event `number`, of the last 200.

        Returns
        -------
        list of dict
            ``number``, ``time`` (seconds since 1970), ``text``.
        int
            Number of the last, for the next call.
        """
        with self._saying:
            return [e for e in self._events if e["number"] > number], self._n_events

    @property
    def in_force(self):
        """What somebody may have changed: settings, mute, profile."""
        return self.settings, self.muted, self.profile

    def job(self):
        """The stream's job as it is now."""
        with self._lock:
            self._agreed = self.settings
            self._told_muted = self.muted
            return {
                "live": asdict(self.config.live),
                **self.config.engine.of_gate,
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
                    self.say(f"{source}: {name} = {shown(value)}")

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
            known = [profile["path"] for profile in self.profiles()]
            if len(known) < 2:
                self.say("no profiles: teach one (o, s), or name some under live: profiles")
                return
            at = known.index(self.profile) if self.profile in known else 0
            self.set_profile(known[(at + 1) % len(known)])

    def profiles(self):
        """Profiles to choose from: none, those of the configuration, what was taught, the user's.

        Returns
        -------
        list of dict
            ``name`` and ``path``; the first is none, with the path None.
        """
        config, teaching = self.config, self.teaching
        paths = [*config.live.profiles, config.engine.profile, self.profile]
        paths += [teaching.path] if teaching is not None else []
        paths += [path for _, path in listed_profiles()]
        names = {None: "none"}
        for path in paths:
            if path is not None:
                names[path] = path.replace("\\", "/").rpartition("/")[2].removesuffix(".gate.yaml")
        return [{"name": name, "path": path} for path, name in names.items()]

    def set_profile(self, path):
        """Ask the stream to use another profile; None for none."""
        with self._lock:
            self._chosen = (path,)
            self._wanted_profile = path
            self._send("profile", path=path)

    def use_taught(self, path):
        """As `set_profile`, for what was taught here."""
        with self._lock:
            self._wanted_profile = path
            self._send("profile", path=path)

    def mark_open(self):
        """What was heard in the last seconds should open the gate."""
        self._teacher().mark(OPEN)

    def mark_shut(self):
        """What was heard in the last seconds should not open the gate."""
        self._teacher().mark(SHUT)

    def wrong(self):
        """What the gate did in the last two seconds was wrong."""
        self._teacher().wrong(self.presence_thresholds[1])

    def undo_mark(self):
        """Take the last mark or correction back."""
        self._teacher().undo()

    def keep(self, name=None):
        """Keep what was taught under a name or a path; returns the path."""
        return self._teacher().keep(name)

    def take_hint(self):
        """Use the threshold that the hint suggests."""
        found = self.hint and self.hint.found
        if not found:
            raise GateError("there is no hint to take")
        self.change({"threshold_db": found[1]}, "hint")

    def _teacher(self):
        if self.teaching is None:
            raise GateError("this gate cannot be taught")
        return self.teaching

    @property
    def presence_thresholds(self):
        """Presence from which on the gate opens, and from which on it stays open."""
        settings = self.settings
        learned = self._presence.get(settings.target, (0.5, 0.0))
        opens, hysteresis = (
            own if value == LEARNED else value
            for own, value in zip(
                learned, (settings.presence_threshold, settings.presence_hysteresis), strict=True
            )
        )
        return opens, opens - hysteresis

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
        for section in ("engine", "live", "osc", "page"):
            before, after = getattr(old, section), getattr(new, section)
            later = [
                f.name
                for f in fields(before)
                if getattr(before, f.name) != getattr(after, f.name) and f.name != "profile"
            ]
            if later:
                self.say(f"config: {section}: {', '.join(later)} changes at the next start")

    def hear(self, event):
        """Take an event of the stream in."""
        kind = event["event"]
        with self._lock:
            if kind == "open":
                self.stream, self.targets = event, event["targets"]
                self._presence = event.get("presence", {})
                self._catch_up()
            elif kind == "profile":
                self.profile, self.targets = event["path"], event["targets"]
                self._presence = event.get("presence", {})
            elif kind == "refused" and event.get("command") == "settings":
                self.settings = self._agreed
            elif kind == "refused" and event.get("command") == "profile":
                self._wanted_profile, self._chosen = self.profile, None
            is_chosen = kind == "profile" and self._chosen == (self.profile,)
            if is_chosen:
                self._chosen = None
        if is_chosen and self.teaching is not None:
            self.teaching.begin_with(self.profile)
        line = describe(event)
        if kind == "open":
            self._told.clear()
        elif kind in ("lost", "error", "silence"):
            # Retrying for hours must not fill the log with one line.
            if line in self._told:
                return
            self._told.add(line)
        if line:
            self.say(line)

    def _catch_up(self):
        """Tell a stream that has just opened what changed while it did."""
        if self.settings != self._agreed:
            self._send("settings", gate=self.settings.to_mapping())
        if self.muted != self._told_muted:
            self._send("mute", on=self.muted)
        if self._wanted_profile != self.profile:
            self._send("profile", path=self._wanted_profile)

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
