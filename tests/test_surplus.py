"""Unknown data inside of compressed pixels, and between the parts of a file: none is let go unsaid.

The bytes that are hidden are counted in a loss; padding of zeros is none.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from sharpend.errors import ImageRefusedError
from sharpend.imaging import extras
from sharpend.imaging.containers import jpegwalk, jxlframes, jxlheader, lzw, riff, surplus
from sharpend.imaging.containers.pngchunks import HEADER_END, SIGNATURE, chunk
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata import pngtext, xmp
from sharpend.imaging.metadata.provenance import Provenance
from sharpend.imaging.metadata_policy import finished
from sharpend.policies import Frames, Metadata, Policies
from tests import isofiles
from tests.cases import decoded, written
from tests.isofiles import box
from tests.tiffs import SHORT, Tiff

if TYPE_CHECKING:
    from collections.abc import Callable

    Hiding = Callable[[bytes], bytes]
    """Makes a file with these bytes in it."""

HEIGHT, WIDTH = 20, 30
HIDDEN = b"hidden behind it"
GRAY = np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)).astype(np.uint8) * 5
COLOURS = np.dstack([GRAY, GRAY[::-1], GRAY[:, ::-1]])
ALL = Policies(frames=Frames.ALL)


def saved(target: str, pixels: np.ndarray = COLOURS, **options: object) -> bytes:
    """A file by Pillow."""
    extras.load(Format.HEIC)
    file = BytesIO()
    Image.fromarray(pixels).save(file, target, **options)
    return file.getvalue()


def png(hidden: bytes, *, place: str, bits: int = 8, color_type: int = 2) -> bytes:
    """A PNG, in the compressed pixels of which something is hidden."""
    size = {0: 1, 2: 3, 3: 1}[color_type] * bits // 8 * WIDTH
    rows = (b"\0" + bytes(range(1, 1 + size))) * HEIGHT
    packed = zlib.compress(rows + hidden * (place == "rows"))
    packed += hidden * (place == "stream")
    made = [chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, color_type, 0, 0, 0))]
    made += [chunk(b"PLTE", bytes(range(96)))] * (color_type == 3)
    made += [chunk(b"IDAT", packed)] + [chunk(b"IDAT", hidden)] * (place == "chunk")
    return b"".join([SIGNATURE, *made, chunk(b"IEND", b"")])


def apng(hidden: bytes) -> bytes:
    """An APNG of two frames, with something behind the pixels of the second."""
    still = png(b"", place="")
    body = zlib.compress((b"\0" + bytes(3 * WIDTH)) * HEIGHT) + hidden
    controls = [
        chunk(b"fcTL", struct.pack(">5I2H2B", number, WIDTH, HEIGHT, 0, 0, 1, 10, 0, 0))
        for number in (0, 1)
    ]
    head = still[:HEADER_END] + chunk(b"acTL", struct.pack(">2I", 2, 0)) + controls[0]
    return (
        head
        + still[HEADER_END:-12]
        + controls[1]
        + chunk(b"fdAT", b"\0\0\0\2" + body)
        + still[-12:]
    )


def gif(hidden: bytes) -> bytes:
    """A GIF with something in a sub-block of its pixels, behind the end code."""
    data = saved("GIF", GRAY)
    return data[:-2] + bytes((len(hidden),)) * bool(hidden) + hidden + data[-2:]


def webp(hidden: bytes, *, kind: bytes, **options: object) -> bytes:
    """A WebP with something at the end of a chunk of this kind."""
    pixels = np.dstack([COLOURS, GRAY]) if kind == b"ALPH" else COLOURS
    made = [
        riff.chunk(name, body + hidden * (name == kind))
        for name, body in riff.chunks(saved("WEBP", pixels, **options))
    ]
    content = b"WEBP" + b"".join(made)
    return b"RIFF" + len(content).to_bytes(4, "little") + content


def iso(hidden: bytes, *, target: str, is_item: bool = False) -> bytes:
    """An AVIF or HEIC with something in its media data: of no item, or at the end of its image."""
    made = isofiles.coded(saved(target))
    if is_item:
        made, hidden = replace(made, data=made.data + hidden), b""
    unclaimed = isofiles.box(b"mdat", hidden) * bool(hidden)
    return isofiles.heif([made], brand=b"avif" if target == "AVIF" else b"heic", behind=unclaimed)


def jpeg(hidden: bytes) -> bytes:
    """A JPEG with something between its scan and its end mark."""
    data = saved("JPEG")
    return data[:-2] + hidden + data[-2:]


def jxl(hidden: bytes) -> bytes:
    """A bare codestream with something behind it."""
    encoded = bytes(imagecodecs.jpegxl_encode(COLOURS, lossless=True))
    return encoded[encoded.index(b"\xff\n") :] + hidden


def moving_jxl(hidden: bytes, *, lossless: bool = True, alpha: bool = False) -> bytes:
    """An animation of three frames with something behind the last one."""
    still = np.dstack([COLOURS, GRAY]) if alpha else COLOURS
    frames = np.stack([still, still[::-1], still[:, ::-1]])
    encoded = bytes(imagecodecs.jpegxl_encode(frames, lossless=lossless))
    return encoded[encoded.index(b"\xff\n") :] + hidden


def moving_avif(hidden: bytes, *, place: str) -> bytes:
    """A sequence with something behind its media data's samples, or at the end of the last one."""
    alpha = np.full_like(GRAY, 200)
    frames = [Image.fromarray(np.dstack([COLOURS[::step], alpha])) for step in (1, -1)]
    file = BytesIO()
    frames[0].save(file, "AVIF", save_all=True, append_images=frames[1:], duration=100)
    data = file.getvalue() + hidden
    at = data.rindex(b"mdat") - 4
    size = int.from_bytes(data[at : at + 4]) + len(hidden)
    data = data[:at] + size.to_bytes(4) + data[at + 4 :]
    if place == "sample":
        at = data.index(b"stsz") + 4 + 12 + 4  # the size of the second frame
        size = int.from_bytes(data[at : at + 4]) + len(hidden)
        data = data[:at] + size.to_bytes(4) + data[at + 4 :]
    return data


def tiff(hidden: bytes, *, place: str) -> bytes:
    """A TIFF with something in a gap, or in an uncompressed strip behind its rows."""
    made = Tiff()
    made.put(hidden * (place == "gap"))
    raw = GRAY.tobytes() + hidden * (place == "strip")
    tags = {
        258: made.numbers(8, kind=SHORT),
        273: made.numbers(made.put(raw)),
        278: made.numbers(HEIGHT),
        279: made.numbers(len(raw)),
    }
    made.page(b"", tags, (HEIGHT, WIDTH))
    return bytes(made.data)


HIDING: dict[str, Hiding] = {
    **{f"PNG {place}": partial(png, place=place) for place in ("rows", "stream", "chunk")},
    "PNG of 16 bits": partial(png, place="stream", bits=16),
    "PNG with a palette": partial(png, place="chunk", color_type=3),
    "APNG": apng,
    "GIF": gif,
    "WebP": partial(webp, kind=b"VP8 "),
    "WebP alpha": partial(webp, kind=b"ALPH", quality=80),
    "WebP without loss": partial(webp, kind=b"VP8L", lossless=True),
    "AVIF": partial(iso, target="AVIF"),
    "HEIC": partial(iso, target="HEIF"),
    "AVIF item": partial(iso, target="AVIF", is_item=True),
    "HEIC item": partial(iso, target="HEIF", is_item=True),
    "JPEG": jpeg,
    "JPEG XL": jxl,
    "AVIF sequence": partial(moving_avif, place="gap"),
    "AVIF sample": partial(moving_avif, place="sample"),
    "TIFF gap": partial(tiff, place="gap"),
    "TIFF strip": partial(tiff, place="strip"),
}


@pytest.mark.parametrize("name", HIDING)
def test_hidden_bytes_are_a_loss(name: str) -> None:
    """They are counted in one, and nothing is where there is nothing, or padding."""
    assert decoded(HIDING[name](b""), ALL).losses == ()
    assert decoded(HIDING[name](bytes(16)), ALL).losses == ()
    picture = decoded(HIDING[name](HIDDEN), ALL)
    (loss,) = picture.losses
    assert abs(int(loss.split()[0]) - len(HIDDEN)) <= 3  # a decoder may do without the last bytes
    assert decoded(written(picture), ALL).losses == ()


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("lossless", [False, True])
def test_bytes_behind_a_moving_jpeg_xl_are_a_loss(*, lossless: bool, alpha: bool) -> None:
    """Beside its frames but the first, which are none that can be written."""
    policies, lost = Policies(frames=Frames.FIRST), "its frames but the first were not kept"
    for hidden in (b"", bytes(16)):
        data = moving_jxl(hidden, lossless=lossless, alpha=alpha)
        assert decoded(data, policies).losses == (lost,)
    behind, further = decoded(moving_jxl(HIDDEN, lossless=lossless, alpha=alpha), policies).losses
    assert {behind, further} == {
        lost,
        "16 bytes of unknown data in its compressed pixels are not in the output",
    }


@pytest.mark.parametrize("effort", [1, 4, 7])
@pytest.mark.parametrize(
    "options",
    [{"lossless": True}, {"distance": 0.5}, {"distance": 15}, {"distance": 1, "decodingspeed": 1}],
)
def test_the_end_of_jpeg_xl_frames_is_told_without_decoding(
    effort: int, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever their headers have: patches, filters, passes, many groups, other depths."""
    text = np.full((300, 700), 255, np.uint8)
    for at in range(0, 680, 20):
        text[at % 290 : at % 290 + 9, at : at + 9] = np.eye(9) * 255
    deep = np.arange(60_000, dtype=np.uint16).reshape(200, 300)
    for pixels in (COLOURS, text, deep, np.tile(COLOURS, (20, 30, 1)), np.dstack([COLOURS, GRAY])):
        encoded = bytes(imagecodecs.jpegxl_encode(pixels, effort=effort, **options))
        stream = encoded[encoded.index(b"\xff\n") :]
        with monkeypatch.context() as patch:
            patch.setattr(imagecodecs, "jpegxl_decode", None)
            found = jxlframes.held(stream, jxlheader.header_of(stream[:1024]))
        assert found == surplus.Held(len(stream), 0)


def test_what_cannot_be_counted_is_a_loss() -> None:
    """The sections of wide frames are in an order that is not read."""
    frames = np.tile(COLOURS, (2, 1, 2304 // COLOURS.shape[1] + 1, 1))
    data = bytes(imagecodecs.jpegxl_encode(frames[:, :8], effort=1, distance=3))
    losses = decoded(data, Policies(frames=Frames.FIRST)).losses
    assert "the data of its animation could not be accounted for: some may be lost" in losses


@pytest.mark.parametrize("frames", [Frames.ALL, Frames.FIRST])
def test_fragments_of_a_sequence_are_a_loss(frames: Frames) -> None:
    """No decoder shows them, so no output has them."""
    fragment = box(b"moof", box(b"mfhd", bytes(8))) + box(b"mdat", HIDDEN)
    losses = decoded(moving_avif(b"", place="gap") + fragment, Policies(frames=frames)).losses
    assert "its video was not kept" in losses


def test_a_still_that_is_no_frame_of_its_sequence_is_a_loss() -> None:
    """So are tracks that are not shown; both are named."""
    data = moving_avif(b"", place="gap")
    at = data.index(b"iloc") + 18  # the extent of the primary image
    offset, size = struct.unpack_from(">II", data, at)
    both = size + int.from_bytes(data[data.index(b"stsz") + 20 :][:4])
    other = data[:at] + struct.pack(">II", offset, both) + data[at + 8 :]
    (loss,) = decoded(other, ALL).losses
    assert loss == "its still image, which is no frame of its animation, was not kept"
    alpha = data.index(b"auxv", data.index(b"trak", data.index(b"trak") + 4))
    owner = data.index(b"auxl", data.index(b"moov"))
    sound = bytearray(data)
    sound[alpha : alpha + 4], sound[owner : owner + 4] = b"soun", b"cdsc"
    assert decoded(bytes(sound), ALL).losses == ("its further track (soun) was not kept",)


@pytest.mark.skipif(jpegwalk.COMPILED is None, reason="no C compiler at installation")
def test_the_few_bytes_that_libjpeg_reads_ahead_are_counted() -> None:
    """It tells of none, or of too few."""
    for count in range(1, 10):
        assert decoded(jpeg(HIDDEN[:count])).losses[0].startswith(f"{count} bytes of unknown data")


@pytest.mark.parametrize("metadata", Metadata)
def test_data_behind_a_compressed_packet_goes_with_a_note(metadata: Metadata) -> None:
    """It stays where XMP stays as it is, and `strip` removes all without a word."""
    still, packet = png(b"", place=""), zlib.compress(xmp.with_record(b"", {"Model": "lite"}))
    text = chunk(b"iTXt", pngtext.XMP_KEYWORD + b"\0\1\0\0\0" + packet + HIDDEN)
    picture = decoded(still[:-12] + text + still[-12:])
    made = finished(picture, Policies(metadata=metadata), None)
    assert (text in written(made)) == (metadata is Metadata.KEEP)
    told = ("16 bytes of unknown data in its compressed XMP are not in the output",)
    assert made.notes == told * (metadata is Metadata.STRIP_GPS)
    record = Provenance("lite", "", "", "", "")
    recorded = finished(picture, Policies(metadata=metadata), record)
    assert recorded.notes == told * (metadata is not Metadata.STRIP)


@pytest.mark.parametrize("tail", [b"\0", b"abc", bytes(5), b"\0\0\0\2ab", HIDDEN * 9])
def test_a_tail_of_an_hevc_image_leaves_its_pixels(tail: bytes) -> None:
    """Whatever lies behind the last unit, unless it may be a cut part of the image."""
    picture = decoded(iso(tail, target="HEIF", is_item=True))
    assert np.array_equal(picture.pixels, decoded(iso(b"", target="HEIF")).pixels)
    cut = isofiles.coded(saved("HEIF")).data[:-9]
    with pytest.raises(ImageRefusedError, match="ends before"):
        decoded(iso(cut, target="HEIF", is_item=True))


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("is_tiff", [False, True])
def test_values_of_lzw_are_counted(bits: int, *, is_tiff: bool) -> None:
    """However small the palette is, with and without an end code."""
    values, clear = [number % 3 for number in range(50)], 1 << bits
    codes = [code for value in values for code in (clear, value)]
    for ends in ([], [clear + 1]):
        digits = [f"{code:0{bits + 1}b}" for code in (*codes, *ends)]
        if is_tiff:
            text = "".join(digits)
            data = int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8))
        else:
            text = "".join(reversed(digits))
            data = int(text, 2).to_bytes(-(-len(text) // 8), "little")
        assert lzw.held(data, 50, bits=bits, is_tiff=is_tiff).surplus == 0
        if ends:
            assert lzw.held(data, 45, bits=bits, is_tiff=is_tiff).surplus == 5
            assert lzw.held(data + b"more", 50, bits=bits, is_tiff=is_tiff).surplus == 4


@pytest.mark.parametrize("number", range(20))
def test_lzw_tables_of_any_length_are_counted(number: int) -> None:
    """Entries stand for as many values as the encoder has given them."""
    rng = np.random.default_rng(number)
    values = np.repeat(rng.integers(0, 2 + number, 3000), rng.integers(1, 9, 3000)).astype(np.uint8)
    data = bytes(imagecodecs.lzw_encode(values.tobytes()))
    assert lzw.held(data, values.size) == (values.size, 0, False)
    assert lzw.held(data + HIDDEN, values.size - 7).surplus == len(HIDDEN) + 7


@pytest.mark.skipif(lzw.COMPILED is None, reason="no C compiler at installation")
@pytest.mark.parametrize("number", range(30))
def test_compiled_lzw_counts_as_the_slower_code(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whole, damaged and meaningless streams, of values of 2 to 8 bits, in either order."""
    rng = np.random.default_rng(number)
    values = np.repeat(rng.integers(0, 2 + number, 5000), rng.integers(1, 9)).astype(np.uint8)
    data = bytes(imagecodecs.lzw_encode(values.tobytes()))
    damaged = bytearray(data)
    damaged[int(rng.integers(0, len(data)))] ^= 16
    for each in (data, data[:-3], data + HIDDEN, bytes(damaged), rng.bytes(6000), bytes(900)):
        for bits, is_tiff in ((8, True), (2 + number % 7, False)):
            wanted, padded = values.size - number, values.size + number
            quick = lzw.held(each, wanted, padded, bits=bits, is_tiff=is_tiff)
            with monkeypatch.context() as patch:
                patch.setattr(lzw, "COMPILED", None)
                assert lzw.held(each, wanted, padded, bits=bits, is_tiff=is_tiff) == quick
