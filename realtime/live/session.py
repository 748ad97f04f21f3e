"""Puts the parts of `gate-live` together and takes them apart again."""

import contextlib
import signal
import threading

from realtime.live.config_watch import ConfigWatch
from realtime.live.control import LiveControl
from realtime.live.log import JsonView, LogView
from realtime.live.stream_host import StreamHost


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
    """

    def __init__(self, config, read_config, config_path=None, view="screen", patient=False,
                 log_period_s=None, microphone=None):  # fmt: skip
        self._config = config
        self._read_config = read_config
        self._config_path = config_path
        self._patient = patient
        self._stop = threading.Event()
        self._early = []
        self._view = None
        self.control = LiveControl(config, say=self._say)
        self._microphone = microphone
        self.host = StreamHost(self._job, self.control.hear, record=config.live.record is not None)
        self.control.host = self.host
        self._make_view(view, log_period_s)

    def _job(self):
        if self._microphone is not None:
            self._microphone.ensure()
        return self.control.job()

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

    def _say(self, line):
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
            if self._config.live.record is not None:
                from realtime.live.recorder import Recorder

                recorder = Recorder(self.host.ring, self.host.state, self._config.live, self._say)
                recorder.start()
                parts.callback(recorder.stop)
            before = _catch_signals(self._stop)
            parts.callback(_restore_signals, before)
            parts.callback(self.host.stop)
            self.host.start(self._patient)
            if self._config_path is not None:
                watch = ConfigWatch(
                    self._config_path, self._read_config, self._config, self.control.reload,
                    self._say,
                )  # fmt: skip
                watch.start()
                parts.callback(watch.stop)
            if self._config.osc.port is not None or self._config.osc.send_to is not None:
                from realtime.live.osc import OscServer

                osc = OscServer(self._config.osc, self.host.state, self.control, self._say)
                osc.start()
                parts.callback(osc.stop)
            for line in self._early:
                self._view.say(line)
            self._view.run(self._stop)


def _catch_signals(stop):
    """Make Ctrl-C and SIGTERM ask for the end; returns the handlers of before."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    numbers = [signal.SIGINT, signal.SIGTERM]
    numbers += [getattr(signal, "SIGHUP")] if hasattr(signal, "SIGHUP") else []  # noqa: B009
    return {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}


def _restore_signals(before):
    for number, handler in before.items():
        signal.signal(number, handler)
