"""The rig of the benchmarks, for tests: where something is missing they are skipped."""

import soundfile
from waiting import require_programs, skipping

from benchmarks.live import rig as live_rig
from benchmarks.live.rig import Live, Peer, bursts

__all__ = ["JackServer", "Live", "Peer", "bursts", "recorded", "require_programs"]


class JackServer(live_rig.JackServer):
    """Skips the test where JACK cannot run."""

    def __init__(self, *args):
        with skipping():
            super().__init__(*args)

    def start(self):
        with skipping():
            return super().start()


def recorded(server, sound, seconds, folder, *options):
    """Run `gate-live` in freewheel between a player and a recorder.

    Returns what the recorder heard, the last status, and what was recorded dry and gated.
    """
    n = int(seconds * server.sample_rate) // 100 * 100
    with (
        Peer(server, sound, n) as peer,
        Live(*Peer.devices, "--detector-budget-ms", "off", "--record", str(folder), *options,
             env=server.env) as live,
    ):  # fmt: skip
        live.wait_for(lambda s: s["status"] == "running")
        peer.client.set_freewheel(True)
        peer.record()
        assert peer.done.wait(120), live.lines[-1:]
        assert live.stop()[0] == 0
        paths = [next(folder.glob(f"*-{kind}.wav")) for kind in ("dry", "gated")]
        takes = [soundfile.read(path, dtype="float32")[0] for path in paths]
        return peer.heard(), live.statuses[-1], *takes
