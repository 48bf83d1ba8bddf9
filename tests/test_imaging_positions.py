"""What exiftool, an outside reader, finds in photographs whose blocks went through our hands."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from sharpend.imaging import codec, extras
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata import exif, photoshop, xmp
from sharpend.imaging.metadata.blocks import Block, Carried, Kind
from sharpend.imaging.metadata.exifblock import PREFIX
from sharpend.imaging.metadata.provenance import Provenance
from sharpend.imaging.metadata_policy import finished
from sharpend.imaging.picture import Picture
from sharpend.policies import Metadata, Policies
from tests.cameras import ASCII, EXIF, LONG, MAKER_NOTE, UNDEFINED, Camera

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed"),
]
XMP_PREFIX = b"http://ns.adobe.com/xap/1.0/\0"
WRITTEN = """-Make=Canon -Model=EOS -ExifImageWidth=64 -ExifImageHeight=48
 -Orientation#=6 -DateTimeOriginal=2024:05:01T10:00:00
 -ExposureTime=1/250 -UserComment=hello -XMP-dc:Title=Harbour -XMP-xmp:Rating=4
 -IPTC:City=Hamburg -IPTC:Keywords=sea -IPTC:Keywords=ships -Comment=none
 -EXIF:GPSLatitude=53.5 -EXIF:GPSLatitudeRef=N -EXIF:GPSLongitude=9.9 -EXIF:GPSAltitude=8
 -EXIF:GPSDateStamp=2024:05:01 -XMP-exif:GPSLatitude=53.5 -XMP-exif:GPSLongitude=9.9
 -XMP-exif:GPSMapDatum=WGS-84 -XMP-drone-dji:GPSLatitude=53.5 -XMP-drone-dji:GPSLongitude=9.9
 -XMP-iptcExt:LocationCreated={GPSLatitude=53.5,GPSLongitude=9.9,City=Hamburg}"""
PLACES = "SourceFile", "File:System", "ExifTool", "Composite"
"""What exiftool says of the file around the image, or makes up from the other tags."""


def exiftool(*arguments: str | Path) -> str:
    """What exiftool prints."""
    command = ["exiftool", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module", params=["II", "MM"])
def photograph(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JPEG with a position in every place that exiftool writes one to, and a thumbnail."""
    folder = tmp_path_factory.mktemp("photograph")
    path, small = folder / "a.jpg", folder / "small.jpg"
    Image.new("RGB", (64, 48), "teal").save(path)
    Image.new("RGB", (16, 12), "teal").save(small)
    order = f"-ExifByteOrder={request.param}"
    thumbnail = f"-ThumbnailImage<={small}"
    exiftool("-q", "-overwrite_original", order, thumbnail, *WRITTEN.split(), path)
    assert not complaints(path)
    return path


def tags(path: Path) -> dict[str, object]:
    """All that exiftool reads, by group, but for offsets and what is no content."""
    (found,) = json.loads(exiftool("-j", "-b", "-n", "-G0:1", "-struct", path))
    return {
        name: value
        for name, value in found.items()
        if not name.startswith(PLACES) and name.rpartition(":")[2] != "ThumbnailOffset"
    }


def told(tags: dict[str, object]) -> set[str]:
    """The tags that tell a position, or whose content does."""
    return {name for name, value in tags.items() if "gps" in f"{name}{value}".lower()}


def segments(path: Path) -> tuple[list[tuple[int, bytes]], bytes]:
    """A JPEG's segments, marker and payload, and all that follows from its scan on."""
    data, at, found = path.read_bytes(), 2, []
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        found.append((data[at + 1], data[at + 4 : end]))
        at = end
    return found, data[at:]


def changed(path: Path, change: Callable[[int, bytes], bytes]) -> Path:
    """A JPEG of the same image whose segments went through `change`, which may empty them."""
    before, rest = segments(path)
    payloads = [(marker, change(marker, payload)) for marker, payload in before]
    written = b"".join(
        bytes((0xFF, marker)) + (len(payload) + 2).to_bytes(2) + payload
        for marker, payload in payloads
        if payload
    )
    after = path.with_name("after.jpg")
    after.write_bytes(b"\xff\xd8" + written + rest)
    return after


def without_gps(marker: int, payload: bytes) -> bytes:
    """A segment without a position."""
    if marker == 0xE1 and payload.startswith(PREFIX):
        return exif.without_gps(payload)
    if marker == 0xE1 and payload.startswith(XMP_PREFIX):
        return XMP_PREFIX + xmp.without_gps(payload.removeprefix(XMP_PREFIX))
    return photoshop.without_gps(payload) if marker == 0xED else payload


def of_exif(change: Callable[[bytes], bytes]) -> Callable[[int, bytes], bytes]:
    """A change of the EXIF segment alone."""
    return lambda _, payload: change(payload) if payload.startswith(PREFIX) else payload


def complaints(path: Path) -> str:
    """What exiftool finds wrong."""
    found = exiftool("-s3", "-validate", "-warning", "-error", "-a", path).strip()
    return "" if found == "OK" else found


def test_no_position_is_left_and_all_else_is(photograph: Path) -> None:
    """Every tag that tells a position is gone, every other one has its value."""
    before, after = tags(photograph), changed(photograph, without_gps)
    assert len(told(before)) > 8
    expected = {name: value for name, value in before.items() if name not in told(before)}
    location = {"City": "Hamburg"}
    found = tags(after)
    assert found.pop("XMP:XMP-iptcExt:LocationCreated") == [location]
    assert found == expected
    assert not complaints(after)


def test_a_record_is_read_by_others(photograph: Path) -> None:
    """Our properties are there under our namespace, beside all that was there before."""
    record = Provenance("lite-x4", "1" * 64, "2" * 64, "3" * 64, "1.2.0")

    def recorded(_: int, payload: bytes) -> bytes:
        if not payload.startswith(XMP_PREFIX):
            return payload
        packet = payload.removeprefix(XMP_PREFIX)
        return XMP_PREFIX + xmp.with_record(packet, record.fields())

    after = changed(photograph, recorded)
    added = {f"XMP:XMP-sharpend:{name}": value for name, value in record.fields().items()}
    assert tags(after) == {**tags(photograph), **added}
    assert not complaints(after)
    exiftool("-q", "-overwrite_original", "-XMP-dc:Title=other", after)
    (packet,) = (
        payload.removeprefix(XMP_PREFIX)
        for _, payload in segments(after)[0]
        if payload.startswith(XMP_PREFIX)
    )
    assert Provenance.of(xmp.record_of(packet)) == record


@pytest.mark.parametrize("quality", [1, 100])
def test_a_new_thumbnail_is_read_by_others(photograph: Path, quality: int) -> None:
    """Smaller or larger, it is the thumbnail that exiftool finds, and the rest is as it was."""
    file = BytesIO()
    Image.effect_noise((32, 24), 90).save(file, "JPEG", quality=quality)
    after = changed(
        photograph, of_exif(lambda payload: exif.with_thumbnail(payload, file.getvalue()))
    )
    assert exiftool_bytes(after) == file.getvalue()
    mine = {"EXIF:IFD1:ThumbnailImage", "EXIF:IFD1:ThumbnailLength"}
    assert {k: v for k, v in tags(after).items() if k not in mine} == {
        k: v for k, v in tags(photograph).items() if k not in mine
    }
    assert not complaints(after)


def exiftool_bytes(path: Path) -> bytes:
    """The thumbnail that exiftool finds."""
    command = ["exiftool", "-b", "-ThumbnailImage", str(path)]
    return subprocess.run(command, capture_output=True, check=True).stdout


def test_a_dropped_thumbnail_is_missed_by_none(photograph: Path) -> None:
    """Only the tags of the thumbnail's directory are gone."""
    after = changed(photograph, of_exif(exif.without_thumbnail))
    assert tags(after) == {
        name: value for name, value in tags(photograph).items() if ":IFD1:" not in name
    }
    assert not complaints(after)


def test_only_what_is_needed_is_read_by_others(photograph: Path) -> None:
    """A stripped block is a valid one."""
    after = changed(photograph, of_exif(exif.only_needed))
    names = ("Orientation", "XResolution", "YResolution", "ResolutionUnit")
    needed = {f"EXIF:IFD0:{name}" for name in names}
    before = {name: value for name, value in tags(photograph).items() if name in needed}
    assert {n: v for n, v in tags(after).items() if n.startswith("EXIF")} == before
    assert "EXIF:IFD0:Orientation" in before


def panasonic() -> bytes:
    """An EXIF block whose maker note names a city, as exiftool finds it."""
    camera = Camera(prefix=b"")
    start = len(camera.data)
    city = struct.pack("<HHII", 0x6D, 2, 10, start + 12 + 2 + 12 + 4)
    note = b"Panasonic\0\0\0" + struct.pack("<H", 1) + city + bytes(4) + b"Timbuktu!\0"
    further = camera.directory((MAKER_NOTE, UNDEFINED, note), (0x9003, ASCII, b"2024:05:01 1:0\0"))
    main = camera.directory((0x010F, ASCII, b"Panasonic\0"), (EXIF, LONG, further))
    struct.pack_into("<I", camera.data, 4, main)
    return bytes(camera.data)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif", "heic", "jxl"])
def test_a_place_in_a_maker_note_goes(suffix: str, tmp_path: Path) -> None:
    """In every format that carries EXIF, with a note; camera and time stay."""
    extras.load(Format.HEIC)
    path, told = tmp_path / f"a.{suffix}", panasonic()
    image = Image.new("RGB", (64, 48), "teal")
    if suffix == "jxl":
        still = Picture.still(np.asarray(image), format=Format.JXL)
        first = replace(
            still.frames[0],
            encoding={"lossless": True},
            carried=Carried((Block(Kind.EXIF, told),)),
        )
        with path.open("wb") as file:
            codec.encode(still.with_frames([first]), file)
    else:
        image.save(path, exif=PREFIX + told if suffix == "jpg" else told)
    with path.open("rb") as file:
        picture = codec.decode(file, max_pixels=10**6, max_bytes=10**6)
    made = finished(picture, Policies(Metadata.STRIP_GPS), None)
    after = tmp_path / f"after.{suffix}"
    with after.open("wb") as file:
        codec.encode(made, file)
    assert b"Timbuktu" in path.read_bytes()
    assert b"Timbuktu" not in after.read_bytes()
    assert "removed its maker note (MakerNote), which may contain GPS data" in made.notes
    if suffix != "tif":  # Pillow moves the note
        assert "Timbuktu!" in map(str, tags(path).values())
    left = tags(after)
    assert not any("MakerNotes" in name or "City" in name for name in left)
    assert left["EXIF:IFD0:Make"] == "Panasonic"
    assert "EXIF:ExifIFD:DateTimeOriginal" in left
