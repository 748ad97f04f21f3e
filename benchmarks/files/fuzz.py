"""Feeds damaged files to everything that reads: sound, configurations, profiles, labels, OSC.

Good files are mutated (bits, bytes, sizes, cuts, splices, repeats) with a seed. A reader may
refuse, with one line, or read; it may not crash, raise anything else, take longer than ten
seconds, or write where nothing should be.
"""

import contextlib
import io
import random
import re
import signal
import struct
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from mutagen import MutagenError
from mutagen.ogg import OggPage

from benchmarks import tables
from benchmarks.machine import describe
from benchmarks.part import Part
from gate.errors import GateError
from gate.settings import GateSettings
from realtime.config import Config, EngineSettings
from realtime.files.ogg import pages

LONGEST_S = 10.0
_RATE = 16000
_EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


class _TooLongError(Exception):
    """A case took longer than `LONGEST_S`."""


def good_sounds(folder):
    """Small files of every format: name to bytes."""
    rng = np.random.default_rng(0)
    sound = 0.1 * rng.standard_normal((4800, 1))
    kinds = [
        ("a.wav", "WAV", "PCM_16"), ("b.wav", "WAV", "PCM_24"), ("c.wav", "WAV", "FLOAT"),
        ("d.wav", "WAV", "IMA_ADPCM"), ("e.wav", "WAVEX", "PCM_16"), ("a.rf64", "RF64", "PCM_16"),
        ("a.w64", "W64", "PCM_16"), ("a.aiff", "AIFF", "PCM_16"), ("b.aiff", "AIFF", "FLOAT"),
        ("a.caf", "CAF", "PCM_16"), ("a.au", "AU", "PCM_16"), ("a.flac", "FLAC", "PCM_16"),
        ("a.ogg", "OGG", "VORBIS"), ("a.opus", "OGG", "OPUS"), ("a.mp3", "MP3", "MPEG_LAYER_III"),
        ("a.voc", "VOC", "PCM_16"), ("a.nist", "NIST", "PCM_16"),
    ]  # fmt: skip
    found = {}
    for name, container, subtype in kinds:
        path = folder / name
        soundfile.write(path, sound, _RATE, format=container, subtype=subtype)
        found[name] = path.read_bytes()
    return found


def good_texts(folder):
    """A configuration, a profile and label files: name to bytes."""
    root = Path(__file__).resolve().parents[2]
    found = {"config.yaml": (root / "config.yaml").read_bytes()}
    found["labels.csv"] = b"file,start_s,end_s,label\n" + b"a.wav,0.1,0.5,x\nb/c.wav,1,2.5,y\n" * 4
    found["track.txt"] = b"0.5\t1.25\tvoice\n\\\t100\t2000\n3\t4\t\n" * 4
    found["mine.gate.yaml"] = _profile(folder)
    return found


def _profile(folder):
    import dataclasses

    from realtime.learn.head import HeadShape
    from realtime.learn.profile import Profile, save_profile

    values = {
        "name": "mine", "detector": "voice", "detector_sha256": "ab" * 32,
        "shape": HeadShape((0.05,)),
        "coefficients": np.linspace(-1, 1, 2 * (128 + 64)).astype("f4"), "bias": 0.1,
        "presence_threshold": 0.5, "presence_hysteresis": 0.1, "attack_ms": 1.0, "hold_ms": 50.0,
        "release_ms": 50.0, "key": np.ones(64, "f4"), "suggested_threshold_db": -50.0,
        "classic": {"threshold_db": -50.0}, "expected": {"opens_on_wanted": 0.9},
    }  # fmt: skip
    known = {field.name for field in dataclasses.fields(Profile)}
    path = folder / "mine.gate.yaml"
    save_profile(Profile(**{name: values[name] for name in known & set(values)}), path)
    return path.read_bytes()


def good_packets():
    """OSC messages and a bundle."""
    from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
    from pythonosc.osc_message_builder import OscMessageBuilder

    found = []
    for address, values in (
        ("/gate/threshold_db", [-50.0]), ("/gate/range_db", [-60]), ("/gate/key", ["off"]),
        ("/gate/bypass", [True]), ("/gate/mute", [1]), ("/gate/profile", ["mine.gate.yaml"]),
    ):  # fmt: skip
        builder = OscMessageBuilder(address)
        for value in values:
            builder.add_arg(value)
        found.append(builder.build())
    bundle = OscBundleBuilder(IMMEDIATELY)
    for message in found[:3]:
        bundle.add_content(message)
    return [*(message.dgram for message in found), bundle.build().dgram]


def mutate(data, rng):
    """A damaged copy: one to four blows, most of them near the beginning."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        if not data:
            break
        at = int(len(data) * rng.random() ** 3)
        kind = rng.randrange(9)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.randrange(256)
        elif kind == 2:
            width = rng.choice((1, 2, 4, 8))
            value = rng.choice(_EDGES) if width > 1 else rng.randrange(256)
            value = (value * 0x100000001 if width == 8 else value) & (1 << 8 * width) - 1
            data[at : at + width] = value.to_bytes(width, rng.choice(("little", "big")))
        elif kind == 3:
            del data[at:]
        elif kind == 4:
            del data[at : at + rng.randrange(1, 40)]
        elif kind == 5:
            data[at:at] = rng.randbytes(rng.randrange(1, 40))
        elif kind == 6:
            data[at:at] = data[at : at + rng.randrange(1, 400)] * rng.randrange(1, 4)
        elif kind == 7:
            other = rng.randrange(len(data))
            n = rng.randrange(1, 64)
            data[at : at + n], data[other : other + n] = data[other : other + n], data[at : at + n]
        else:
            data[at : at + 4] = struct.pack("<f", rng.choice((np.nan, np.inf, -np.inf, 1e38, -0.0)))
    return bytes(data)


def sign(data):
    """Give the pages of an Ogg file the checksums that they would have."""
    signed = bytearray(data)
    for begin, _, _, end in pages(io.BytesIO(data), len(data)):
        with contextlib.suppress(MutagenError, EOFError):  # a page no more
            page = OggPage(io.BytesIO(data[begin:end])).write()
            if len(page) == end - begin:
                signed[begin:end] = page
    return bytes(signed)


class Fuzzer:
    """Runs cases.

    Parameters
    ----------
    folder : Path
        Where the damaged files lie; nothing else may appear in it.
    seed : int
    """

    def __init__(self, folder, seed=0):
        self._rng = random.Random(seed)
        self._folder = folder / "case"
        good = folder / "good"
        for path in (self._folder, good):
            path.mkdir()
        sounds, texts = good_sounds(good), good_texts(good)
        readers = {"config.yaml": self._config, "labels.csv": self._labels,
                   "track.txt": self._labels, "mine.gate.yaml": self._profile}  # fmt: skip
        self._cases = [(name, data, self._sound) for name, data in sounds.items()]
        self._cases += [(name, data, readers[name]) for name, data in texts.items()]
        self._cases += [("packet", data, self._packet) for data in good_packets()]
        self._osc, self._said = None, []
        self._level_gate = Config(
            gate=GateSettings(threshold_db=-40.0), engine=EngineSettings(model="none")
        )
        self.counts = {}

    def run_one(self):
        """One case; returns its name and how it ended.

        Raises
        ------
        AssertionError
            With the case's bytes kept beside, for a fault.
        """
        name, data, read = self._rng.choice(self._cases)
        data = mutate(data, self._rng)
        if name.endswith((".ogg", ".opus")) and self._rng.random() < 0.7:
            data = sign(data)
        path = self._folder / name
        path.write_bytes(data)
        # Of processor time: other programs may have the processor for longer.
        signal.signal(signal.SIGPROF, _too_long)
        signal.setitimer(signal.ITIMER_PROF, LONGEST_S)
        try:
            read(path, data)
            end = "read"
        except GateError as error:
            assert "\n" not in str(error), f"{name}: more than one line: {error}"
            end = "refused"
        except BaseException as error:
            kept = Path(tempfile.gettempdir()) / f"fuzz-{len(self.counts)}-{name}"
            kept.write_bytes(data)
            raise AssertionError(f"{kept}: {type(error).__name__}: {error}") from error
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0.0)
        found = sorted(p.name for p in self._folder.iterdir())
        assert found == [name], f"{name}: {found} are there"
        path.unlink()
        self.counts[name, end] = self.counts.get((name, end), 0) + 1

    def tidy(self):
        """Remove what a fault left."""
        for path in self._folder.iterdir():
            path.unlink()

    def _sound(self, path, _):
        from realtime.batch.gate_file import BatchJob, gate_file

        out = path.parent.parent / "out" / path.name
        job = BatchJob(path, out, trace=self._rng.random() < 0.2,
                       allow_truncated=self._rng.random() < 0.5)  # fmt: skip
        try:
            report = gate_file(job, self._level_gate, detailed=self._rng.random() < 0.2)
            assert sorted(out.parent.iterdir()) == sorted(job.outputs)
            if out.suffix != ".mp3" and report["seconds"]:
                held = soundfile.info(out)
                # ADPCM comes in whole blocks: libsndfile fills up the last one.
                block = 4096 / held.samplerate if "ADPCM" in held.subtype else 0.0
                more = held.duration - report["seconds"]
                assert -0.001 < more < block + 0.001, f"{held.duration} s, not {report['seconds']}"
        except GateError:
            assert not out.parent.exists() or not list(out.parent.iterdir())
            raise
        finally:
            if out.parent.exists():
                for left in out.parent.iterdir():
                    left.unlink()

    def _config(self, path, _):
        from realtime.config import load_config

        load_config(path)

    def _labels(self, path, _):
        from realtime.labels import LabelFile

        labels = LabelFile(path)
        labels.segments("a.wav")
        labels.check_inputs([Path("a.wav")])
        labels.of_recording(Path("a.wav"), 10.0)

    def _profile(self, path, _):
        from realtime.learn.profile import load_profile

        load_profile(path)

    def _packet(self, _, data):
        if self._osc is None:
            self._osc = _osc_server(self._said)
        self._said.clear()
        self._osc._take(data, ("127.0.0.1", 9))
        for line in self._said:
            assert "\n" not in line and not re.search(r"\w+Error: ", line), line
        if self._said:
            raise GateError(self._said[0])


def _osc_server(said):
    """What `gate-live` listens with, without a socket; settings are checked and kept nowhere."""
    from realtime.live.osc import OscServer
    from realtime.live_settings import OscSettings

    class Control:
        settings = GateSettings()

        def change(self, changes, who=None):
            self.settings.with_changes(changes)

        def __getattr__(self, name):
            return lambda *arguments: None

    server = OscServer(OscSettings(port=None), None, Control(), said.append)
    server._send = lambda messages, target: said.extend(
        str(value) for address, value in messages if address == "/gate/error"
    )
    server._send_settings = lambda sender: None
    return server


def _too_long(number, frame):
    raise _TooLongError(f"more than {LONGEST_S:g} s")


def fuzz_loop(folder, cases, seed=0, say=print):
    """Run many cases and go on after a fault.

    Parameters
    ----------
    folder : Path
        An empty one.
    cases, seed : int
    say : callable
        Told of progress and of faults.

    Returns
    -------
    (dict, list of str)
        How many cases of each input ended how; the faults.
    """
    fuzzer, faults = Fuzzer(folder, seed), []
    for case in range(cases):
        try:
            fuzzer.run_one()
        except AssertionError as error:
            faults.append(str(error))
            say(f"fault: {error}")
            fuzzer.tidy()
        if case % 1000 == 999:
            say(f"{case + 1:,} of {cases:,} cases")
    return fuzzer.counts, faults


def fuzz(args, config, command, say):
    """Damaged inputs of all kinds."""
    cases = 2000 if args.quick else args.cases
    begun = time.process_time()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        counts, faults = fuzz_loop(Path(folder), cases, args.seed, say)
    minutes = (time.process_time() - begun) / 60
    rows = [
        (name, *(f"{counts.get((name, end), 0):,}" for end in ("read", "refused")))
        for name in sorted({name for name, _ in counts})
    ]
    body = tables.table(["damaged input", "read", "refused in one line"], rows)
    body += (
        f"\n\n{cases:,} cases, seed {args.seed}, {minutes:.1f} processor minutes: {len(faults)} "
        f"crashes, tracebacks, cases of more than {LONGEST_S:g} s or files where nothing should "
        "be.\n"
    )
    data = {"meta": describe(command), "cases": cases, "processor_minutes": minutes}
    return Part("fuzz", "Damaged inputs", body, data, failures=faults[:10])
