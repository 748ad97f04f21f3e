"""`gate-batch - -o -`: sound on standard input and output."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import soundfile
from fakes import speech_and_noise
from refusals import refuses

from gate.errors import AudioFileError, ConfigError
from realtime.batch.cli import main
from realtime.files.formats import AudioInfo
from realtime.files.pipes import PipeReader, PipeWriter, decode, encode, parse_raw, wav_header

GATE = ["--model", "none", "--threshold-db", "-35"]
SUBTYPES = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"]


def command(*arguments, data=b""):
    return subprocess.run(
        [sys.executable, "-m", "realtime.batch.cli", *map(str, arguments)], input=data,
        capture_output=True,
    )  # fmt: skip


def reader(data, **more):
    """A `PipeReader` of what a thread writes, in pieces of odd sizes."""
    read_end, write_end = os.pipe()

    def feed():
        with os.fdopen(write_end, "wb", buffering=0) as file:
            try:
                for at in range(0, len(data), 4099):
                    file.write(data[at : at + 4099])
            except BrokenPipeError:
                pass

    threading.Thread(target=feed, daemon=True).start()
    return PipeReader(file=read_end, **more)


def all_of(found):
    return np.concatenate([np.zeros((0, found.info.channels), "f4"), *found.chunks(1000)])


@pytest.mark.parametrize("subtype", SUBTYPES)
def test_samples_come_through_bit_for_bit(subtype):
    info = AudioInfo(8000, 2, 300, "WAV", subtype)
    sound = np.random.default_rng(1).uniform(-1, 1, (300, 2)).astype("f4")
    data = encode(sound, info)
    held = decode(data, info)
    width = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "DOUBLE": 8}.get(subtype, 4)
    assert len(data) == 300 * 2 * width
    assert encode(held, info) == data or subtype == "PCM_32"  # float32 holds 24 bits of 32
    found = reader(wav_header(info) + data)
    np.testing.assert_array_equal(all_of(found), held)


@pytest.mark.parametrize("subtype", SUBTYPES)
def test_reads_and_writes_what_libsndfile_does(tmp_path, subtype):
    path = tmp_path / "a.wav"
    soundfile.write(path, speech_and_noise(16000, 0.5, channels=2), 16000, subtype=subtype)
    found = reader(path.read_bytes())
    sound = all_of(found)
    assert found.info.frames == len(sound) == soundfile.info(path).frames
    np.testing.assert_allclose(sound, soundfile.read(path, dtype="float32")[0], atol=1e-7)
    with (tmp_path / "b.wav").open("wb") as file:
        writer = PipeWriter(found.info, file=file.fileno())
        writer.write(sound)
    np.testing.assert_allclose(
        soundfile.read(tmp_path / "b.wav", dtype="float32")[0], sound, atol=1e-7
    )


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_sizes_that_a_pipe_cannot_know(size):
    data = wav_header(AudioInfo(8000, 1, None, "WAV", "PCM_16"))[:-4] + size.to_bytes(4, "little")
    assert len(all_of(reader(data + bytes(2001)))) == 1000


def test_bad_pipes_get_one_line():
    good = wav_header(AudioInfo(8000, 1, 1000, "WAV", "PCM_16"))
    cases = {
        b"": "is empty",
        b"fLaC" + bytes(100): "must be WAV",
        good[:30]: "ends within the WAV header",
        good[:20] + b"\x55\0" + good[22:]: "WAV format 85 with 16 bits",
        good[:22] + b"\x63\0" + good[24:]: "channels=99 must be",
        good[:24] + b"\1\0\0\0" + good[28:]: "sample_rate=1 must be",
    }  # fmt: skip
    for data, message in cases.items():
        with pytest.raises(AudioFileError, match=message):
            reader(data)
    with pytest.raises(AudioFileError, match="promises 1,000 bytes of audio more than came"):
        all_of(reader(good + bytes(1000)))
    found = reader(good + bytes(1000), allow_truncated=True)
    assert len(all_of(found)) == 500 and "truncated" in found.notes[0]
    for text in ("48000,2", "48000,2,s17", "1,2,u8", "48000,9,u8", "a,b,c"):
        with pytest.raises(ConfigError, match=f"raw={text}"):
            parse_raw(text)


def test_the_same_samples_as_with_files(tmp_path):
    soundfile.write(tmp_path / "a.wav", speech_and_noise(16000, 2.0), 16000)
    files = ["--lookahead-ms", "0", "--quiet"]  # what comes through a pipe is a stream
    main([str(tmp_path / "a.wav"), "-o", str(tmp_path / "b.wav"), *GATE, *files])
    want = soundfile.read(tmp_path / "b.wav", dtype="int16")[0]
    data = (tmp_path / "a.wav").read_bytes()
    done = command("-", "-o", "-", *GATE, data=data)
    assert done.returncode == 0 and b"standard input -> standard output: open" in done.stderr
    (tmp_path / "c.wav").write_bytes(done.stdout)
    assert soundfile.info(tmp_path / "c.wav").frames == len(want)
    np.testing.assert_array_equal(soundfile.read(tmp_path / "c.wav", dtype="int16")[0], want)
    raw = command("-", "-o", "-", *GATE, "--raw", "16000,1,s16le", data=data[44:])
    np.testing.assert_array_equal(np.frombuffer(raw.stdout, "<i2"), want)
    done = command("-", "-o", tmp_path / "d.flac", *GATE, data=data)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(soundfile.read(tmp_path / "d.flac", dtype="int16")[0], want)


USAGE = [
    (["-", "a.wav", "-o", "-"], "- takes one input, not 2"),
    (["-", "-o", "folder"], "must be a file for standard input"),
    (["-", "-o", "-", "--trace"], "--trace needs a file"),
    (["-", "-o", "b.wav", "--resume"], "--resume needs a file"),
    (["a.wav", "-o", "b.wav", "--raw", "48000,1,u8"], "is for pipes"),
    (["-", "-o", "-", "--format", "flac"], "standard output is WAV"),
    (["-", "-o", "-", "--lookahead-ms", "file"], "lookahead_ms=file needs a file, not -"),
]


@pytest.mark.parametrize(("arguments", "message"), USAGE)
def test_what_pipes_cannot_do(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    refuses(main, [*arguments, *GATE], 2, message, capsys)


def test_who_stops_listening_is_told_in_one_line(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-m", "realtime.batch.cli", "-", "-o", "-", *GATE, "--raw", "16000,1,u8"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        process.stdout.close()
        try:
            process.stdin.write(bytes(1 << 20))
            process.stdin.close()
        except BrokenPipeError:
            pass
        said = process.stderr.read().decode()
    assert process.returncode == 1
    assert said.strip() == "gate-batch: error: standard output: was closed by whoever reads it"
