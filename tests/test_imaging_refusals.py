"""What is refused, why, with which setting; and that nothing else ever escapes."""

from __future__ import annotations

import resource
import struct
import subprocess
import time
import warnings
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pillow_jxl  # noqa: F401 - another writer than ours
import pytest
import tifffile
from PIL import Image, ImageFile

from sharpend.errors import ImageRefusedError, Reason, SharpendError
from sharpend.imaging import codec, extras
from sharpend.imaging.formats import Format
from sharpend.policies import Frames, Metadata, OneBit, Policies
from tests.bombs import zeros

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RGB = Image.fromarray(np.random.default_rng(3).integers(0, 256, (64, 80, 3), dtype=np.uint8))


def saved(target: str, picture: Image.Image = RGB, **options: object) -> bytes:
    """A file's bytes."""
    extras.load(Format.HEIC)
    file = BytesIO()
    picture.save(file, target, **options)
    return file.getvalue()


DEEP = np.random.default_rng(4).integers(0, 65536, (40, 50, 3), dtype=np.uint16)


def written_tiff(pixels: NDArray[np.uint16]) -> bytes:
    """A TIFF as tifffile writes it."""
    file = BytesIO()
    tifffile.imwrite(file, pixels, photometric="rgb", compression="deflate", predictor=True)
    return file.getvalue()


def refusal(data: bytes, *, max_pixels: int = 10_000, max_bytes: int = 1_000_000) -> Reason:
    """Why `data` is refused."""
    return refused(data, max_pixels=max_pixels, max_bytes=max_bytes).reason


def refused(
    data: bytes, *, max_pixels: int = 10_000, max_bytes: int = 1_000_000
) -> ImageRefusedError:
    """The refusal of `data`."""
    with pytest.raises(ImageRefusedError) as caught:
        codec.decode(BytesIO(data), max_pixels=max_pixels, max_bytes=max_bytes)
    return caught.value


def chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG chunk."""
    return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)


def png(bits: int, color: int, *, size: tuple[int, int] = (3, 5), rows: bytes = b"") -> bytes:
    """A PNG with this header."""
    head = struct.pack(">IIBBBBB", *size, bits, color, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_empty_file() -> None:
    """Nothing in it."""
    assert refusal(b"") is Reason.EMPTY


def test_too_many_bytes_names_the_setting() -> None:
    """The message says what to set, and to what."""
    error = refused(saved("PNG"), max_bytes=10_000)
    assert (error.reason, error.setting) == (Reason.TOO_MANY_BYTES, "limits.max_megabytes")
    assert "limits.max_megabytes to 1 " in str(error)


@pytest.mark.parametrize("target", list(Format))
def test_too_many_pixels_names_the_setting(target: Format) -> None:
    """The limit is ours, for each format, and the needed value is told."""
    error = refused(saved(target, Image.new("RGB", (150, 100))), max_pixels=10_000)
    assert (error.reason, error.setting) == (Reason.TOO_MANY_PIXELS, "limits.max_megapixels")
    assert "150 x 100 = 0.01 megapixels and 0.01 are allowed" in str(error)
    assert "limits.max_megapixels to 1 " in str(error)


@pytest.mark.parametrize("target", list(Format))
def test_limit_itself_is_allowed(target: Format) -> None:
    """As many pixels as allowed are allowed."""
    data = saved(target)
    codec.decode(BytesIO(data), max_pixels=64 * 80, max_bytes=len(data))


def test_our_limit_may_be_above_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's own pixel limit decides nothing and is left as it was."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    codec.decode(BytesIO(saved("WEBP")), max_pixels=10_000, max_bytes=100_000)
    assert Image.MAX_IMAGE_PIXELS == 100


WEBP_BOMB = (
    b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xfe\x3f\0" * 2 + b"VP8L\4\0\0\0" + bytes(4)
)
JPEG_BOMB = saved("JPEG").replace(struct.pack(">HH", 64, 80), struct.pack(">HH", 64_250, 64_250))
TIFF_BOMB = (
    b"II*\0\x08\0\0\0\2\0"
    + b"".join(struct.pack("<HHII", tag, 4, 1, 20_000) for tag in (256, 257))
    + bytes(4)
)
AVIF_BOMB = saved("AVIF").replace(struct.pack(">II", 80, 64), struct.pack(">II", 30_000, 30_000))


@pytest.mark.parametrize(
    "data",
    [png(8, 2, size=(20_000, 20_000)), WEBP_BOMB, JPEG_BOMB, TIFF_BOMB, AVIF_BOMB],
    ids=["png", "webp", "jpeg", "tiff", "avif"],
)
def test_bombs_are_refused_by_their_header(data: bytes) -> None:
    """A small file that promises a huge image costs neither time nor memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    reason = refusal(data, max_pixels=200_000_000)
    assert time.process_time() - start < 0.1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
    assert reason is Reason.TOO_MANY_PIXELS


def test_compressed_text_bomb_stays_packed() -> None:
    """A text chunk that inflates to more than any text needs is carried as it is."""
    text = zlib.compress(bytes(1 << 25))
    data = saved("PNG")
    bomb = b"a\0\0" + text
    data = data[:33] + chunk(b"zTXt", bomb) + data[33:]
    picture = codec.decode(BytesIO(data), max_pixels=10_000, max_bytes=1_000_000)
    assert [block.data for block in picture.carried.blocks] == [bomb]


@pytest.mark.parametrize(
    "data",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) run\n",
        b"%PDF-1.4\n",
        b"<?xml version='1.0'?><svg width='9' height='9'/>",
        b"\x8aMNG\r\n\x1a\n" + bytes(20),
        b"qoif" + bytes(20),
        b"II\xbc\1" + bytes(20),
        b"BA" + bytes(12) + b"BM" + bytes(20),
    ],
    ids=["eps", "pdf", "svg", "mng", "qoi", "jpeg xr", "bitmap array"],
)
def test_other_formats_never_reach_a_decoder(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """EPS, PDF, SVG and the like are refused by content; no process is started for them."""

    def fail(*_: object, **__: object) -> None:
        raise AssertionError

    for door in ("Popen", "run", "call", "check_call", "check_output"):
        monkeypatch.setattr(subprocess, door, fail)
    monkeypatch.setattr(Image, "open", fail)
    assert refusal(data) is Reason.FORMAT_NOT_ALLOWED


def test_text_is_not_an_image() -> None:
    """HTML behind an image's name is no image."""
    assert refusal(b"<html><body>404</body></html>") is Reason.NOT_AN_IMAGE


def tiff(bits: tuple[int, ...], photometric: int, **tags: int) -> bytes:
    """An uncompressed TIFF of 2 x 2 pixels with these bits per sample."""
    size = 4 * sum(bits) // 8
    offset = 10 + 12 * (9 + len(tags)) + 4
    bits_at = offset + size
    entries = {
        256: (4, 1, 2), 257: (4, 1, 2), 258: (3, len(bits), bits_at), 259: (3, 1, 1),
        262: (3, 1, photometric), 273: (4, 1, offset), 277: (3, 1, len(bits)), 278: (4, 1, 2),
        279: (4, 1, size), **{int(tag[1:]): (3, 1, value) for tag, value in tags.items()},
    }  # fmt: skip
    if len(bits) <= 2:
        entries[258] = (3, len(bits), bits[0] | bits[-1] << 16)
    body = b"".join(struct.pack("<HHII", tag, *entries[tag]) for tag in sorted(entries))
    packed = struct.pack(f"<{len(bits)}H", *bits)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + bytes(4 + size) + packed


def test_handmade_tiff_is_read() -> None:
    """The TIFFs of these tests are refused for what they test and nothing else."""
    codec.decode(BytesIO(tiff((8, 8, 8), 2)), max_pixels=9, max_bytes=999)


@pytest.mark.parametrize(
    ("bits", "sample_format", "told"),
    [
        ((32,), 1, "of 32 bits"),
        ((128,), 3, "128-bit floating point numbers"),
        ((24,), 3, "24-bit floating point numbers"),
        ((64,), 6, "64-bit complex floating point numbers"),
        ((8, 8, 16), 1, "of different depths"),
        ((16,), 2, "16-bit signed numbers"),
        ((17,), 1, "of 17 bits"),
    ],
)
def test_tiff_samples_that_would_lose(bits: tuple[int, ...], sample_format: int, told: str) -> None:
    """More than 16 bits, signed numbers and unusual floats are refused by name."""
    error = refused(tiff(bits, 2 if len(bits) == 3 else 1, t339=sample_format))
    assert error.reason is Reason.BIT_DEPTH
    assert told in str(error)


def packed_page(**changes: tuple[int, int, int]) -> bytes:
    """A deflated gray TIFF of 10 x 10 pixels whose one strip inflates to 100 MiB."""
    packed = zeros(100 << 20)
    entries = {
        256: (4, 1, 10), 257: (4, 1, 10), 258: (3, 1, 8), 259: (3, 1, 8), 262: (3, 1, 1),
        273: (4, 1, 150), 277: (3, 1, 1), 278: (4, 1, 10), 279: (4, 1, len(packed)),
        **{int(tag[1:]): entry for tag, entry in changes.items()},
    }  # fmt: skip
    body = b"".join(struct.pack("<HHII", tag, *entries[tag]) for tag in sorted(entries))
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + bytes(4)
    return head.ljust(150, b"\0") + packed


def two_pages(old: bytes, new: bytes, **options: Any) -> bytes:  # noqa: ANN401 - tifffile's
    """A TIFF of two pages, with the last `old` made `new`."""
    file = BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(DEEP[..., 0])
        writer.write(DEEP[..., 0].astype(np.uint8), **options)
    data = file.getvalue()
    at = data.rindex(old)
    return data[:at] + new + data[at + len(old) :]


SIDES = struct.pack(">HH", 40, 50)
BOMBS = {
    "strip": packed_page(),
    "tile": packed_page(t322=(4, 1, 65_536), t323=(4, 1, 65_536)),
    "inner JPEG": two_pages(SIDES, struct.pack(">HH", 65_000, 65_000), compression="jpeg"),
    "later page": two_pages(
        struct.pack("<HHII", 256, 4, 1, 50), struct.pack("<HHII", 256, 4, 1, 100_000_000)
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_tiff_bombs_cost_no_memory(name: str) -> None:
    """What a page declares beyond its image is seen before tifffile makes room for it."""
    all_pages = Policies(frames=Frames.ALL)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImageRefusedError):
        codec.decode(
            BytesIO(BOMBS[name]), max_pixels=200_000_000, max_bytes=10**9, policies=all_pages
        )
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_deep_jpeg() -> None:
    """12 bits in the JPEG frame."""
    data = bytearray(saved("JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12
    assert refusal(bytes(data)) is Reason.BIT_DEPTH


@pytest.mark.parametrize(
    ("target", "mode", "setting", "told"),
    [
        ("JPEG", "CMYK", "pictures.cmyk", "CMYK"),
        ("TIFF", "CMYK", "pictures.cmyk", "CMYK"),
        ("TIFF", "LAB", None, "LAB"),
        *(
            (target, "1", "pictures.one_bit", "black and white")
            for target in ("PNG", "TIFF", "BMP", "PPM")
        ),
    ],
)
def test_other_colours(target: str, mode: str, setting: str | None, told: str) -> None:
    """Images that would have to be converted are refused by name, with the setting."""
    picture = Image.new("LAB", (9, 9)) if mode == "LAB" else RGB.convert(mode)
    error = refused(saved(target, picture))
    assert (error.reason, error.setting) == (Reason.COLOR_MODE, setting)
    assert told in str(error)


def test_tiff_tag_of_a_wrong_type_is_no_crash() -> None:
    """A size that is no integer is damage, a bit depth that is none is Pillow's to judge."""
    data = bytearray(tiff((8,), 1))
    data[data.index(struct.pack("<HH", 258, 3)) + 2] = 7
    assert refusal(bytes(data)) in {Reason.COLOR_MODE, Reason.DAMAGED}
    data[data.index(struct.pack("<HH", 256, 4)) + 2] = 7
    assert refusal(bytes(data)) is Reason.DAMAGED


def test_an_offset_that_no_disk_has_is_the_files_own_fault(tmp_path: Path) -> None:
    """The kernel says of it what it says of a failing disk; that image would be tried again."""
    file = tmp_path / "big.tif"
    file.write_bytes(struct.pack("<2sHHHQ", b"II", 43, 8, 0, (1 << 63) - 64))
    with file.open("rb") as stream, pytest.raises(ImageRefusedError) as caught:
        codec.decode(stream, max_pixels=10_000, max_bytes=1_000_000)
    assert caught.value.reason is Reason.TRUNCATED


def test_camera_raw_in_tiff_clothes() -> None:
    """A DNG's first image is a preview: sharpening it would lose the photograph."""
    for mark in ({"t50706": 1}, {"t33421": 2}):
        error = refused(tiff((8, 8, 8), 2, **mark))
        assert error.reason is Reason.FORMAT_NOT_ALLOWED
        assert "camera raw" in str(error)


@pytest.mark.parametrize("target", ["PNG", "WEBP", "AVIF", "GIF", "TIFF"])
def test_several_frames(target: str) -> None:
    """Animations and TIFFs of several pages are refused, not cut to their first frame."""
    others = [RGB.transpose(Image.Transpose.FLIP_LEFT_RIGHT)] * 2
    data = saved(target, save_all=True, append_images=others)
    error = refused(data)
    assert error.setting == "pictures.frames"
    assert error.reason is (Reason.PAGES if target == "TIFF" else Reason.ANIMATED)


def jxl() -> bytes:
    """A JPEG XL in a container, with metadata in a compressed box."""
    packed = b"xml " + bytes(imagecodecs.brotli_encode(b"<x/>"))
    stream = bytes(imagecodecs.jpegxl_encode(np.asarray(RGB), usecontainer=True))
    return stream[:32] + (8 + len(packed)).to_bytes(4) + b"brob" + packed + stream[32:]


def deep_avif() -> bytes:
    """An AVIF of 10 bits."""
    return bytes(imagecodecs.avif_encode(DEEP >> 6, level=80, speed=10, bitspersample=10))


FILES: dict[str, bytes] = {
    "jpeg": saved("JPEG", quality=90),
    "jpeg-progressive": saved("JPEG", progressive=True),
    "jpeg-thumbnail": saved("JPEG", exif=b"Exif\0\0" + saved("JPEG", RGB.resize((16, 16)))),
    "png": saved("PNG"),
    "webp": saved("WEBP"),
    "webp-lossless": saved("WEBP", lossless=True),
    "tiff": saved("TIFF"),
    "tiff-lzw": saved("TIFF", compression="tiff_lzw"),
    "tiff-jpeg": saved("TIFF", compression="jpeg"),
    "avif": saved("AVIF"),
    "gif": saved("GIF"),
    "bmp": saved("BMP"),
    "ppm": saved("PPM"),
    "heic": saved("HEIF"),
    "jxl": jxl(),
    "jxl-bare": bytes(imagecodecs.jpegxl_encode(np.asarray(RGB), usecontainer=False)),
    "avif-10": deep_avif(),
    "png-16": bytes(imagecodecs.png_encode(DEEP)),
    "tiff-16": written_tiff(DEEP),
}


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("name", FILES)
def test_cut_files_are_truncated(name: str, share: float) -> None:
    """No file that misses more than its end mark, be it a byte, is ever an image."""
    data = FILES[name]
    cut = data[: min(int(len(data) * share), len(data) - 3)]
    expected = {Reason.TRUNCATED} if len(cut) > 32 else {Reason.TRUNCATED, Reason.NOT_AN_IMAGE}
    assert refusal(cut) in expected


@pytest.mark.parametrize("name", ["jpeg", "jpeg-progressive", "png"])
def test_preallocated_files_are_no_pictures(name: str) -> None:
    """A file of its final size whose second half is not written yet is refused."""
    data = FILES[name]
    half = len(data) // 2
    assert refusal(data[:half] + bytes(len(data) - half)) in {Reason.TRUNCATED, Reason.DAMAGED}


def test_wrong_png_checksum_is_damage() -> None:
    """Pillow does not look at the checksum of pixel data; we do."""
    data = bytearray(FILES["png"])
    data[len(data) // 2] ^= 1
    assert refusal(bytes(data)) is Reason.DAMAGED


def test_nothing_truncated_is_ever_loaded() -> None:
    """Pillow's switch that turns missing data into gray stays off."""
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """`data` with one to eight bytes changed, anywhere, in its head or in its tail."""
    values = np.frombuffer(data, np.uint8).copy()
    end = min(200, len(values))
    first, last = [(0, len(values)), (0, end), (len(values) - end, len(values))][rng.integers(3)]
    places = rng.integers(first, last, rng.integers(1, 9))
    values[places] ^= rng.integers(1, 256, len(places), dtype=np.uint8)
    return values.tobytes()


def survives(data: bytes) -> bool:
    """Decode and write again; only our own errors may come out of either."""
    try:
        picture = codec.decode(BytesIO(data), max_pixels=100_000, max_bytes=100_000)
        codec.encode(picture, BytesIO())
    except SharpendError:
        return False
    return True


@pytest.mark.parametrize("name", FILES)
def test_mutated_files_only_raise_our_errors(name: str) -> None:
    """Damaged bytes give an image or a refusal, never another exception or a warning."""
    rng = np.random.default_rng(11)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(20):
            survives(mutated(FILES[name], rng))


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_many_mutated_files_only_raise_our_errors(name: str) -> None:
    """The same, a thousand times."""
    rng = np.random.default_rng(12)
    survivors = sum(survives(mutated(FILES[name], rng)) for _ in range(1000))
    assert survivors < 1000


def test_bytes_behind_a_jpeg_are_told_of() -> None:
    """Unknown data behind the end is a loss; a video and padding are none."""
    video = b"\0\0\0\x10ftypmp42\0\0\0\0" + b"\0\0\0\x0cmdat1234"
    for behind, lost in ((b"\0\0\0ftypmp42", 1), (video, 0), (bytes(40), 0), (b"", 0)):
        picture = codec.decode(
            BytesIO(FILES["jpeg"] + behind), max_pixels=10_000, max_bytes=100_000
        )
        assert len(picture.losses) == lost


def test_pages_of_black_and_white_among_others_are_refused() -> None:
    """Neither passed on nor sharpened: the file is one."""
    file = BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(DEEP[..., 0])
        writer.write(np.zeros((16, 16), bool), photometric="minisblack")
    with pytest.raises(ImageRefusedError, match="some pages") as caught:
        codec.decode(
            BytesIO(file.getvalue()),
            max_pixels=10_000,
            max_bytes=100_000,
            policies=Policies(frames=Frames.ALL),
        )
    assert caught.value.reason is Reason.COLOR_MODE


def test_passing_on_and_stripping_exclude_each_other() -> None:
    """What is passed on as it is keeps its metadata, so it is refused where none may stay."""
    policies = Policies(one_bit=OneBit.PASS, metadata=Metadata.STRIP_GPS)
    with pytest.raises(ImageRefusedError) as caught:
        codec.decode(
            BytesIO(saved("PNG", RGB.convert("1"))),
            max_pixels=10_000,
            max_bytes=100_000,
            policies=policies,
        )
    assert caught.value.setting == "pictures.metadata"


def test_tags_that_share_their_bytes_are_damage() -> None:
    """A hundred tags that all point to the same bytes would be written a hundred times."""
    shared = {f"t{40_000 + number}": (7, 50_000, 150) for number in range(100)}
    assert refusal(packed_page(**shared), max_bytes=10**9) is Reason.DAMAGED
