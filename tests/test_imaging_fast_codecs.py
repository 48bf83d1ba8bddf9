"""Fast codecs give the pixels, or the bytes, of the plain ones."""

from __future__ import annotations

import tracemalloc
from io import BytesIO
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from sharpend.errors import ImageRefusedError
from sharpend.imaging import codec
from sharpend.imaging.containers import (
    jpeg,
    jpeglayout,
    jpegpixels,
    jpegquality,
    jpegwalk,
    pngpixels,
)
from sharpend.imaging.crops import most_detailed
from sharpend.imaging.depth import eight_bits
from sharpend.imaging.formats import Format
from sharpend.imaging.picture import Frame, Picture
from sharpend.policies import Compression, Policies
from tests.conftest import photograph

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZES = [(1, 1), (8, 8), (9, 7), (33, 17), (75, 123)]
"""Height and width: whole blocks, parts of blocks, several rows of blocks."""
JPEGS: dict[str, dict[str, Any]] = {
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "4:2:0": {"subsampling": 2},
    "progressive": {"progressive": True},
    "optimised": {"optimize": True, "quality": 20},
    "restart markers": {"restart_marker_blocks": 2},
    "RGB": {"keep_rgb": True, "subsampling": 0},
    "own tables": {"qtables": [[*range(1, 65)], [*range(65, 1, -1)]]},
}


def pillows(pixels: NDArray[np.uint8], form: str = "JPEG", **options: Any) -> bytes:  # noqa: ANN401
    """Encode by Pillow."""
    file = BytesIO()
    flat = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    Image.fromarray(flat).save(file, form, **options)
    return file.getvalue()


def decoded(data: bytes, **policies: Any) -> Picture:  # noqa: ANN401
    """Decode with any policies."""
    most = 10**9
    return codec.decode(
        BytesIO(data), max_pixels=most, max_bytes=most, policies=Policies(**policies)
    )


def again(picture: Picture) -> bytes:
    """Encode."""
    file = BytesIO()
    codec.encode(picture, file)
    return file.getvalue()


def is_equal_to_pillow(data: bytes) -> bool:
    """Compare the pixels of a file with those that Pillow decodes."""
    pixels = decoded(data).pixels
    with Image.open(BytesIO(data)) as image:
        return np.array_equal(pixels, np.asarray(image).reshape(pixels.shape))


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_has_pillows_pixels(kind: str) -> None:
    """Whatever its sampling, order of scans, size and tables."""
    for height, width in SIZES:
        assert is_equal_to_pillow(pillows(photograph(height, width), **JPEGS[kind]))


@pytest.mark.parametrize("sampling", ["411", "440"])
def test_rare_samplings_have_pillows_pixels(sampling: str) -> None:
    """Also those that Pillow reads and does not write."""
    for height, width in SIZES:
        assert is_equal_to_pillow(
            bytes(imagecodecs.jpeg8_encode(photograph(height, width), 90, subsampling=sampling))
        )


def test_a_gray_jpeg_has_pillows_pixels() -> None:
    """One component, of any declared sampling."""
    for height, width in SIZES:
        assert is_equal_to_pillow(pillows(photograph(height, width)[..., :1]))


def test_one_decoding_gives_pixels_and_warnings() -> None:
    """For the usual kinds; colours that are not YCbCr stay with Pillow."""
    pixels = photograph(40, 60)
    for kind, options in JPEGS.items():
        found = jpeglayout.parts(pillows(pixels, **options), most_scans=500)
        made = jpegpixels.decoded(found)
        assert (made.pixels is None) == (kind == "RGB")
        assert made.warning == ""
    file = BytesIO()
    Image.new("CMYK", (60, 40)).save(file, "JPEG")
    sound = pillows(pixels, quality=95)
    broken = jpegpixels.decoded(jpeglayout.parts(sound[:-300] + sound[-2:], most_scans=500))
    assert jpegpixels.decoded(jpeglayout.parts(file.getvalue(), most_scans=500)).pixels is None
    assert broken.warning


compiled = pytest.mark.skipif(jpegwalk.COMPILED is None, reason="no C compiler at installation")


@compiled
@pytest.mark.parametrize("kind", [one for one in JPEGS if one != "progressive"])
def test_whole_jpegs_are_found_sound(kind: str) -> None:
    """By compiled code, which lets the fastest decoder read them."""
    for height, width in SIZES:
        for pixels in (photograph(height, width), photograph(height, width)[..., :1]):
            options = {} if kind == "RGB" and pixels.shape[2] == 1 else JPEGS[kind]
            assert jpegwalk.is_sound(jpeglayout.parts(pillows(pixels, **options), most_scans=1))


@compiled
@pytest.mark.parametrize("kind", ["4:2:0", "restart markers"])
def test_what_is_found_sound_has_no_warnings(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither from libjpeg nor by the walk in Python, whatever bytes are changed or missing."""
    rng = np.random.default_rng(7)
    whole = pillows(photograph(40, 60), **JPEGS[kind])
    start = jpeglayout.parts(whole, most_scans=1).scans[0].end
    found: dict[bool, int] = {True: 0, False: 0}
    for _ in range(120):
        at, gone = int(rng.integers(start, len(whole) - 9)), int(rng.integers(0, 3))
        data = whole[:at] + rng.bytes(int(rng.integers(0, 3))) + whole[at + gone :]
        try:
            parts = jpeglayout.parts(data, most_scans=500)
        except ImageRefusedError:
            continue  # a marker came about
        is_sound = jpegwalk.is_sound(parts)
        found[is_sound] += 1
        if is_sound:
            with monkeypatch.context() as without:
                without.setattr(jpegwalk, "COMPILED", None)
                assert jpegwalk.warning(parts) == ""
                assert jpegpixels.decoded(parts).warning == ""
    assert min(found.values()) > 5


@pytest.mark.parametrize("sampling", [0, 1, 2, None])
def test_a_jpeg_of_a_quality_has_pillows_bytes(sampling: int | None) -> None:
    """At each of libjpeg's qualities, in colour and in gray."""
    for quality in range(1, 101):
        height, width = SIZES[quality % len(SIZES)]
        pixels = photograph(height, width)[..., : 3 if sampling is not None else 1]
        options: dict[str, Any] = {} if sampling is None else {"subsampling": sampling}
        data = pillows(pixels, quality=quality, **options)
        picture = decoded(data)
        tables = picture.frames[0].encoding["qtables"]
        assert jpegquality.quality_of(tables) == quality
        assert again(picture) == pillows(eight_bits(picture.pixels), qtables=tables, **options)


def test_a_jpeg_of_other_tables_keeps_them() -> None:
    """Pillow writes those, and progressive files."""
    for kind in ("own tables", "progressive"):
        data = pillows(photograph(40, 60), **JPEGS[kind])
        picture = decoded(data)
        assert jpeg._by_quality(picture.frames[0]) is None
        with Image.open(BytesIO(data)) as before, Image.open(BytesIO(again(picture))) as after:
            assert before.quantization == after.quantization  # type: ignore[attr-defined]
            assert before.info.get("progressive") == after.info.get("progressive")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("number", range(5))
def test_each_filter_of_a_png_is_undone_by_readers(
    monkeypatch: pytest.MonkeyPatch, number: int, channels: int, dtype: type[np.uint8 | np.uint16]
) -> None:
    """With and without alpha, at 8 and 16 bits, in one strip and in several."""
    rng = np.random.default_rng(number)
    monkeypatch.setattr(pngpixels, "_FILTERS", {Compression.FAST: (number,)})
    monkeypatch.setattr(pngpixels, "_STRIP_BYTES", 500)
    for height, width in SIZES:
        values = rng.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype)
        has_alpha = channels in {2, 4}
        frame = Frame(values[..., : channels - has_alpha], values[..., -1] if has_alpha else None)
        data = pngpixels.encoded(frame, Compression.FAST)
        read = imagecodecs.png_decode(data)
        assert np.array_equal(read.reshape(values.shape), values)
        with Image.open(BytesIO(data)) as image:  # which has no mode of 16 bits for each of them
            shown = np.asarray(image)
        assert dtype is np.uint16 or np.array_equal(shown.reshape(values.shape), values)


def drawn() -> NDArray[np.uint8]:
    """Flat areas and lines, which filters make larger."""
    pixels = np.full((300, 400, 3), 250, np.uint8)
    pixels[::11, 20:300] = 20
    pixels[:, ::37] = (200, 80, 40)
    return pixels


@pytest.mark.parametrize("pixels", [photograph(300, 400), photograph(300, 400)[..., :1], drawn()])
def test_a_png_is_hardly_larger_than_pillows(pixels: NDArray[np.uint8]) -> None:
    """At most a fifth above level 3 of zlib; small files are smaller than fast ones."""
    frame = Frame(pixels)
    fast, small = (len(pngpixels.encoded(frame, each)) for each in Compression)
    assert small < fast <= 1.2 * len(pillows(pixels, "PNG", compress_level=3))


def deflated() -> bytes:
    """Encode a TIFF with deflate."""
    file = BytesIO()
    pixels = photograph(200, 300).astype(np.uint16) * 257
    tifffile.imwrite(file, pixels, photometric="rgb", compression="zlib", predictor=2)
    return file.getvalue()


def jpeg_xl() -> bytes:
    """Encode a lossless JPEG XL."""
    return bytes(imagecodecs.jpegxl_encode(photograph(200, 300), lossless=True))


@pytest.mark.parametrize(
    ("form", "data"),
    [
        (Format.PNG, pillows(photograph(200, 300), "PNG")),
        (Format.TIFF, deflated()),
        (Format.WEBP, pillows(photograph(200, 300), "WEBP", lossless=True)),
        (Format.WEBP, pillows(drawn(), "WEBP", lossless=True)),
        (Format.JXL, jpeg_xl()),
    ],
)
def test_small_compression_gives_smaller_files_of_equal_pixels(form: Format, data: bytes) -> None:
    """In each lossless format that has an effort."""
    fast, small = (again(decoded(data, compression=each)) for each in Compression)
    assert decoded(fast).format is form
    assert len(small) < len(fast)
    assert np.array_equal(decoded(small).pixels, decoded(data).pixels)
    assert np.array_equal(decoded(fast).pixels, decoded(data).pixels)


@pytest.mark.parametrize("pixels", [photograph(200, 300), drawn()])
def test_a_lossy_webp_is_smaller_by_choice_alone(pixels: NDArray[np.uint8]) -> None:
    """By default it is what Pillow writes at its quality; small files are close to it."""
    data = pillows(pixels, "WEBP", quality=80)
    fast, small = (again(decoded(data, compression=each)) for each in Compression)
    quality = decoded(data).frames[0].encoding["quality"]
    assert fast == pillows(
        decoded(data).pixels.astype(np.uint8), "WEBP", quality=quality, exact=True
    )
    assert len(small) < len(fast)
    distance = decoded(small).pixels.astype(float) - decoded(fast).pixels
    assert np.sqrt((distance**2).mean()) < 3


def test_a_lossless_webp_is_written_fast_unless_small_is_asked_for() -> None:
    """The bytes that Pillow writes at this effort, by default."""
    pixels = photograph(200, 300)
    data = pillows(pixels, "WEBP", lossless=True)
    fast: dict[str, Any] = {"lossless": True, "exact": True, "quality": 20, "method": 2}
    assert again(decoded(data)) == pillows(pixels, "WEBP", **fast)


def strongest(pixels: NDArray[Any], height: int, width: int) -> tuple[slice, slice]:
    """Find the most detailed window by its definition, in exact numbers."""
    light = pixels.astype(np.float64).sum(axis=2)
    edges = np.zeros_like(light)
    edges[:, 1:] += np.abs(np.diff(light, axis=1))
    edges[1:] += np.abs(np.diff(light, axis=0))
    spans = [
        [slice(at, at + side) for at in [*range(0, length - side, side // 2), length - side]]
        for length, side in zip(light.shape, (height, width), strict=True)
    ]
    windows = [(down, across) for down in spans[0] for across in spans[1]]
    return max(windows, key=lambda window: float(edges[window].sum()))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_most_detailed_window_is_that_of_the_definition(dtype: type[Any]) -> None:
    """At every depth, of windows of any size."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        rows, columns = (int(each) for each in rng.integers(40, 200, 2))
        pixels = (rng.random((rows, columns, 3)) * 250 * rng.random((rows, 1, 1))).astype(dtype)
        height, width = (int(rng.integers(8, side)) for side in (rows, columns))
        assert most_detailed(pixels, height=height, width=width) == strongest(pixels, height, width)


def test_a_large_image_needs_little_memory_for_its_most_detailed_window() -> None:
    """Only some rows of it are measured, and the detail is found none the less."""
    pixels = np.full((4000, 5000, 3), 90, np.uint8)
    pixels[2048:2304, 1024:1280] = photograph(256, 256)
    pixels[1000:1256, 3000:3256] = photograph(256, 256) // 2
    tracemalloc.start()
    window = most_detailed(pixels, height=256, width=256)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert window == (slice(2048, 2304), slice(1024, 1280))
    assert peak < pixels.nbytes / 4
