"""One control object for keys, the configuration file and the stream's events."""

from dataclasses import replace

import pytest

from gate.errors import ConfigError
from gate.key import KeyBand
from gate.settings import GateSettings
from realtime.config import Config, parse_config
from realtime.live.config_watch import ConfigWatch
from realtime.live.control import LiveControl
from realtime.live.view import ScreenView
from realtime.live_settings import LiveSettings


def test_keys_change_settings_within_their_range(control, state):
    view = ScreenView(state, control)
    for key in ["up", "up", "left", "]", "b", "l", "t", "m", "x"]:
        view.press(key)
    s = control.settings
    assert (s.threshold_db, s.range_db, s.lookahead_ms) == (-58.0, -63.0, 1.0)
    assert s.bypass and s.key_listen and s.target == "voice" and control.muted
    assert len(control.host.sent) == 8
    for _ in range(200):
        view.press("up")
    assert control.settings.threshold_db == 0.0
    sent = [what["gate"] for do, what in control.host.sent if do == "settings"]
    assert GateSettings.from_mapping(sent[-1]) == control.settings


def test_profiles_are_walked_through(said, host):
    config = Config(live=LiveSettings(profiles=("a.yaml", "b.yaml")))
    control = LiveControl(config, host, said.append)
    for path in ("a.yaml", "b.yaml", None):
        control.next_profile()
        assert control.host.sent[-1] == ("profile", {"path": path})
        control.hear({"event": "profile", "path": path, "targets": ["speech"]})
    assert said == ["profile: a.yaml", "profile: b.yaml", "profile: none"]


def test_a_target_the_detector_does_not_know_is_refused_here(control):
    with pytest.raises(ConfigError, match="target='drums' must be one of speech, voice"):
        control.change({"target": "drums"})
    assert control.settings.target == "speech" and control.host.sent == []


def test_changes_made_while_the_stream_opens_are_sent_once_it_is_open(control):
    control.job()
    control.change({"threshold_db": -30.0})
    control.host.sent.clear()
    opened = {"event": "open", "input": "a", "output": "b", "host_api": "ALSA",
              "sample_rate": 48000, "detector": "none", "targets": ["speech"]}  # fmt: skip
    control.hear(opened)
    assert [do for do, _ in control.host.sent] == ["settings"]
    control.job()
    control.host.sent.clear()
    control.hear(opened)
    assert control.host.sent == []


def test_retrying_for_hours_does_not_repeat_itself(control, said):
    for _ in range(50):
        control.hear({"event": "error", "kind": "device", "message": "no audio device"})
        control.hear({"event": "lost", "message": "the server went away"})
    assert said == ["not open: no audio device; retrying", "lost: the server went away; retrying"]


def test_the_configuration_file_is_watched(control, said, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("gate: {threshold_db: -50}")

    def read():
        return parse_config(path.read_text(), "c.yaml")

    watch = ConfigWatch(path, read, read(), control.reload, said.append)
    control.settings = replace(control.settings, threshold_db=-50.0)

    def edit(text):
        path.write_text(text)
        watch.look()  # may still be half written
        watch.look()

    control.nudge("range_db", 3.0)  # by key: -57
    edit("gate: {threshold_db: -40}")
    assert control.settings.threshold_db == -40.0
    assert control.settings.range_db == -57.0, "what the edit left alone must stay"
    edit("gate: {threshold_db: -4")
    edit("gate: {treshold_db: -20}")
    edit("gate: {threshold_db: 20}")
    assert control.settings.threshold_db == -40.0
    assert said[0] == "config: threshold_db = -40"
    assert len(said) == 4 and all(line.startswith("config ignored: c.yaml") for line in said[1:])
    assert "did you mean 'threshold_db'" in said[2]
    control.nudge("threshold_db", 3.0)
    edit("gate: {threshold_db: -40, hold_ms: 90}")
    assert control.settings.hold_ms == 90 and control.settings.threshold_db == -37.0
    edit("gate: {threshold_db: -35, key: {low_hz: 100, high_hz: 900}}\nlive: {input: usb}")
    assert control.settings.threshold_db == -35.0
    assert control.settings.key == KeyBand(100.0, 900.0)
    assert said[-1] == "config: live: input changes at the next start"
    path.unlink()
    watch.look()
    watch.look()
    assert "is gone" in said[-1] and control.settings.threshold_db == -35.0
