"""Copies whose metadata a policy removes: their compressed pixels stay, bit for bit."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageSequence

from sharpend.imaging import codec, extras
from sharpend.imaging.containers import itemedit
from sharpend.imaging.containers.items import items_of
from sharpend.imaging.contents import contents_of
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata.blocks import Block, Carried, Kind
from sharpend.imaging.picture import Frame, Picture
from sharpend.imaging.reading import Reader
from sharpend.policies import Frames, Metadata, Policies
from tests import isofiles
from tests.cameras import POSITION, Camera
from tests.test_imaging_items import BLOCK, avif
from tests.test_pipeline import Bench
from tests.test_skipping import cut_out, flat, run, sharp

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sharpend.attempt import Staged
    from sharpend.workers.pipeline import Pipeline

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
PACKET = (
    f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">'
    '<rdf:Description rdf:about="" xmlns:exif="http://ns.adobe.com/exif/1.0/"'
    ' xmlns:dc="http://purl.org/dc/elements/1.1/" exif:GPSLatitude="52,30N" dc:title="harbour"/>'
    "</rdf:RDF></x:xmpmeta>"
).encode()
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
STRIP, STRIP_GPS = Policies(Metadata.STRIP), Policies(Metadata.STRIP_GPS)
ORIENTED = struct.pack("<HHIH", 0x0112, 3, 1, 6)


def block(*, turned: bool = True) -> bytes:
    """An EXIF block with a position, a thumbnail and a camera's name."""
    upright = ORIENTED[:-2] + b"\1\0"
    made = Camera(prefix=b"").block()
    return made if turned else made.replace(ORIENTED, upright)


def pillow(target: str, **options: Any) -> bytes:  # noqa: ANN401 - Pillow's
    """The cut-out by Pillow; two frames where the options ask for all."""
    file, moves = BytesIO(), "save_all" in options
    more = {"append_images": [cut_out(flat()).rotate(180)]} if moves else {}
    told = {"exif": block(turned=not moves), "xmp": PACKET, "icc_profile": PROFILE}
    cut_out(flat()).save(file, target, quality=70, **told, **options, **more)
    return file.getvalue()


def heic(**options: Any) -> bytes:  # noqa: ANN401 - the plugin's
    """The same by the plugin for HEIC."""
    extras.load(Format.HEIC)
    return pillow("HEIF", **options)


def deep_heic() -> bytes:
    """The same with 10 bits."""
    plugin: Any = extras.load(Format.HEIC)
    plugin.options.SAVE_HDR_TO_12_BIT = False
    file, samples = BytesIO(), np.asarray(cut_out(flat())).astype(np.uint16) * 257
    told = {"exif": block(), "xmp": PACKET}
    plugin.encode("RGBA;16", (128, 128), samples.tobytes(), file, quality=80, **told)
    return file.getvalue()


def ours(target: Format, **encoding: object) -> bytes:
    """The same by the codec."""
    values = np.asarray(cut_out(flat()))
    if "bits" in encoding:
        values = values.astype(np.uint16) * 257
    told = Carried((Block(Kind.EXIF, block()), Block(Kind.XMP, PACKET)))
    frame = Frame(values[..., :3].copy(), values[..., 3].copy(), told, encoding)
    file = BytesIO()
    codec.encode(Picture((frame,), target), file)
    return file.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    "a.webp": lambda: pillow("WEBP"),
    "moving.webp": lambda: pillow("WEBP", save_all=True),
    "a.avif": lambda: pillow("AVIF"),
    "moving.avif": lambda: pillow("AVIF", save_all=True),
    "deep.avif": lambda: ours(
        Format.AVIF, bits=10, quality=90, speed=8, subsampling="4:4:4", orientation=6
    ),
    "a.heic": heic,
    "small.heic": lambda: heic(thumbnails=[64]),
    "deep.heic": deep_heic,
    "a.jxl": lambda: ours(Format.JXL, lossless=False),
}
POLICIES = {"strip": STRIP, "strip-gps": STRIP_GPS}


@pytest.fixture
def shipped(tmp_path: Path) -> Bench:
    """Empty folders, for the default model."""
    return Bench(tmp_path, Path("lite-photo"))


def frames_of(path: Path, data: bytes) -> list[NDArray[np.generic]]:
    """All frames, by the decoders' own interfaces."""
    if path.suffix == ".jxl":
        return [imagecodecs.jpegxl_decode(data)]
    if path.suffix == ".heic":
        plugin: Any = extras.load(Format.HEIC)
        return [np.asarray(plugin.open_heif(BytesIO(data), convert_hdr_to_8bit=False))]
    if path.name == "deep.avif":
        return [imagecodecs.avif_decode(data)]
    with Image.open(BytesIO(data)) as image:
        return [np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(image)]


def outcome_of(worker: Pipeline, bench: Bench, name: str, data: bytes, policy: str) -> Staged:
    """What becomes of a file under a policy."""
    source = bench.source / name
    source.write_bytes(data)
    return run(worker, bench, source, replace(POLICIES[policy], frames=Frames.ALL), above=None)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", FILES)
def test_a_flat_cut_out_loses_its_metadata_alone(
    worker: Pipeline, shipped: Bench, name: str, policy: str
) -> None:
    """Every frame is decoded as before; what policy removes is in no byte, the rest is there."""
    data = FILES[name]()
    outcome = outcome_of(worker, shipped, name, data, policy)
    copy = shipped.made.read_bytes()
    assert outcome.notes[0].endswith(
        f": copied but for its metadata, by pictures.metadata = {policy}"
    )
    assert (outcome.frames, outcome.losses) == (0, ())
    before, after = (frames_of(Path(name), each) for each in (data, copy))
    assert len(before) == len(after) == (2 if "moving" in name else 1)
    assert all(np.array_equal(*pair) for pair in zip(before, after, strict=True))
    assert all(part in data for part in (POSITION, b"GPSLatitude", b"Canon", b"harbour"))
    assert all(part not in copy for part in (POSITION, b"GPSLatitude"))
    assert all((part in copy) == (policy == "strip-gps") for part in (b"Canon", b"harbour"))
    with BytesIO(data) as one, BytesIO(copy) as other:
        then, now = [contents_of(decoded(each)) for each in (one, other)]
    assert (then.gps, now.gps) == (True, False)
    assert (then.orientation, then.icc_bytes) == (now.orientation, now.icc_bytes)


def decoded(file: BytesIO) -> Picture:
    """An image with all its frames."""
    policies = Policies(frames=Frames.ALL)
    return codec.decode(file, max_pixels=10**7, max_bytes=10**7, policies=policies)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", FILES)
def test_an_outside_reader_finds_nothing_more(
    worker: Pipeline, shipped: Bench, name: str, policy: str
) -> None:
    """Of EXIF and XMP there is what policy keeps; the warning of a maker note goes with it."""
    outcome_of(worker, shipped, name, FILES[name](), policy)
    before, after = (exif_fields(path) for path in (shipped.source / name, shipped.made))
    assert any("GPS" in field for field in before)
    kept = {"IFD0:Orientation"} if policy == "strip" else {f for f in before if "GPS" not in f}
    assert after - {"ExifTool:Warning"} == kept & before - {"ExifTool:Warning"}
    assert after - before == set()


def exif_fields(path: Path) -> set[str]:
    """Names of all that exiftool reads of EXIF and XMP, by group, and of its warnings."""
    command = ["exiftool", "-j", "-a", "-G1", "-u", "-ee", str(path)]
    (found,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    groups = ("IFD", "ExifIFD", "GPS", "XMP-", "InteropIFD", "ExifTool:Warning", "ExifTool:Error")
    return {name for name in found if name.startswith(groups)}


@pytest.mark.parametrize("name", ["a.avif", "a.heic"])
def test_a_file_with_more_than_its_image_is_encoded_again(
    worker: Pipeline, shipped: Bench, name: str
) -> None:
    """What an output does not hold may hold metadata, too."""
    data = FILES[name]() + isofiles.box(b"uuid", bytes(16), b"of its maker")
    outcome = outcome_of(worker, shipped, name, data, "strip")
    assert outcome.frames == 1
    assert len(outcome.losses) == 1
    assert "it holds content beside its image" in outcome.notes[-1]


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(("version", "method"), [(0, 0), (1, 0), (2, 0), (1, 1), (2, 1)])
def test_an_item_goes_from_every_list(version: int, method: int, *, wide: bool) -> None:
    """In every layout of the boxes, an item in two parts: nothing moves, and its bytes are gone."""
    data = avif(version, method, bytes(4) + BLOCK, wide=wide)
    copy, _ = itemedit.edited(data, lambda _: Carried())
    found = items_of(Reader(BytesIO(copy)))
    assert (len(copy), list(found.items), list(found.places)) == (len(data), [1], [])
    assert BLOCK[4:70] in data
    assert BLOCK[4:70] not in copy
    assert BLOCK[80:] not in copy


def test_what_changes_is_written_over_its_parts() -> None:
    """A shorter block fills both parts of its item."""
    data = avif(1, 0, bytes(4) + BLOCK)
    copy, _ = itemedit.edited(data, lambda _: Carried((Block(Kind.EXIF, BLOCK[:100]),)))
    found = items_of(Reader(BytesIO(copy)))
    assert found.content(2, copy) == bytes(4) + BLOCK[:100].ljust(len(BLOCK), b"\0")


def test_metadata_that_grows_is_refused() -> None:
    """It could not lie where it lay."""
    data = avif(1, 0, bytes(4) + BLOCK)
    with pytest.raises(ValueError, match="does not fit"):
        itemedit.edited(data, lambda _: Carried((Block(Kind.EXIF, BLOCK + b"!"),)))


def test_bytes_that_an_image_needs_are_never_overwritten() -> None:
    """An item of metadata whose place is that of the image."""
    made = [isofiles.Made(b"av01", b"coded image"), isofiles.Made(b"Exif", bytes(4) + BLOCK)]
    data = isofiles.heif(made, brand=b"avif")
    places = [one.extents[0] for one in items_of(Reader(BytesIO(data))).places.values()]
    one, other = (struct.pack(">II", *place) for place in places)
    with pytest.raises(ValueError, match="something else"):
        itemedit.edited(data.replace(other, one), lambda _: Carried())


@pytest.mark.parametrize(("suffix", "coded"), [("jpg", b"\xff\xda"), ("png", b"IDAT")])
def test_a_sharp_file_passes_without_its_metadata(
    worker: Pipeline, shipped: Bench, suffix: str, coded: bytes
) -> None:
    """`skip_sharp` copies what is compressed, and policy decides over the rest."""
    source = shipped.source / f"a.{suffix}"
    told = b"Exif\0\0" + block()
    sharp().save(source, quality=91, exif=told, icc_profile=PROFILE, comment=b"mine")
    outcome = run(worker, shipped, source, STRIP)
    before, after = source.read_bytes(), shipped.made.read_bytes()
    assert outcome.frames == 0
    assert before[before.rindex(coded) :] == after[after.rindex(coded) :]
    assert b"Canon" not in after
    assert (contents_of(shipped.decoded()).orientation, PROFILE in after) == (6, suffix == "jpg")
    assert b"mine" not in after
