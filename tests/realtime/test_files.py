import numpy as np
import pytest
import soundfile
from refusals import one_line

from gate.errors import AudioFileError
from realtime.files import AudioInfo, AudioReader, AudioWriter, expand_inputs
from realtime.labels import read_labels

RNG = np.random.default_rng(5)
FORMATS = [
    ("a.wav", "WAV", "PCM_16"), ("a.wav", "WAV", "PCM_24"), ("a.wav", "WAV", "PCM_32"),
    ("a.wav", "WAV", "PCM_U8"), ("a.wav", "WAV", "FLOAT"), ("a.wav", "WAV", "DOUBLE"),
    ("a.wav", "RF64", "PCM_24"), ("a.w64", "W64", "PCM_16"), ("a.flac", "FLAC", "PCM_16"),
    ("a.flac", "FLAC", "PCM_24"), ("a.aiff", "AIFF", "PCM_24"), ("a.ogg", "OGG", "VORBIS"),
    ("a.opus", "OGG", "OPUS"),
]  # fmt: skip


def write(path, format_, subtype, frames=4801, channels=2, rate=48000):
    audio = RNG.uniform(-0.9, 0.9, size=(frames, channels))
    soundfile.write(path, audio, rate, format=format_, subtype=subtype)
    return path


@pytest.mark.parametrize(("name", "format_", "subtype"), FORMATS)
def test_copying_keeps_format_length_and_bits(tmp_path, name, format_, subtype):
    source = write(tmp_path / name, format_, subtype)
    target = tmp_path / "out" / name
    with AudioReader(source) as reader, AudioWriter(target, reader.info) as writer:
        for chunk in reader.chunks(1000):
            assert chunk.dtype == np.float32 and chunk.shape[1] == 2
            writer.write(chunk)
        writer.commit()
    before, after = soundfile.info(source), soundfile.info(target)
    for field in ("frames", "samplerate", "channels", "format", "subtype"):
        assert getattr(before, field) == getattr(after, field), field
    if subtype not in ("VORBIS", "OPUS"):
        a, _ = soundfile.read(source, dtype="float64")
        b, _ = soundfile.read(target, dtype="float64")
        # float32 holds 24 bits: only the last byte of 32-bit formats is rounded.
        assert np.max(np.abs(a - b)) <= (2.0**-24 if subtype in ("PCM_32", "DOUBLE") else 0.0)
    assert sorted(p.name for p in target.parent.iterdir()) == [name]


def test_over_4_gb_a_wav_becomes_rf64(tmp_path):
    info = AudioInfo(48000, 2, 1_200_000_000, "WAV", "PCM_16", "FILE")
    with AudioWriter(tmp_path / "big.wav", info) as writer:
        writer.write(np.zeros((10, 2), np.float32))
        writer.commit()
    assert soundfile.info(tmp_path / "big.wav").format == "RF64"


def test_full_scale_is_clipped_not_wrapped(tmp_path):
    info = AudioInfo(48000, 1, 4, "WAV", "PCM_16", "FILE")
    with AudioWriter(tmp_path / "x.wav", info) as writer:
        writer.write(np.array([[1.0], [2.0], [-1.0], [-2.0]], np.float32))
        writer.commit()
    data, _ = soundfile.read(tmp_path / "x.wav", dtype="int16")
    assert data.tolist() == [32767, 32767, -32768, -32768]


def header(channels=1, rate=48000, bits=16, data_bytes=2000, riff_bytes=2036):
    import struct

    width = channels * bits // 8
    return (
        b"RIFF" + struct.pack("<I", riff_bytes) + b"WAVEfmt "
        + struct.pack("<IHHII", 16, 1, channels, rate, (rate * width) % 2**32)
        + struct.pack("<HH", width % 2**16, bits)
        + b"data" + struct.pack("<I", data_bytes)
    )  # fmt: skip


BAD = {
    "zero.wav": (b"", "is empty"),
    "text.wav": (b"this is no audio file at all\n" * 20, "not a readable audio file"),
    "rate1.wav": (header(rate=1) + bytes(2000), "sample_rate=1 must be from 8000 to 192000"),
    "rate9.wav": (header(rate=10**9) + bytes(2000), "sample_rate=1000000000 must be"),
    "ch0.wav": (header(channels=0) + bytes(2000), "not a readable audio file"),
    "ch65.wav": (header(channels=65) + bytes(65 * 2000), "channels=65 must be from 1 to 8"),
    "headeronly.wav": (header()[:30], "not a readable audio file"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_get_one_line(tmp_path, name):
    content, message = BAD[name]
    (tmp_path / name).write_bytes(content)
    with one_line(AudioFileError, f"{name}.*{message}"):
        AudioReader(tmp_path / name)


def test_inputs_are_expanded_once_and_in_order(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("b.wav", "a.flac", "sub/c.ogg", "notes.txt", ".hidden.wav"):
        (tmp_path / name).write_bytes(b"x")
    names = [str(name) for name in expand_inputs([str(tmp_path)]).files.values()]
    assert names == ["a.flac", "b.wav", "sub/c.ogg"]
    found = expand_inputs([str(tmp_path / "*.wav"), str(tmp_path / "b.wav")])
    assert [path.name for path in found.files] == ["b.wav"]
    (tmp_path / "empty").mkdir()
    for pattern, message in (("empty", "without audio"), ("*.aiff", "matches no file")):
        with pytest.raises(AudioFileError, match=message):
            expand_inputs([str(tmp_path / pattern)])


def test_labels_from_csv_and_audacity(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("file,start_s,end_s,label\na.wav,1,2,x\nb.wav,5,6,x\nsub/a.wav,1.5,3,y\n")
    assert read_labels(table, "folder/sub/a.wav").tolist() == [[1, 3]]
    assert read_labels(table, "b.wav").tolist() == [[5, 6]]
    track = tmp_path / "track.txt"
    track.write_text("0.5\t1.25\tvoice\n\\\t100\t2000\n3\t4\n")
    assert read_labels(track, "any.wav").tolist() == [[0.5, 1.25], [3, 4]]


@pytest.mark.parametrize(
    "text", ["file,start_s,end_s\na.wav,one,2\n", "file,start_s,end_s\na.wav,3,2\n", "voice\n",
             "nan\t2\tx\n"]
)  # fmt: skip
def test_bad_labels_name_the_line(tmp_path, text):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(AudioFileError, match=r"labels\.csv, line [12]"):
        read_labels(path, "a.wav")
