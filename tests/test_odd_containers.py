"""Containers with parts that exclude each other, repeat, or mislead: read or refused in true words.

What no output holds is a loss wherever it lies: in a JPEG that was repacked, behind a second frame
header, between blocks.
"""

from __future__ import annotations

import re
import struct
import zlib
from io import BytesIO

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging.containers.pngchunks import HEADER_END, SIGNATURE, chunk, chunks
from sharpend.imaging.containers.riff import chunk as riff_chunk
from sharpend.imaging.containers.riff import chunks as riff_chunks
from sharpend.policies import Frames, Policies
from tests.cases import decoded
from tests.isofiles import box
from tests.tiffs import SHORT, UNDEFINED, Tiff

ALL = Policies(frames=Frames.ALL)
HEIGHT, WIDTH = 40, 56
PIXELS = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
VIDEO = box(b"ftyp", b"isom\0\0\2\0isom") + box(b"mdat", b"video" * 20)


def photograph(target: str = "JPEG", **options: object) -> bytes:
    """One image."""
    file = BytesIO()
    Image.fromarray(PIXELS).save(file, target, **options)
    return file.getvalue()


JPEG = photograph(quality=90)
COMMENT = b"\xff\xfe" + (2 + 9).to_bytes(2) + b"a comment"
IPTC = b"\xff\xed" + (2 + 30).to_bytes(2) + b"Photoshop 3.0\0" + b"8BIM\4\4" + bytes(10)


@pytest.mark.parametrize(
    ("jpeg", "losses"),
    [
        (JPEG, []),
        (JPEG + VIDEO, ["data behind the image of its repacked JPEG"]),
        (JPEG + b"unknown", ["7 bytes of unknown data"]),
        (JPEG + JPEG, ["further images in its file"]),
        (JPEG[:2] + COMMENT + JPEG[2:], ["the comment of its repacked JPEG"]),
        (JPEG[:2] + IPTC + JPEG[2:], ["Photoshop data (IPTC) of its repacked JPEG"]),
        (JPEG[:2] + b"\xff\xe7\0\x08maker!" + JPEG[2:], ["segment APP7 of its repacked JPEG"]),
    ],
    ids=["nothing", "video", "unknown", "image", "comment", "iptc", "maker"],
)
def test_what_a_repacked_jpeg_holds_beside_its_image_is_a_loss(
    jpeg: bytes, losses: list[str]
) -> None:
    """It lies in a box that is not written again; EXIF and XMP are in boxes of their own."""
    picture = decoded(bytes(imagecodecs.jpegxl_encode_jpeg(jpeg)))
    assert any("repacked JPEG" in note for note in picture.notes)
    assert len(picture.losses) == len(losses)
    assert all(part in loss for part, loss in zip(losses, picture.losses, strict=True))


def test_a_repacked_jpeg_that_cannot_be_restored_may_have_held_anything() -> None:
    """Its image is read without the box that restores it."""
    stream = bytes(imagecodecs.jpegxl_encode(PIXELS, usecontainer=False))
    start = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    data = start + box(b"jbrd", bytes(20)) + box(b"jxlc", stream)
    assert decoded(data).losses == (
        "what its repacked JPEG held beside the image could not be read: some may be lost",
    )


@pytest.mark.parametrize("padding", [b"free", b"skip"])
def test_padding_of_jpeg_xl_is_searched_for_content(padding: bytes) -> None:
    """By the standard its content has no meaning: a note."""
    stream = bytes(imagecodecs.jpegxl_encode(PIXELS, usecontainer=False))
    start = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    for content, count in ((bytes(9), 0), (b"words", 1)):
        picture = decoded(start + box(padding, content) + box(b"jxlc", stream))
        assert sum("padding" in note for note in picture.notes) == count
        assert picture.losses == ()


def test_a_second_frame_header_of_a_jpeg_is_a_loss() -> None:
    """Decoders stop behind the first image."""
    picture = decoded(JPEG[:-2] + JPEG[2:])
    assert np.array_equal(picture.pixels, decoded(JPEG).pixels)
    assert len(picture.losses) == 1
    assert "frame header" in picture.losses[0]


@pytest.mark.parametrize(("stray", "count"), [(b"stray", 5), (bytes(8), 0), (b"\0ab\0", 2)])
def test_stray_bytes_between_segments_are_a_loss(stray: bytes, count: int) -> None:
    """Decoders skip them; zeros are padding."""
    at = JPEG.index(b"\xff\xda")
    told = f"{count} stray bytes between its segments are not in the output"
    assert decoded(JPEG[:at] + stray + JPEG[at:]).losses == (told,) * bool(count)


def test_stray_bytes_between_the_blocks_of_a_gif_are_a_loss() -> None:
    """Decoders skip them, too."""
    data = photograph("GIF")
    told = "3 stray bytes between its blocks are not in the output"
    assert decoded(data[:-1] + b"abc" + data[-1:]).losses == (told,)


@pytest.mark.parametrize("marker", [0x4F, 0xC8, 0xDE, 0xDF, 0xF0, 0xFD])
def test_extensions_of_jpeg_are_refused_by_their_marker(marker: int) -> None:
    """No decoder here skips such a segment."""
    at = JPEG.index(b"\xff\xda")
    data = JPEG[:at] + bytes((0xFF, marker)) + b"\0\6what" + JPEG[at:]
    with pytest.raises(ImageRefusedError, match=f"marker {marker:#x}") as caught:
        decoded(data)
    assert caught.value.reason is Reason.FORMAT_NOT_ALLOWED


def test_a_trailer_that_reaches_before_the_file_is_unknown_data() -> None:
    """Samsung's trailer tells how far back its blocks lie."""
    entry = struct.pack("<HHII", 0, 0xA01, 1_000_000, 20)
    head = b"SEFH" + struct.pack("<II", 106, 1) + entry
    trailer = head + struct.pack("<I", len(head)) + b"SEFT"
    told = f"{len(trailer)} bytes of unknown data behind its end are not in the output"
    assert decoded(JPEG + trailer).losses == (told,)


def test_frames_of_an_animation_that_is_announced_twice_are_never_lost_unsaid() -> None:
    """Decoders take such a file for a still image."""
    frames = [Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1])]
    file = BytesIO()
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    data = file.getvalue()
    control = chunk(b"acTL", dict(chunks(data))[b"acTL"])
    twice = data[:HEADER_END] + control + data[HEADER_END:]
    assert len(decoded(data, ALL).frames) == 2
    assert decoded(twice, ALL).losses == ("of its 2 frames only the first is in the output",)


def test_a_preset_dictionary_is_told_in_plain_words() -> None:
    """PNG has none, and no copy of the file will have other pixels."""
    data = photograph("PNG")
    (header, *_) = chunks(data)
    rows = b"".join(b"\0" + row.tobytes() for row in PIXELS)
    stream = zlib.compressobj(9, zlib.DEFLATED, 15, 9, 0, b"a dictionary of words")
    packed = stream.compress(rows) + stream.flush()
    made = SIGNATURE + chunk(*header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    with pytest.raises(ImageRefusedError, match="preset dictionary") as caught:
        decoded(made)
    assert (caught.value.reason, caught.value.setting) == (Reason.DAMAGED, None)


def test_a_gif_without_an_image_is_told_in_plain_words() -> None:
    """It has ended, so nothing more will be written."""
    data = b"GIF89a" + struct.pack("<HH", WIDTH, HEIGHT) + bytes(3) + b";"
    with pytest.raises(ImageRefusedError, match="it has no image") as caught:
        decoded(data)
    assert (caught.value.reason, caught.value.setting) == (Reason.DAMAGED, None)


@pytest.mark.parametrize("tag", [34412, 65420])
def test_tags_of_microscopes_never_decide_whether_an_image_is_whole(tag: int) -> None:
    """The reader looks for their pages elsewhere, where it may."""
    tiff = Tiff()
    own = {258: tiff.numbers(8, 8, 8, kind=SHORT), 262: tiff.numbers(2, kind=SHORT)}
    own |= {277: tiff.numbers(3, kind=SHORT), tag: (UNDEFINED, bytes(60))}
    tiff.page(PIXELS.tobytes(), own, (HEIGHT, WIDTH))
    assert np.array_equal(decoded(bytes(tiff.data)).pixels, PIXELS)


def riff(*made: tuple[bytes, bytes]) -> bytes:
    """A WebP of these chunks."""
    body = b"WEBP" + b"".join(riff_chunk(*each) for each in made)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def header(width: int = WIDTH) -> tuple[bytes, bytes]:
    """An extended header, of which readers mend the flags."""
    return b"VP8X", bytes(4) + (width - 1).to_bytes(3, "little") + (HEIGHT - 1).to_bytes(
        3, "little"
    )


LOSSLESS = next(riff_chunks(photograph("WEBP", lossless=True)))
LOSSY = next(riff_chunks(photograph("WEBP")))
LOOP = b"ANIM", bytes(6)
FRAME = b"ANMF", bytes(6) + header()[1][4:] + bytes(4) + riff_chunk(*LOSSLESS)


@pytest.mark.parametrize(
    ("made", "cause"),
    [
        ((header(), LOSSLESS, LOSSY), "holds 2 still images"),
        ((header(), LOSSY, LOSSY), "holds 2 still images"),
        ((header(), LOOP, LOSSLESS), "a chunk of animations (ANIM)"),
        ((header(), LOOP, FRAME, LOSSLESS), "an animation and a still image"),
        ((header(), header(), LOSSLESS), "several headers"),
        ((header(), LOSSY, (b"ALPH", bytes(1 + WIDTH * HEIGHT))), "(ALPH) does not stand"),
        ((header(WIDTH + 2), LOSSLESS), "the canvas of its WebP (58 x 40)"),
        ((header(WIDTH - 2), LOSSY), "the canvas of its WebP (54 x 40)"),
        ((LOOP, LOSSY), "begins with an unknown chunk (ANIM)"),
    ],
)
def test_chunks_of_a_webp_that_exclude_each_other_are_named(
    made: tuple[tuple[bytes, bytes], ...], cause: str
) -> None:
    """Libwebp says no more than that it cannot read the file, which is whole."""
    with pytest.raises(ImageRefusedError, match=re.escape(cause)) as caught:
        decoded(riff(*made))
    assert caught.value.reason is Reason.FORMAT_NOT_ALLOWED
    assert "save it in a common form" in str(caught.value)


def test_a_damaged_webp_stays_damaged() -> None:
    """Nothing in its layout tells why it cannot be read."""
    body = LOSSLESS[1][:30] + bytes(40)
    with pytest.raises(ImageRefusedError) as caught:
        decoded(riff(header(), (b"VP8L", body)))
    assert caught.value.reason is Reason.DAMAGED
