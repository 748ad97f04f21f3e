"""What a file holds, whatever its header says: sizes, ends, chains."""

import re
import shutil
import struct
import subprocess

import numpy as np
import pytest
import soundfile
from refusals import one_line

from gate.errors import AudioFileError
from realtime.files import AudioReader

RATE, FRAMES = 16000, 24000
SOUND = (0.2 * np.random.default_rng(3).standard_normal((FRAMES, 2))).astype("f4")
FORMATS = [
    ("a.wav", "WAV", "PCM_16"), ("a.rf64", "RF64", "PCM_16"), ("a.w64", "W64", "PCM_16"),
    ("a.aiff", "AIFF", "PCM_16"), ("a.caf", "CAF", "PCM_16"), ("a.au", "AU", "PCM_16"),
    ("a.voc", "VOC", "PCM_16"), ("a.nist", "NIST", "PCM_16"), ("a.flac", "FLAC", "PCM_16"),
    ("a.ogg", "OGG", "VORBIS"), ("a.opus", "OGG", "OPUS"), ("a.mp3", "MP3", "MPEG_LAYER_III"),
    ("b.wav", "WAV", "FLOAT"), ("b.aiff", "AIFF", "PCM_24"), ("b.flac", "FLAC", "PCM_24"),
    ("a.svx", "SVX", "PCM_16"),
]  # fmt: skip


def write(path, container, subtype, sound=SOUND, **more):
    sound = sound[:, :1] if container == "SVX" else sound  # which has one channel
    soundfile.write(path, sound, RATE, format=container, subtype=subtype, **more)
    return path


def read(path, **more):
    with AudioReader(path, **more) as reader:
        parts = list(reader.chunks(1000))
        assert reader.frames_read == sum(map(len, parts)) == reader.info_read.frames
        sound = np.concatenate(parts) if parts else np.zeros((0, 2), "f4")
        return sound, reader.notes


@pytest.mark.parametrize(("name", "container", "subtype"), FORMATS)
@pytest.mark.parametrize("share", [0.35, 0.8, 0.995])
def test_a_cut_off_file_is_refused_or_read_as_far_as_it_goes(
    tmp_path, name, container, subtype, share
):
    path = write(tmp_path / name, container, subtype, np.tile(SOUND, (4, 1)))
    whole, notes = read(path)
    assert len(whole) == 4 * FRAMES and notes == []
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with one_line(AudioFileError, rf"{re.escape(str(path))}: truncated: .*--allow-truncated"):
        read(path)
    part, notes = read(path, allow_truncated=True)
    # A page of Opus holds a second, and the encoder may look ahead.
    share *= 4
    assert share * FRAMES - 1.2 * RATE < len(part) < 4 * FRAMES
    assert len(notes) == 1 and re.search("^truncated: .*read as far as it goes$", notes[0])
    if subtype not in ("VORBIS", "OPUS", "MPEG_LAYER_III"):
        assert len(part) > share * FRAMES - 4200
        np.testing.assert_array_equal(part, whole[: len(part)])


def sizes(path, whole=None, data=None, where=b"data", order="<", width="I", head=4):
    """Put other sizes into a header, in place: a file may have gigabytes."""
    with path.open("r+b") as file:
        at = file.read(4096).find(where) + head
        if whole is not None:
            file.seek(4)
            file.write(struct.pack(order + "I", whole))
        if data is not None:
            file.seek(at)
            file.write(struct.pack(order + width, data))
    return path


UNKNOWN = [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFDB]


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "PCM_U8", "ULAW"])
@pytest.mark.parametrize("data", UNKNOWN)
@pytest.mark.parametrize("whole", [None, 0, 0xFFFFFFFF])
def test_wav_sizes_that_nobody_filled_in(tmp_path, subtype, data, whole):
    path = write(tmp_path / "a.wav", "WAV", subtype)
    want, _ = read(path)
    got, notes = read(sizes(path, whole, data))
    assert len(notes) == 1 and "the file's length counts" in notes[0]
    np.testing.assert_array_equal(got[:FRAMES], want)
    assert FRAMES <= len(got) < FRAMES + 20  # a chunk behind the sound may be taken for sound


@pytest.mark.parametrize(("name", "how", "words"), [
    *(("a.wav", (whole,), "size of the whole file is wrong") for whole in (0, 4, 2**32 - 1, 500)),
    # A recorder that brings its header up to date now and then, and died.
    ("a.wav", (4036, 4000), "promises 4,000 bytes of sound, the file holds 96,000"),
    ("a.aiff", (None, 12, b"COMM", ">", "I", 10), "promises 12 samples, the file holds 24,000"),
    *(("a.w64", (None, size, b"data", "<", "Q", 16), "")
      for size in (0, 2**64 - 1, 24, 2**63)),
    *((name, (None, size, where, ">", width, head), "the file's length counts")
      for name, where, width, head in (
          ("a.aiff", b"SSND", "I", 4), ("a.au", b".snd", "I", 8), ("a.caf", b"data", "q", 4),
          ("a.svx", b"BODY", "I", 4))
      for size in (0, 40000)),
])  # fmt: skip
def test_other_sizes_that_are_wrong(tmp_path, name, how, words):
    path = write(tmp_path / name, name[2:].upper(), "PCM_16")
    want, notes = read(path)
    assert len(want) == FRAMES and notes == []
    got, notes = read(sizes(path, *how))
    np.testing.assert_array_equal(got, want)
    assert len(notes) == 1 and words in notes[0]


def test_odd_sizes_and_missing_pads(tmp_path):
    path = write(tmp_path / "a.wav", "WAV", "PCM_16")
    want, _ = read(path)
    data = path.read_bytes()
    for n, held in ((1, FRAMES), (2, FRAMES), (3, FRAMES)):
        path.write_bytes(data + b"x" * n)
        sizes(path, len(data) - 8 + n, 4 * FRAMES + n)
        got, notes = read(path)
        np.testing.assert_array_equal(got, want[:held])
        assert any("ends within a sample" in note for note in notes), n
    # Mono, 8 bits, odd, without its pad byte: at the end, and before another chunk.
    for behind in (b"", b"LIST\4\0\0\0INFO", b"\0LIST\4\0\0\0INFO"):
        soundfile.write(path, SOUND[:501, 0], RATE, subtype="PCM_U8")
        raw = path.read_bytes()[: 44 + 501] + behind
        path.write_bytes(raw[:4] + struct.pack("<I", len(raw) - 8) + raw[8:])
        with AudioReader(path) as reader:
            assert sum(map(len, reader.chunks(100))) == 501 and reader.notes == []


def test_an_empty_wav_is_empty_whatever_lies_behind(tmp_path):
    path = write(tmp_path / "a.wav", "WAV", "PCM_16", SOUND[:0])
    data = path.read_bytes()
    for behind in (b"", b"LIST\4\0\0\0INFO"):
        path.write_bytes(data + behind)
        got, _ = read(path)
        assert len(got) == 0
    path.write_bytes(data + bytes(range(32, 232)) * 4)  # sound all the same
    assert len(read(path)[0]) == 200


def test_big_files_without_a_size(tmp_path):
    """Holes make a file of 5 GB; its size does not fit its header."""
    path = write(tmp_path / "a.wav", "WAV", "PCM_16", SOUND[:100])
    sizes(path, 0, 0)
    with path.open("r+b") as file:
        file.truncate(5_000_000_044)
    with AudioReader(path) as reader:
        assert reader.info.frames == 1_250_000_000
    sizes(path, 705032740, 705032704)  # 5 GB counted in 32 bits
    with AudioReader(path) as reader:
        assert reader.info.frames == 1_250_000_000


@pytest.mark.parametrize("size", [0, 2**64 - 1, 2**63])
def test_rf64_sizes(tmp_path, size):
    path = write(tmp_path / "a.rf64", "RF64", "PCM_16")
    want, _ = read(path)
    got, notes = read(sizes(path, None, size, b"ds64", width="Q", head=16))
    np.testing.assert_array_equal(got, want)
    assert len(notes) == 1


def test_bw64_is_rf64(tmp_path):
    path = write(tmp_path / "a.rf64", "RF64", "PCM_16")
    want, _ = read(path)
    path.write_bytes(b"BW64" + path.read_bytes()[4:])
    got, notes = read(path)
    np.testing.assert_array_equal(got, want)
    assert notes == []


@pytest.mark.parametrize(("name", "container", "n"), [
    ("a.wav", "WAV", 44), ("a.flac", "FLAC", 150), ("a.au", "AU", 24),
])  # fmt: skip
def test_where_nothing_is_left_there_is_nothing_to_gate(tmp_path, name, container, n):
    path = write(tmp_path / name, container, "PCM_16")
    path.write_bytes(path.read_bytes()[:n])
    with pytest.raises(AudioFileError, match=r"nothing is left to read|before the first sound"):
        read(path, allow_truncated=True)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize("kind", ["wav", "w64", "aiff", "caf", "au", "flac", "ogg", "rf64"])
def test_what_ffmpeg_streams(tmp_path, kind):
    source = write(tmp_path / "in.wav", "WAV", "PCM_16")
    options = ["-rf64", "always", "-f", "wav"] if kind == "rf64" else ["-f", kind]
    command = ["ffmpeg", "-loglevel", "error", "-i", str(source), *options, "-"]
    path = tmp_path / f"piped.{kind}"
    path.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    got, notes = read(path)
    assert len(got) == FRAMES
    if kind != "ogg":
        np.testing.assert_array_equal(got, read(source)[0])
    assert (len(notes) == 1) == (kind not in ("ogg", "au", "caf")), notes


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_flac_of_unknown_length(tmp_path, subtype):
    path = write(tmp_path / "a.flac", "FLAC", subtype)
    want, _ = read(path)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    got, notes = read(path)
    np.testing.assert_array_equal(got, want)
    assert notes == ["streamed: the header does not know the length; it is 24,000 samples"]
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(AudioFileError, match="truncated: the header does not know the length"):
        read(path)
    got, _ = read(path, allow_truncated=True)
    assert 0.5 * FRAMES - 4200 < len(got) < 0.6 * FRAMES
    np.testing.assert_array_equal(got, want[: len(got)])


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_all_links_of_a_chain(tmp_path, subtype):
    parts = [SOUND[:9000], SOUND[9000:17000], SOUND[17000:]]
    paths = [write(tmp_path / f"{k}.ogg", "OGG", subtype, part) for k, part in enumerate(parts)]
    chain = tmp_path / "chain.ogg"
    chain.write_bytes(b"".join(path.read_bytes() for path in paths))
    got, notes = read(chain)
    np.testing.assert_array_equal(got, np.concatenate([read(path)[0] for path in paths]))
    assert notes == ["is a chain of 3 streams; all are read"]
    other = tmp_path / "other.ogg"
    soundfile.write(other, SOUND[:, 0], 8000, format="OGG", subtype=subtype)
    chain.write_bytes(paths[0].read_bytes() + other.read_bytes())
    with pytest.raises(AudioFileError, match="chain of streams of different kind"):
        read(chain)
    first, second = paths[0].read_bytes(), paths[1].read_bytes()
    chain.write_bytes(first + second[:-500])
    with pytest.raises(AudioFileError, match="truncated"):
        read(chain)
    first = write(tmp_path / "0.ogg", "OGG", subtype, np.tile(SOUND, (3, 1))).read_bytes()
    chain.write_bytes(first[:-500] + second)  # one that died, and went on
    with pytest.raises(AudioFileError, match="truncated: a page is cut off"):
        read(chain)
    got, _ = read(chain, allow_truncated=True)
    np.testing.assert_array_equal(got[-8000:], read(paths[1])[0])
    assert len(got) > 8000 + FRAMES


def test_files_joined_end_to_end(tmp_path):
    for container in ("FLAC", "WAV", "W64", "AIFF", "CAF", "AU", "SVX"):
        path = write(tmp_path / f"a.{container.lower()}", container, "PCM_16")
        path.write_bytes(path.read_bytes() * 2)
        with pytest.raises(AudioFileError, match="joined in it"):
            read(path)
    path = write(tmp_path / "a.mp3", "MP3", "MPEG_LAYER_III")
    path.write_bytes(path.read_bytes() * 2)
    got, notes = read(path)
    assert len(got) > 1.9 * FRAMES and "the file's length counts" in notes[0]


def without_count(path):
    """An MP3 without the frame that tells how many there are."""
    from realtime.files.mp3 import frame_of

    data = path.read_bytes()
    path.write_bytes(data[frame_of(data[:4]).size :])


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_mp3_without_a_count_is_read_to_its_end(tmp_path, mode):
    sound = SOUND * np.linspace(0, 1, FRAMES)[:, None]  # the bitrate goes up
    path = write(tmp_path / "a.mp3", "MP3", "MPEG_LAYER_III", sound, bitrate_mode=mode)
    assert len(read(path)[0]) == FRAMES
    without_count(path)
    got, notes = read(path)
    assert notes == [] and FRAMES < len(got) < FRAMES + 3000
    bare = path.read_bytes()
    path.write_bytes(b"ID3\3\0\0\0\0\0\x14TIT2\0\0\0\4\0\0\0Abc" + bytes(6) + bare)
    with AudioReader(path) as reader:
        assert np.array_equal(np.concatenate(list(reader.chunks(1000))), got)
        assert reader.notes == [] and reader.tags["title"] == "Abc"
    path.write_bytes(bare)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(AudioFileError, match="truncated: its last frame ends"):
        read(path)


def test_tags_behind_the_sound_are_no_sound(tmp_path):
    tag = b"TAG" + bytes(125)
    for name, container, subtype in (("a.wav", "WAV", "PCM_16"), ("a.flac", "FLAC", "PCM_16"),
                                     ("a.mp3", "MP3", "MPEG_LAYER_III")):  # fmt: skip
        path = write(tmp_path / name, container, subtype)
        path.write_bytes(path.read_bytes() + tag)
        got, notes = read(path)
        assert len(got) == FRAMES and notes == [], name
