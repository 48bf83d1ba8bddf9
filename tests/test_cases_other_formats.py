"""JPEG, PNG, GIF, WebP, BMP and Netpbm as people have them, with all that lies beside the image.

`cases` has the inputs and what is right for them.
"""

from __future__ import annotations

import re
import struct
import zlib
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging import losses
from sharpend.imaging.containers import jpeglayout, jpegpixels, jpegwalk
from sharpend.imaging.containers.pngchunks import chunk, chunks
from sharpend.imaging.depth import white
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata.blocks import Kind
from sharpend.imaging.metadata_policy import finished
from sharpend.imaging.picture import Picture
from sharpend.policies import Cmyk, Frames, Losses, Metadata, OneBit, Policies
from tests import cases, outside, sources
from tests.cases import bytes_of, written
from tests.inventory import lost, parts_of
from tests.recipe import installed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

RIGHT = cases.table("rest")
TAKEN = cases.taken("rest")
CMYK = sources.PROFILES / "default_cmyk.icc"
decoded = partial(cases.decoded, policies=cases.TABLES["rest"])


@pytest.mark.parametrize("name", TAKEN)
def test_every_part_is_found_again_or_named(name: str) -> None:
    """Chunks, segments, blocks, header fields and what lies behind: nothing goes silently."""
    data, picture = bytes_of(name), decoded(bytes_of(name))
    assert lost(data, written(picture), " ".join((*picture.notes, *picture.losses))) == []


OF_FORM = re.compile(
    r"SourceFile|(ExifTool|System|Composite):.*|File:ImageLength"
    r"|GIF:(GIFVersion|HasColorMap|ColorResolutionDepth|BitsPerPixel|BackgroundColor)"
)
"""Fields that tell of the file and not of the image."""


@pytest.mark.slow
@pytest.mark.skipif(not installed("exiftool"), reason="exiftool is not installed")
def test_exiftool_finds_every_field_again(tmp_path: Path) -> None:
    """But for those that `fields` in the table names, each of which a note or a loss tells of."""
    outputs = [tmp_path / name for name in TAKEN]
    for output in outputs:
        output.write_bytes(written(decoded(bytes_of(output.name))))
    before, after = outside.fields([cases.FOLDER / name for name in TAKEN]), outside.fields(outputs)
    for name in TAKEN:
        named = re.compile(RIGHT[name].get("fields", "(?!)"))
        gone = {key for key in before[name] if before[name][key] != after[name].get(key)}
        assert not {key for key in gone if not named.match(key) and not OF_FORM.match(key)}, name


@pytest.mark.parametrize("name", ["jpeg-motion.jpg", "jpeg-samsung.jpg", "png-tail.png"])
def test_what_counts_from_the_end_is_appended_as_it_was(name: str) -> None:
    """A video, a vendor's trailer and an archive stay valid, unless metadata is stripped."""
    data = bytes_of(name)
    (behind,) = (content for kind, content in parts_of(data) if kind == "behind")
    picture = decoded(data)
    assert written(picture).endswith(behind)
    stripped = finished(picture, Policies(metadata=Metadata.STRIP), None)
    assert behind not in written(stripped)


def test_a_video_that_may_tell_a_position_is_announced_no_more() -> None:
    """With `strip-gps` the video goes, and with it what XMP says of it."""
    picture = decoded(bytes_of("jpeg-motion.jpg"))
    output = written(finished(picture, Policies(metadata=Metadata.STRIP_GPS), None))
    assert b"ftyp" not in output
    assert b"MotionPhoto" not in output


def test_black_and_white_is_passed_on_with_all_that_its_file_holds() -> None:
    """The whole file, whatever lies between its pixels and behind them."""
    file = BytesIO()
    Image.new("1", (9, 9)).save(file, "PNG")
    data = file.getvalue() + b"behind"
    picture = decoded(data, policies=Policies(one_bit=OneBit.PASS))
    assert (written(picture), picture.losses) == (data, ())


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("kind", "notes", "losses"),
    [
        (0x010001, ["MPF", "larger thumbnails"], []),  # of a camera's display
        (0x010002, ["MPF", "larger thumbnails"], []),  # of a television
        (0x020002, ["MPF"], ["further images"]),  # the other view of a stereo pair
        (0x000000, ["MPF"], ["further images"]),  # a gain map
    ],
)
def test_only_declared_thumbnails_are_no_loss(
    photograph: bytes, order: str, kind: int, notes: list[str], losses: list[str]
) -> None:
    """Cameras put copies for their displays behind the image, in the same way as further images."""
    listed = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8)
    listed += struct.pack(f"{order}HHHII", 1, 0xB002, 7, 32, 26) + bytes(4)
    size = 2 + len(b"MPF\0" + listed) + 32
    first = struct.pack(f"{order}3I2H", 0x20030000, 0, 0, 0, 0)
    place = len(photograph) + 2 + size - 10  # from the header of the list
    other = struct.pack(f"{order}3I2H", kind, len(photograph), place, 0, 0)
    segment = b"\xff\xe2" + size.to_bytes(2) + b"MPF\0" + listed + first + other
    picture = decoded(photograph[:2] + segment + photograph[2:] + photograph)
    for told, right in ((picture.notes, notes), (picture.losses, losses)):
        assert [word in text for word, text in zip(right, told, strict=True)] == [True] * len(right)


@pytest.mark.parametrize("policy", [Metadata.STRIP, Metadata.STRIP_GPS])
@pytest.mark.parametrize("name", ["jpeg-motion.jpg", "jpeg-samsung.jpg", "png-tail.png"])
def test_a_video_or_an_archive_is_no_metadata(name: str, policy: Metadata) -> None:
    """Where a policy on metadata removes it, that is a loss: its source is not deleted for it."""
    picture = decoded(bytes_of(name))
    assert losses.check(picture, Policies()).losses == picture.losses
    (found,) = set(losses.check(picture, Policies(metadata=policy)).losses) - set(picture.losses)
    assert "a video, an archive" in found
    with pytest.raises(ImageRefusedError) as caught:
        losses.check(picture, Policies(metadata=policy, losses=Losses.REFUSE))
    assert caught.value.reason is Reason.WOULD_LOSE


@pytest.mark.parametrize("kept", [True, False])
def test_a_video_is_announced_as_long_as_it_is_there(*, kept: bool) -> None:
    """XMP tells of a motion photo only where the video is in the output."""
    data = bytes_of("jpeg-motion.jpg")
    picture = decoded(data if kept else data[: data.index(b"ftyp") - 4])
    assert (b"MotionPhoto" in picture.carried.data(Kind.XMP)) == kept


@pytest.fixture(scope="module")
def photograph() -> bytes:
    """A JPEG of some 10 kB."""
    pixels = decoded(bytes_of("png-late-chunks.png")).pixels
    return written(Picture.still(np.tile(pixels, (4, 4, 1)), format=Format.JPEG))


def told_of(data: bytes) -> str:
    """A refusal, or the notes of an image."""
    try:
        return " ".join(decoded(data).notes)
    except ImageRefusedError as error:
        return error.reason


@pytest.mark.parametrize("at", [1300, 2500, 4000, 6000, 8000])
@pytest.mark.parametrize("hole", [40, 400])
def test_holes_in_compressed_data_are_heard(photograph: bytes, at: int, hole: int) -> None:
    """Zeros in the middle of a scan shift colours: that is damage, or at least a note."""
    assert not told_of(photograph)
    told = told_of(photograph[:at] + bytes(hole) + photograph[at + hole :])
    assert told == "damaged" or "may be damaged" in told


@pytest.mark.parametrize("padding", [b"from some camera", bytes(500), b"\xff" * 9])
def test_bytes_behind_a_scan_are_a_note(photograph: bytes, padding: bytes) -> None:
    """Some cameras leave them there; every pixel is right."""
    told = told_of(photograph[:-2] + padding + photograph[-2:])
    assert "surplus bytes" in told or not padding.strip(b"\xff")


@pytest.mark.parametrize("seed", range(40))
def test_both_readers_of_scans_hear_the_same(photograph: bytes, seed: int) -> None:
    """The one for rare samplings warns of the same damage in the same words as libjpeg."""
    rng = np.random.default_rng(seed)
    data = bytearray(photograph)
    at, length = int(rng.integers(1000, len(data) - 100)), int(rng.choice([1, 3, 50]))
    data[at : at + length] = rng.bytes(length).replace(b"\xff", b"\0")
    found = jpeglayout.parts(bytes(data), most_scans=1)
    own, libjpegs = jpegwalk.warning(found), jpegpixels.decoded(found).warning
    if own != libjpegs:  # libjpeg reads some bytes ahead and counts stuffed bytes twice
        assert own is not None
        assert libjpegs is not None
        counts = [
            int((re.findall(r"(\d+) extraneous", each) or ["0"])[0]) for each in (own, libjpegs)
        ]
        assert abs(counts[0] - counts[1]) <= 8
        assert all(not each or "extraneous" in each for each in (own, libjpegs))


def test_a_limit_on_scans_stops_before_they_are_decoded() -> None:
    """Each scan of a progressive JPEG costs the time of a whole image."""
    data = bytes_of("jpeg-com-between-scans.jpg")
    last = data.rindex(b"\xff\xda")
    bomb = data[:last] + data[last:-2] * 600 + b"\xff\xd9"
    with pytest.raises(ImageRefusedError) as caught:
        decoded(bomb)
    assert (caught.value.reason, caught.value.setting) == (
        Reason.TOO_MANY_SCANS,
        "limits.max_scans",
    )
    assert decoded(data, max_scans=20).losses == ()
    with pytest.raises(ImageRefusedError):
        decoded(data, max_scans=5)


def test_a_progressive_file_cut_between_scans_is_not_whole() -> None:
    """Without an end mark every coefficient must be there."""
    data = bytes_of("jpeg-com-between-scans.jpg")
    assert decoded(data[:-2]).notes == ("its end mark was missing",)
    with pytest.raises(ImageRefusedError) as caught:
        decoded(data[: data.rindex(b"\xff\xc4")])
    assert caught.value.reason is Reason.TRUNCATED


@pytest.mark.parametrize("name", ["pgm-4095.pgm", "ppm-newline.ppm"])
@pytest.mark.parametrize("largest", [7, 100, 255, 1023, 4095, 65_535])
def test_any_largest_value_comes_back_exactly(name: str, largest: int) -> None:
    """Samples are scaled to full range for the model, and back to their own."""
    color, shape = (b"P6", (6, 5, 3)) if name.startswith("ppm") else (b"P5", (6, 5, 1))
    values = np.random.default_rng(largest).integers(0, largest + 1, shape)
    dtype = np.dtype(np.uint8 if largest < 256 else ">u2")
    data = color + b"\n5 6\n%d\n" % largest + values.astype(dtype).tobytes()
    picture = decoded(data)
    full = white(picture.pixels.dtype)
    assert picture.pixels.max() == pytest.approx(values.max() * full / largest, abs=0.5)
    assert written(picture) == data


def test_several_images_in_one_netpbm_file() -> None:
    """All are written, or the first and a loss."""
    data = bytes_of("pgm-4095.pgm")
    assert written(decoded(data + data)) == data + data
    first = decoded(data + data, policies=Policies(frames=Frames.FIRST))
    assert (written(first), len(first.losses)) == (data, 1)


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"tIME", b"eXIf", b"iCCP", b"pHYs"])
@pytest.mark.parametrize("flaw", ["checksum", "content"])
def test_a_damaged_chunk_is_left_out_by_name(kind: bytes, flaw: str) -> None:
    """Only the chunks that pixels are made of decide whether a PNG is whole."""
    good = bytes_of("png-late-chunks.png")
    body = b"\0\xff\0"  # no keyword, no time, no TIFF
    made = bytearray(chunk(kind, body))
    if flaw == "checksum":
        made[-1] ^= 1
    picture = decoded(good[:33] + made + good[33:])
    assert f"its {kind.decode()} chunk is damaged and was left out" in picture.notes
    assert np.array_equal(picture.pixels, decoded(good).pixels)


def flushed(packed: bytes) -> bytes:
    """The same bytes compressed, without a last block and checksum."""
    stream = zlib.compressobj()
    return stream.compress(zlib.decompress(packed)) + stream.flush(zlib.Z_SYNC_FLUSH)


@pytest.mark.parametrize(
    ("end", "right"),
    [
        (lambda packed: packed[:-1], "whole"),  # a checksum that is cut
        (lambda packed: packed[:-4], "whole"),
        (flushed, "whole"),
        (lambda packed: packed + b"more", "whole"),
        (lambda packed: zlib.compress(zlib.decompress(packed) + bytes(999)), "whole"),
        (lambda packed: zlib.compress(zlib.decompress(packed)[:-99]), "truncated"),
        (lambda packed: packed[:-4] + b"four", "damaged"),  # a wrong checksum
    ],
)
@pytest.mark.parametrize("has_end", [True, False], ids=["IEND", "cut"])
@pytest.mark.parametrize("bits", [8, 16])
def test_compressed_pixels_may_lack_their_end(
    end: Callable[[bytes], bytes], right: str, bits: int, *, has_end: bool
) -> None:
    """Two libraries read PNG; both take what holds every row, and refuse the rest alike."""
    values = photograph_of(bits)
    good = bytes(imagecodecs.png_encode(values))
    packed = b"".join(body for kind, body in chunks(good) if kind == b"IDAT")
    data = good[:33] + chunk(b"IDAT", end(packed)) + chunk(b"IEND", b"") * has_end
    if right == "whole":
        assert np.array_equal(decoded(data).pixels, values)
        return
    with pytest.raises(ImageRefusedError) as caught:
        decoded(data)
    assert caught.value.reason == right or not has_end


def photograph_of(bits: int) -> NDArray[Any]:
    """Pixels of an input, with all of so many bits in use."""
    pixels = decoded(bytes_of("png-late-chunks.png")).pixels
    return pixels if bits == 8 else pixels.astype(np.uint16) * 257


@pytest.mark.parametrize(("kind", "lost"), [(b"mkBF", 1), (b"PrVT", 1), (b"iDOT", 0), (b"vpAg", 0)])
def test_chunks_of_unknown_content_are_carried_or_lost_by_name(kind: bytes, lost: int) -> None:
    """As their names say: what is not safe to copy may hold the layers of an editor."""
    good = bytes_of("png-late-chunks.png")
    picture = decoded(good[:33] + chunk(kind, b"content") + good[33:])
    assert [kind.decode() in loss for loss in picture.losses] == [True] * lost


@pytest.mark.parametrize("masks", [(0xFF00, 0xFF0000, 0xFF000000), (0xF800, 0x07E0, 0x001F)])
def test_bmp_bit_fields_in_any_order(masks: tuple[int, int, int]) -> None:
    """Pillow knows some layouts only."""
    bits = 32 if max(masks) > 0xFFFF else 16
    pixel = sum(mask & -mask for mask in masks[:1]) * (0xFF if bits == 32 else 31)
    rows = (pixel.to_bytes(bits // 8, "little") * 8) * 2
    head = struct.pack("<IiiHHIIiiII", 40, 8, 2, 1, bits, 3, len(rows), 0, 0, 0, 0)
    head += struct.pack("<3I", *masks)
    data = struct.pack("<2sIII", b"BM", 14 + len(head) + len(rows), 0, 14 + len(head))
    picture = decoded(data + head + rows)
    assert picture.pixels.tolist() == [[[255, 0, 0]] * 8] * 2


@pytest.mark.skipif(not CMYK.exists(), reason="libgs9-common is not installed")
def test_cmyk_without_a_profile_takes_the_one_of_the_settings() -> None:
    """And a note names the setting."""
    policies = Policies(cmyk=Cmyk.CONVERT, cmyk_profile=str(CMYK))
    picture = decoded(bytes_of("jpeg-cmyk-plain.jpg"), policies=policies)
    assert picture.pixels.shape == (64, 96, 3)
    assert any("pictures.cmyk_profile" in note for note in picture.notes)
