"""From an untaught `gate-live` to a taught one, with nothing but sound and the keys' commands."""

import socket

import numpy as np
from sound_servers import JackServer, Live, Peer
from teaching import bursts
from waiting import free_port, send_osc

from realtime.learn.profile import load_profile

RATE = 48000


class Listener:
    """Somebody who makes sounds, presses keys and listens."""

    def __init__(self, peer, live, port):
        self.peer, self.live, self.port = peer, live, port
        self.marked_s = 0.0

    def command(self, name, *arguments):
        send_osc(self.port, f"/gate/{name}", *arguments)

    def until(self, condition, timeout=900.0):
        return self.live.wait_for(condition, timeout, after=max(len(self.live.statuses) - 1, 0))

    def hear(self, sound, seconds=5.5):
        """Play a sound for at least so long, as the gate counts."""
        self.peer.sound = sound
        end = self.live.statuses[-1]["frames"] + seconds * RATE
        self.until(lambda s: s["frames"] >= end)

    def mark(self, kind, side):
        """Show one side until there is enough of it."""
        self.peer.client.set_freewheel(True)
        while (before := self.live.statuses[-1][f"teach_{side}_s"]) < 5.0:
            self.hear(kind)
            self.command(f"mark_{side}")
            self.until(lambda s, least=before: s[f"teach_{side}_s"] > least)
            self.marked_s += 5.0
        self.peer.client.set_freewheel(False)

    def passed(self, sound):
        """Share of a sound's energy that comes out."""
        self.peer.client.set_freewheel(True)
        self.hear(sound, 2.0)
        self.peer.record()
        self.peer.done.clear()
        assert self.peer.done.wait(240)
        self.peer.client.set_freewheel(False)
        heard = self.peer.heard()
        return float(np.mean(heard**2) / np.mean(sound**2))


def test_thirty_seconds_of_sound_teach_a_running_gate(tmp_path):
    port = free_port(socket.SOCK_DGRAM)
    low = bursts("mid", 8.0, 1, sample_rate=RATE)
    high = bursts("high", 8.0, 2, sample_rate=RATE)
    kept = tmp_path / "beep.gate.yaml"
    options = [*Peer.devices, "--osc-port", str(port), "--detector-budget-ms", "off"]
    with JackServer(RATE, 480) as server, Peer(server, low, 6 * RATE) as peer:
        with Live(*options, "--save", str(kept), env=server.env) as live:
            live.wait_for(lambda s: s["status"] == "running" and s["frames"] > 0)
            person = Listener(peer, live, port)
            untaught = person.passed(low) - person.passed(high)
            person.mark(low, "open")
            status = person.until(lambda s: s["teach_fitted"] or s["teach_error"])
            assert not status["teach_error"] and status["teach_step"] == "shut"
            person.mark(high, "shut")
            assert person.marked_s <= 30.0
            status = person.until(lambda s: s["teach_step"] in ("try", "failed"))
            assert not status["teach_error"] and status["teach_fitted"]
            passed, stopped = person.passed(low), person.passed(high)
            assert passed > 0.6 and stopped < 0.1, (passed, stopped)
            assert passed - stopped > untaught
            status = person.until(lambda s: s["teach_kept"])
            assert status["restarts"] == status["callback_errors"] == 0
            assert not any("lost" in event for event in live.events)
            code, _ = live.stop()
            assert code == 0
    profile = load_profile(kept)
    assert profile.name == "beep" and len(profile.memory) * 5.0 <= 30.0
