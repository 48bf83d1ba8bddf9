"""What is read and written again is the same image: every format, mode, depth and orientation.

The bytes are made here by other writers than ours; the pixels are compared as our own reader and
theirs see them.
"""

from __future__ import annotations

import struct
import zlib
from functools import partial
from io import BytesIO
from itertools import product
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pillow_jxl  # noqa: F401 - another writer than ours
import pytest
import tifffile
from PIL import Image

from sharpend.imaging import codec, extras
from sharpend.imaging.depth import white
from sharpend.imaging.formats import Format
from tests.conftest import psnr
from tests.selected import fast_where

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from sharpend.imaging.depth import Sample
    from sharpend.imaging.picture import Picture

    Samples = NDArray[Sample]
    Case = tuple[bytes, Samples]
    Make = Callable[[], Case]

HEIGHT, WIDTH = 13, 22
"""Neither is a multiple of a block, and they differ."""
CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
PACKINGS = (None, "lzw", "deflate", "packbits", "zstd")
FLOOR_DB = {"JPEG": 40.0, "WEBP": 31.0, "AVIF": 36.0, "HEIF": 45.0, "JXL": 30.0}


def samples(mode: str, bits: int) -> Samples:
    """Slopes that use all bits, with some noise; alpha has a part of 0 over live colours."""
    rng = np.random.default_rng(len(mode) + bits)
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH] / max(HEIGHT, WIDTH)
    planes = [rows + columns / 3, 1 - rows, columns, np.clip(2 * columns - 0.3, 0, 1)]
    chosen = planes[: CHANNELS[mode]]
    if mode == "LA":
        chosen = [planes[0], planes[3]]
    values = np.stack(chosen, axis=-1) + rng.normal(0, 0.01, (HEIGHT, WIDTH, len(chosen)))
    if mode.endswith("A"):
        values[:, :5, -1] = 0
    levels: NDArray[np.float64] = (np.clip(values, 0, 1) * (2**bits - 1)).round()
    return levels.astype(np.uint16) if bits == 16 else levels.astype(np.uint8)


def turning(orientation: int) -> bytes:
    """The smallest EXIF block that turns an image."""
    entry = struct.pack(">HHLHH", 0x0112, 3, 1, orientation, 0)
    return b"MM\0*\0\0\0\x08\0\1" + entry + bytes(4)


def by_pillow(mode: str, target: str, *, turn: int = 0, **options: Any) -> Case:  # noqa: ANN401 - Pillow's
    """A file of Pillow's."""
    values = samples(mode, 8)
    file = BytesIO()
    extras.load(Format.HEIC)
    if turn:
        options["exif"] = b"Exif\0\0" + turning(turn)
    Image.fromarray(values.squeeze()).save(file, target, **options)
    return file.getvalue(), values


def png(mode: str, bits: int, *, turn: int = 0) -> Case:
    """A file of libpng's, with EXIF put behind its header."""
    values = samples(mode, bits)
    data = bytes(imagecodecs.png_encode(values.squeeze()))
    if not turn:
        return data, values
    body = turning(turn)
    chunk = struct.pack(">L", len(body)) + b"eXIf" + body
    chunk += zlib.crc32(b"eXIf" + body).to_bytes(4)
    return data[:33] + chunk + data[33:], values


def tiff(mode: str, bits: int, *, turn: int = 0, **options: Any) -> Case:  # noqa: ANN401 - tifffile's
    """A file of tifffile's."""
    values = samples(mode, bits)
    file = BytesIO()
    tifffile.imwrite(
        file,
        values.squeeze(),
        photometric="rgb" if mode.startswith("RGB") else "minisblack",
        planarconfig="contig" if len(mode) > 1 else None,
        extrasamples=["unassalpha"] if mode.endswith("A") else None,
        extratags=[(274, 3, 1, turn, True)] if turn else [],
        **options,
    )
    return file.getvalue(), values


def jxl(mode: str, **options: Any) -> Case:  # noqa: ANN401 - libjxl's
    """A file of 16 bits by libjxl."""
    values = samples(mode, 16)
    return bytes(imagecodecs.jpegxl_encode(values.squeeze(), **options)), values


def pnm(mode: str, bits: int, *, plain: bool) -> Case:
    """A file written by hand, as the format was meant."""
    values = samples(mode, bits)
    number = {"L": 2, "RGB": 3}[mode] + (0 if plain else 3)
    head = f"P{number}\n# a comment\n{WIDTH} {HEIGHT}\n{white(values.dtype)}\n"
    if plain:
        body = "\n".join(map(str, values.ravel().tolist())).encode() + b"\n"
    else:
        body = values.astype(values.dtype.newbyteorder(">")).tobytes()
    return head.encode() + body, values


def lossless() -> Iterator[tuple[str, Make]]:
    """Each format that gives back what it was given, in each mode and depth."""
    layouts: dict[str, dict[str, Any]] = {
        **{str(packing): {"compression": packing} for packing in PACKINGS},
        "predictor": {"compression": "lzw", "predictor": 2},
        "tiles": {"tile": (16, 16)},
        "big-endian": {"byteorder": ">"},
        "bigtiff": {"bigtiff": True},
    }
    for mode, bits in product(CHANNELS, (8, 16)):
        yield f"png-{mode}-{bits}", partial(png, mode, bits)
        for name, options in layouts.items():
            yield f"tiff-{mode}-{bits}-{name}", partial(tiff, mode, bits, **options)
    for mode in CHANNELS:
        yield f"jxl-{mode}", partial(by_pillow, mode, "JXL", lossless=True)
        yield f"jxl-{mode}-16", partial(jxl, mode, lossless=True)
    for mode in ("RGB", "RGBA"):
        yield f"webp-{mode}", partial(by_pillow, mode, "WEBP", lossless=True, exact=True)
    for mode in ("L", "RGB"):
        yield f"bmp-{mode}", partial(by_pillow, mode, "BMP")
        for bits, plain in product((8, 16), (False, True)):
            name = f"pnm-{mode}-{bits}{'-plain' if plain else ''}"
            yield name, partial(pnm, mode, bits, plain=plain)


def lossy() -> Iterator[tuple[str, Make]]:
    """Each format that loses something when it is written."""
    for mode, quality, progressive in product(("L", "RGB"), (60, 90), (False, True)):
        name = f"jpeg-{mode}-{quality}{'-progressive' if progressive else ''}"
        yield name, partial(by_pillow, mode, "JPEG", quality=quality, progressive=progressive)
    for mode, quality in product(("RGB", "RGBA"), (50, 90)):
        name = f"{mode}-{quality}"
        yield f"webp-{name}", partial(by_pillow, mode, "WEBP", quality=quality, exact=True)
        yield f"avif-{name}", partial(by_pillow, mode, "AVIF", quality=quality, speed=10)
    for mode in ("L", "RGB", "RGBA"):
        yield f"heic-{mode}", partial(by_pillow, mode, "HEIF", quality=80)
    for mode in CHANNELS:
        yield f"jxl-{mode}-lossy", partial(by_pillow, mode, "JXL", quality=90)
        yield f"jxl-{mode}-16-lossy", partial(jxl, mode, distance=1.0)


def turned() -> Iterator[tuple[str, Make]]:
    """Each format that knows orientation, in each mode and depth, turned each way."""
    for turn in range(1, 9):
        for mode, bits in product(CHANNELS, (8, 16)):
            yield f"png-{mode}-{bits}-{turn}", partial(png, mode, bits, turn=turn)
            yield f"tiff-{mode}-{bits}-{turn}", partial(tiff, mode, bits, turn=turn)
        for mode in CHANNELS:
            yield f"jxl-{mode}-{turn}", partial(by_pillow, mode, "JXL", lossless=True, turn=turn)
        exact = {"lossless": True, "exact": True, "turn": turn}
        for mode in ("RGB", "RGBA"):
            yield f"webp-{mode}-{turn}", partial(by_pillow, mode, "WEBP", **exact)
            fast = {"quality": 90, "speed": 10, "turn": turn}
            yield f"avif-{mode}-{turn}", partial(by_pillow, mode, "AVIF", **fast)
        for mode in ("L", "RGB"):
            yield f"jpeg-{mode}-{turn}", partial(by_pillow, mode, "JPEG", quality=90, turn=turn)


LOSSLESS, LOSSY, TURNED = dict(lossless()), dict(lossy()), dict(turned())
USUAL_TURN = "6"
"""As a phone that is held upright writes it. Colour is turned each way in the fast tests, and the
other modes this way; how an image is turned does not depend on its mode."""


def read(data: bytes) -> Picture:
    """Decode with generous limits."""
    return codec.decode(BytesIO(data), max_pixels=1_000_000, max_bytes=10_000_000)


def written(picture: Picture) -> bytes:
    """Encode."""
    file = BytesIO()
    codec.encode(picture, file)
    return file.getvalue()


def stacked(picture: Picture) -> Samples:
    """Pixels and alpha as one array."""
    if picture.alpha is None:
        return picture.pixels
    return np.dstack([picture.pixels, picture.alpha])


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_return_every_bit(name: str) -> None:
    """Samples come as they were written and go as they came: dtype, channels, alpha and all."""
    data, values = LOSSLESS[name]()
    picture = read(data)
    assert stacked(picture).dtype == values.dtype
    assert np.array_equal(stacked(picture), values)
    again = read(written(picture))
    assert again.format == picture.format
    assert stacked(again).dtype == values.dtype
    assert np.array_equal(stacked(again), values)


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_formats_lose_one_writing(name: str) -> None:
    """What is written again is as like as another writing is, and its alpha is exact."""
    data, _ = LOSSY[name]()
    picture = read(data)
    again = read(written(picture))
    assert again.format == picture.format
    assert again.pixels.shape == picture.pixels.shape
    most = white(picture.pixels.dtype)
    assert psnr(again.pixels, picture.pixels, data_range=most) >= FLOOR_DB[picture.format]
    if picture.alpha is None:
        assert again.alpha is None
    else:
        assert again.alpha is not None
        assert np.array_equal(again.alpha, picture.alpha)


@pytest.mark.parametrize(
    "name",
    fast_where(
        lambda name: "-RGB-" in name or name.endswith(USUAL_TURN), ((name,) for name in TURNED)
    ),
)
def test_turned_pictures_stay_as_they_are_stored(name: str) -> None:
    """Stored pixels are not turned, and the tag that turns them for a viewer stays."""
    data, values = TURNED[name]()
    picture = read(data)
    output = written(picture)
    assert picture.pixels.shape[:2] == (HEIGHT, WIDTH)
    assert read(output).pixels.shape[:2] == (HEIGHT, WIDTH)
    assert tag(output) == tag(data) == int(name[-1])
    if picture.format in FLOOR_DB and name.startswith(("jpeg", "avif")):
        assert psnr(stacked(picture), values, data_range=255) > 25  # turned, it would be below 15
    else:
        assert np.array_equal(stacked(read(output)), values)


def tag(data: bytes) -> int:
    """The orientation that Pillow finds."""
    if data[:4] in {b"II*\0", b"MM\0*"}:
        with tifffile.TiffFile(BytesIO(data)) as file:
            return int(file.pages.first.tags[274].value)
    with Image.open(BytesIO(data)) as image:
        return int(image.getexif().get(0x0112, 1))
