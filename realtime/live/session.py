"""Puts the parts of `gate-live` together and takes them apart again."""

import contextlib
import signal
import sys
import threading

from gate.errors import GateError
from realtime.engine import NO_MODEL
from realtime.live.config_watch import ConfigWatch
from realtime.live.connection_watch import ConnectionWatch
from realtime.live.control import LiveControl
from realtime.live.hint import LiveHint
from realtime.live.log import JsonView, LogView
from realtime.live.stream_host import StreamHost
from realtime.live.teaching import LiveTeaching
from realtime.live.virtual_mic import SINK


class LiveSession:
    """One run of `gate-live`.

    Parameters
    ----------
    config : Config
    read_config : callable
        Reads the configuration again, flags laid over it.
    config_path : str or None
        File to watch.
    view : {"screen", "log", "json"}
    patient : bool
        Wait for devices that are not there yet.
    log_period_s : float, optional
        Seconds between lines; None takes the view's own.
    microphone : VirtualMic, optional
        Made again where the sound server was started anew.
    route : ServerRoute, optional
        Where a sound server is in between; its connections are watched.
    """

    def __init__(self, config, read_config, config_path=None, view="screen", patient=False,
                 log_period_s=None, microphone=None, route=None):  # fmt: skip
        self._config = config
        self._read_config = read_config
        self._config_path = config_path
        self._patient = patient
        self._stop = threading.Event()
        self._early = []
        self._view = None
        self._ended_by = None
        self.control = LiveControl(config, say=self._show)
        self._microphone, self._route = microphone, route
        self.host = StreamHost(self._job, self.control.hear, record=config.live.record is not None)
        self.control.host = self.host
        self.control.hint = LiveHint(self.host.state, self.control, config.engine.auto_threshold)
        self.control.teaching = LiveTeaching(
            self.host.state, NO_MODEL if config.engine.kind == "native" else config.engine.model,
            self.control.use_taught, self.control.say,
            config.engine.profile, config.live.save,
        )  # fmt: skip
        self._view_kind = view
        self._make_view(view, log_period_s)

    def _job(self):
        if self._microphone is not None:
            self._microphone.ensure()
        route = None if self._route is None else self._route.prepare(self._config.live)
        return {**self.control.job(), "route": route}

    def _make_view(self, kind, log_period_s):
        state = self.host.state
        period = {} if log_period_s is None else {"period_s": log_period_s}
        if kind == "screen":
            from realtime.live.view import ScreenView

            self._view = ScreenView(state, self.control)
        elif kind == "json":
            self._view = JsonView(state, self.control, **period)
        else:
            self._view = LogView(state, self.control, **period)

    def _show(self, line):
        if self._view is None:
            self._early.append(line)
        else:
            self._view.say(line)

    def run(self):
        """Run until Ctrl-C, SIGTERM or the view ends.

        Raises
        ------
        GateError
            If it cannot start.
        """
        with contextlib.ExitStack() as parts:
            parts.callback(self.host.close)
            parts.callback(self.control.teaching.close)
            parts.callback(self._keep_what_was_taught)
            if self._config.live.record is not None:
                from realtime.live.recorder import Recorder

                recorder = Recorder(
                    self.host.ring, self.host.state, self._config.live, self.control.say
                )
                recorder.start()
                parts.callback(recorder.stop)
            page = self._make_page(parts)
            before = _catch_signals(self._end)
            parts.callback(_restore_signals, before)
            parts.callback(self.host.stop)
            self.host.start(self._patient)
            if self._route is not None:
                watch = ConnectionWatch(
                    lambda: self.host.state.pid, self.control.say,
                    own_sink=SINK if self._microphone is not None else None,
                    wanted=self._route.asked_for,
                )  # fmt: skip
                self.control.connections = watch
                watch.start()
                parts.callback(watch.stop)
            self.control.hint.start()
            parts.callback(self.control.hint.stop)
            if self._config_path is not None:
                watch = ConfigWatch(
                    self._config_path, self._read_config, self._config, self.control.reload,
                    self.control.say,
                )  # fmt: skip
                watch.start()
                parts.callback(watch.stop)
            if self._config.osc.port is not None or self._config.osc.send_to is not None:
                from realtime.live.osc import OscServer

                osc = OscServer(self._config.osc, self.host.state, self.control, self.control.say)
                osc.start()
                parts.callback(osc.stop)
            if page is not None:
                page.start()
            for line in self._early:
                self._view.say(line)
            self._view.run(self._stop)

    def _make_page(self, parts):
        """The page, if one is wanted; its port is taken before any sound flows."""
        if self._config.page.port is None:
            return None
        from realtime.page.server import PageServer

        page = PageServer(self._config.page, self.host.state, self.control, self.control.say)
        parts.callback(page.stop)
        return page

    def _end(self, number):
        self._ended_by = number
        self._stop.set()

    def _keep_what_was_taught(self):
        """Nothing that was taught is lost: ask for a name at the terminal, else make one."""
        teaching = self.control.teaching
        if not teaching.unsaved:
            return
        asked = self._view_kind == "screen" and self._ended_by in (None, signal.SIGINT)
        while True:
            name = None
            if asked:
                try:
                    print("A gate was taught. Keep it under which name? (Enter: forget it) ",
                          end="", flush=True)  # fmt: skip
                    name = sys.stdin.readline().strip()
                except KeyboardInterrupt:
                    name = ""
                if not name:
                    return
            try:
                path = teaching.keep(name)
            except GateError as error:
                print(f"gate-live: {error}", file=sys.stderr)
                if asked:
                    continue
                return
            print(f"gate-live: kept: {path} (gate-live --profile {path})", file=sys.stderr)
            return


def _catch_signals(end):
    """Make Ctrl-C and SIGTERM ask for the end; returns the handlers of before."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    numbers = [signal.SIGINT, signal.SIGTERM]
    numbers += [getattr(signal, "SIGHUP")] if hasattr(signal, "SIGHUP") else []  # noqa: B009
    return {number: signal.signal(number, lambda n, _: end(n)) for number in numbers}


def _restore_signals(before):
    for number, handler in before.items():
        signal.signal(number, handler)
