"""What a file holds beside its sound comes along."""

import base64
import struct

import mutagen
import numpy as np
import pytest
import soundfile
from mutagen import flac, id3, oggopus, oggvorbis

from realtime.batch.cli import main

PICTURE = b"\x89PNG" + bytes(range(256)) * 300  # more than one Ogg page


def sound(path, rate=48000, seconds=2.0, **more):
    t = np.arange(int(rate * seconds)) / rate
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 440 * t), rate, **more)
    return path


def gate(source, output, *more):
    return main([str(source), "-o", str(output), "--model", "none", "--threshold-db", "-40", *more])


def picture():
    found = flac.Picture()
    found.data, found.type, found.mime, found.desc = PICTURE, 3, "image/png", "cover"
    return found


def chunks(path):
    data, at, found = path.read_bytes(), 12, {}
    assert struct.unpack("<I", data[4:8])[0] == len(data) - 8
    while at < len(data):
        name, size = struct.unpack("<4sI", data[at : at + 8])
        found[name] = data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    return found


EXTRA = {
    b"bext": bytes(602) + b"coding history",
    b"iXML": b"<BWFXML><SCENE>7</SCENE></BWFXML>",
    b"cue ": struct.pack("<III4sIII", 1, 1, 480, b"data", 0, 0, 480),
    b"smpl": bytes(36),
    b"LIST": b"adtllabl" + struct.pack("<II", 8, 1) + b"hit\0",
    b"odd!": b"three",
}


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_wav_keeps_its_chunks(tmp_path, subtype, capsys):
    source = sound(tmp_path / "a.wav", subtype=subtype)
    data = source.read_bytes()
    head, own = data[:12], chunks(source)
    order = [b"bext", b"iXML", *own, b"cue ", b"smpl", b"LIST", b"odd!"]
    for name in order:
        body = (EXTRA | own)[name]
        head += struct.pack("<4sI", name, len(body)) + body + bytes(len(body) % 2)
    source.write_bytes(head[:4] + struct.pack("<I", len(head) - 8) + head[8:])
    assert gate(source, tmp_path / "out" / "a.wav") == 0
    gated = chunks(tmp_path / "out" / "a.wav")
    assert {name: gated[name] for name in EXTRA} == EXTRA
    assert soundfile.info(tmp_path / "out" / "a.wav").frames == soundfile.info(source).frames
    assert gate(source, tmp_path / "a.flac") == 0
    said = capsys.readouterr().err
    assert "not kept in a.flac: bext, iXML, cue, smpl, LIST adtl, odd!" in said


def test_flac_keeps_comments_pictures_and_cue_sheet(tmp_path):
    source = sound(tmp_path / "a.flac")
    tags = flac.FLAC(source)
    tags["title"], tags["mood"] = "Rauschen", ["cold", "kalt"]
    tags.add_picture(picture())
    tags.save()
    assert gate(source, tmp_path / "b.flac") == 0
    kept = flac.FLAC(tmp_path / "b.flac")
    assert kept["title"] == ["Rauschen"] and kept["mood"] == ["cold", "kalt"]
    assert kept.pictures[0].data == PICTURE
    assert soundfile.info(tmp_path / "b.flac").frames == soundfile.info(source).frames
    a, b = soundfile.read(source)[0], soundfile.read(tmp_path / "b.flac")[0]
    np.testing.assert_array_equal(a[2000:], b[2000:])


@pytest.mark.parametrize(
    ("name", "kind", "subtype"),
    [("a.ogg", oggvorbis.OggVorbis, "VORBIS"), ("a.opus", oggopus.OggOpus, "OPUS")],
)
def test_ogg_keeps_comments_and_pictures(tmp_path, name, kind, subtype):
    source = sound(tmp_path / name, format="OGG", subtype=subtype)
    tags = kind(source)
    tags["title"], tags["mood"] = "Rauschen", ["cold", "kalt"]
    tags["metadata_block_picture"] = [base64.b64encode(picture().write()).decode()]
    tags.save()
    out = tmp_path / "out" / name
    assert gate(source, out) == 0
    kept = kind(out)
    assert kept["title"] == ["Rauschen"] and kept["mood"] == ["cold", "kalt"]
    found = flac.Picture(base64.b64decode(kept["metadata_block_picture"][0]))
    assert found.data == PICTURE
    before, after = soundfile.read(source)[0], soundfile.read(out)[0]
    assert len(before) == len(after) and np.std(after[9600:]) == pytest.approx(0.21, abs=0.02)
    assert gate(source, tmp_path / "b.flac") == 0
    assert flac.FLAC(tmp_path / "b.flac").pictures[0].data == PICTURE
    back = tmp_path / "back" / name
    assert gate(tmp_path / "b.flac", back) == 0
    assert kind(back)["mood"] == ["cold", "kalt"]


def test_mp3_and_aiff_keep_id3(tmp_path, capsys):
    source = sound(tmp_path / "a.mp3")
    tags = id3.ID3()
    tags.add(id3.TIT2(encoding=3, text="Rauschen"))
    tags.add(id3.TXXX(encoding=3, desc="mood", text="cold"))
    tags.add(id3.APIC(encoding=3, mime="image/png", type=3, desc="cover", data=PICTURE))
    tags.save(source, v1=2)
    for out in (tmp_path / "b.mp3", tmp_path / "c.aiff"):
        assert gate(source, out) == 0
        kept = mutagen.File(out).tags
        assert str(kept["TIT2"]) == "Rauschen" and str(kept["TXXX:mood"]) == "cold"
        assert kept.getall("APIC")[0].data == PICTURE
        assert soundfile.info(out).frames == soundfile.info(source).frames
    assert (tmp_path / "b.mp3").read_bytes()[-128:-125] == b"TAG"
    assert gate(tmp_path / "c.aiff", tmp_path / "d.aiff") == 0
    assert str(mutagen.File(tmp_path / "d.aiff").tags["TIT2"]) == "Rauschen"
    assert gate(source, tmp_path / "e.flac") == 0
    assert flac.FLAC(tmp_path / "e.flac")["title"] == ["Rauschen"]
    said = capsys.readouterr().err
    assert "not kept in e.flac: ID3 tags beyond title, pictures, APE or ID3v1 tags" in said
