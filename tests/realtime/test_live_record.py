"""Recordings: cut without a loss, readable while they grow, and a disk that is full."""

import contextlib
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from gates import play
from sound_servers import bursts

from gate.detector import NoDetector
from gate.processor import GateProcessor
from gate.settings import GateSettings
from realtime.live.audio_path import AudioPath
from realtime.live.record_ring import RecordRing
from realtime.live.recorder import Recorder
from realtime.live.shared_state import SharedState
from realtime.live.take import Take
from realtime.live_settings import LiveSettings

RATE = 48000
SETTINGS = GateSettings(threshold_db=-40.0)


class Rig:
    """A stream that records, without a device; the test is the recorder's thread and clock."""

    def __init__(self, folder, minutes=10.0):
        self.state = SharedState()
        self.state.sample_rate = RATE
        self.ring = RecordRing(self.state)
        self.said, self.now, self.folder = [], 0.0, folder
        live = LiveSettings(record=str(folder), record_minutes=minutes)
        self.recorder = Recorder(self.ring, self.state, live, self.said.append, lambda: self.now)
        self.open()

    def open(self):
        """As a device is opened, again or for the first time."""
        self.ring.begin(2)
        gate = GateProcessor(SETTINGS, sample_rate=RATE, detector=NoDetector())
        self.path = AudioPath(gate, self.state, in_columns=[0], out_columns=[0], record=self.ring)

    def play(self, sound, now=None):
        """Play a sound at a time, and let the recorder write it."""
        self.now = self.now if now is None else now
        play(self.path, sound)
        self.recorder.look()

    def read(self, kind):
        paths = sorted(self.folder.glob(f"*-{kind}.wav"), key=_turn)
        assert paths
        return [soundfile.read(path, dtype="float32")[0] for path in paths]

    def close(self):
        self.ring.close()
        self.state.close()


def _turn(path):
    """Takes of one second are numbered from 2 on."""
    parts = path.name.split("-")
    return parts[1], parts[2], int(parts[3]) if parts[3].isdigit() else 1


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path / "new", minutes=0.01)  # 0.6 s
    yield rig
    rig.close()


def _offline(sound):
    gate = GateProcessor(SETTINGS, sample_rate=RATE, detector=NoDetector())
    return gate.process(sound[:, None])[:, 0]


@pytest.mark.parametrize("pieces", [[72000], [48000, 24000], [20000, 20000, 32000], [720] * 100])
def test_recordings_are_cut_and_nothing_is_lost(rig, pieces):
    sound = bursts(1.5, RATE)
    at = 0
    for n in pieces:
        rig.play(sound[at : at + n])
        at += n
        # As a crash would find them.
        assert sum(len(part) for part in rig.read("dry")) == min(at, len(sound))
    assert np.array_equal(np.concatenate(rig.read("dry")), sound)
    assert np.array_equal(np.concatenate(rig.read("gated")), _offline(sound))
    rows = [
        line for path in rig.folder.glob("*-trace.csv")
        for line in path.read_text().splitlines()[1:]
    ]  # fmt: skip
    assert 148 <= len(rows) <= 150, "a hop is 10 ms"
    times = [float(row.split(",")[0]) for row in rows]
    assert min(times) > 0.0 and all(row.count(",") == rows[0].count(",") for row in rows)
    assert rig.said[0].startswith("recording: gate-") and rig.state.record_lost == 0


def test_another_opening_of_the_device_begins_other_files(rig):
    sound = bursts(0.5, RATE)
    rig.play(sound)
    rig.open()
    rig.play(sound)
    first, second = rig.read("dry")
    assert np.array_equal(first, sound) and np.array_equal(second, sound)
    for path in rig.folder.glob("*-trace.csv"):
        rows = path.read_text().splitlines()[1:]
        assert 48 <= len(rows) <= 50 and float(rows[0].split(",")[0]) < 0.02


def test_a_folder_that_goes_away_is_told_once_and_the_sound_goes_on(rig):
    rig.folder.rmdir()
    for turn in range(100):
        rig.play(np.ones(100, np.float32), 0.25 * turn)
    assert len(rig.said) == 1
    assert "stopped: the folder is gone; the sound goes on" in rig.said[0]
    assert rig.state.record_lost == 10000 and rig.ring.drained
    rig.folder.mkdir()
    rig.play(np.ones(100, np.float32), 120.0)
    assert "10000 samples are lost in all" in rig.said[-1]
    assert [len(part) for part in rig.read("dry")] == [100]


@pytest.mark.parametrize("error", [
    OSError(28, "No space left on device"), AssertionError(), RuntimeError("System error."),
])  # fmt: skip
def test_a_full_disk_ends_the_files_where_they_agree_and_is_tried_seldom(rig, monkeypatch, error):
    sound = bursts(1.0, RATE)
    rig.recorder._minutes = 10.0
    rig.play(sound[:24000])
    tries, free = [], [0]
    write, make = Take.write, Take.__init__

    def full(take, rows):
        # The dry part still fits, the gated one does not: as a disk fills up.
        with soundfile.SoundFile(take._paths[0], "r+") as file:
            file.seek(0, soundfile.SEEK_END)
            file.write(np.ascontiguousarray(rows[:, :1]))
        raise error

    def counted(take, *args):
        tries.append(rig.now)
        make(take, *args)

    monkeypatch.setattr(Take, "write", full)
    monkeypatch.setattr(Take, "__init__", counted)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free[0]))
    for turn in range(1200):  # five minutes of full disk
        rig.play(np.full(100, 0.1, np.float32), 0.25 * turn)
    assert tries == [], "no room, no try"
    assert [line for line in rig.said if "stopped" in line] == [
        f"recording to {rig.folder} stopped: no space left on the disk; the sound goes on"
    ]
    assert "System error" not in "".join(rig.said)
    assert rig.state.record_lost == 120000
    free[0] = 1 << 40  # room, as it seems, and still it fails
    for turn in range(1200, 2400):
        rig.play(np.full(100, 0.1, np.float32), 0.25 * turn)
    assert 4 <= len(tries) <= 8, "five minutes: after a minute each, and not at once"
    names = sorted(path.name for path in rig.folder.iterdir())
    assert len(names) == 3, names
    assert [len(part) for part in rig.read("dry")] == [24000]
    assert np.array_equal(rig.read("gated")[0], _offline(sound)[:24000])
    monkeypatch.setattr(Take, "write", write)
    rig.play(np.full(100, 0.1, np.float32), rig.now + 61.0)
    assert "samples are lost in all" in rig.said[-1]
    assert [len(part) for part in rig.read("dry")] == [24000, 100]


def test_a_disk_that_really_is_full(small_disk):
    disk = small_disk("600k")
    with contextlib.closing(Rig(disk / "takes")) as rig:
        for turn in range(80):
            rig.play(np.full(12000, 0.1, np.float32), 0.25 * turn)
        stopped = [line for line in rig.said if "stopped" in line]
        assert len(stopped) == 1 and "no space left on the disk" in stopped[0]
        files = sorted((disk / "takes").iterdir())
        assert len(files) == 3 and all(path.stat().st_size for path in files), files
        (dry,), (gated,) = rig.read("dry"), rig.read("gated")
        assert len(dry) == len(gated) > 12000
        assert (dry == np.float32(0.1)).all(), "what is there can be read"
        assert rig.state.record_lost == 80 * 12000 - len(dry)


def test_no_file_that_is_there_is_recorded_over(rig, monkeypatch):
    from realtime.live import take

    monkeypatch.setattr(take.time, "strftime", lambda form: "gate-now")
    rig.folder.joinpath("gate-now-gated.wav").write_text("mine")
    rig.folder.joinpath("gate-now-2-trace.csv").symlink_to("nowhere")
    touch = type(rig.folder).touch

    def taken(path, **how):
        """Another recorder was faster."""
        if path.name == "gate-now-3-dry.wav":
            path.write_text("theirs")
        touch(path, **how)

    monkeypatch.setattr(type(rig.folder), "touch", taken)
    rig.play(bursts(0.1, RATE))
    names = sorted(path.name for path in rig.folder.iterdir())
    assert names == [
        *("gate-now-2-trace.csv", "gate-now-3-dry.wav", "gate-now-4-dry.wav"),
        *("gate-now-4-gated.wav", "gate-now-4-trace.csv", "gate-now-gated.wav"),
    ]
    assert (rig.folder / "gate-now-gated.wav").read_text() == "mine"
    assert (rig.folder / "gate-now-3-dry.wav").read_text() == "theirs"
    assert not (rig.folder / "nowhere").exists()
