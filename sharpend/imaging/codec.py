"""File bytes to pixels and back, through Pillow.

Owns the Picture, the order of the checks (limits before memory, wholeness before decoding) and the
translation of everything that decoders raise into refusals. Only the five formats of `formats` ever
reach a decoder. Refuses what it could not give back as it was: more than 8 bits, CMYK, animations.
Not for several threads at once: Pillow's pixel limit is a global, set here for each picture.
"""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.Image import DecompressionBombError, DecompressionBombWarning, Transpose

from sharpend.errors import ImageRefusedError, Reason, SharpendError, TransientError
from sharpend.imaging import encodings, metadata
from sharpend.imaging.formats import Format
from sharpend.imaging.headers import Header, probe
from sharpend.imaging.metadata import Carried
from sharpend.imaging.reading import SETTLE, STILL_WRITTEN, damaged, truncated
from sharpend.imaging.tifftags import graft
from sharpend.imaging.wholeness import check_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

_MEGA = 1_000_000
_BITS = 8
_MODES = frozenset({"L", "LA", "RGB", "RGBA", "P", "PA"})
_ORIENTATION = 274
_UNDO_TURN: Mapping[int, Transpose] = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}
"""What takes a picture that was turned upright back to how it is stored (EXIF 2.3, 4.6.4 A)."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One still picture and all that its file said besides."""

    pixels: NDArray[np.uint8]
    """H x W x C, C 3 (RGB) or 1 (gray), sRGB-encoded or as its ICC profile says: never converted.
    As stored: an orientation tag is carried, not applied."""
    alpha: NDArray[np.uint8] | None = None
    """H x W, 0 transparent; colours where it is 0 are kept too."""
    format: Format = Format.PNG
    carried: Carried = field(default_factory=Carried)
    encoding: Mapping[str, object] = field(default_factory=lambda: encodings.PNG)
    """Save options that give the source's quality."""
    notes: tuple[str, ...] = ()
    """What had to change on the way, in words."""


def decode(file: BinaryIO, *, max_pixels: int, max_bytes: int) -> Picture:
    """Read one still picture; its content decides the format, whatever it is called.

    Args:
        file: seekable, positioned anywhere; read, not closed.
        max_pixels: the most pixels that are decoded (`limits.max_megapixels`).
        max_bytes: the largest file that is read (`limits.max_megabytes`).

    Raises:
        ImageRefusedError: with the reason, and the setting where one would let it through.
        TransientError: `io_error` where the file could not be read, or `out_of_memory`.
    """
    with _reading():
        size = file.seek(0, os.SEEK_END)
        _check_bytes(size, max_bytes)
        header = probe(file)
        _check_header(header, max_pixels)
        file.seek(0)
        data = file.read(size)
    check_whole(header.format, data)
    with _decoding(max_pixels):
        return _decoded(data, header, max_pixels)


def _check_bytes(size: int, limit: int) -> None:
    if not size:
        raise ImageRefusedError(Reason.EMPTY, f"the file is empty; {STILL_WRITTEN}", setting=SETTLE)
    if size > limit:
        raise ImageRefusedError(
            Reason.TOO_MANY_BYTES,
            f"the file has {size / _MEGA:.1f} megabytes and {limit / _MEGA:g} are allowed; "
            f"set limits.max_megabytes to {-(-size // _MEGA)} or more to let it through",
            setting="limits.max_megabytes",
        )


def _check_header(header: Header, max_pixels: int) -> None:
    _check_pixels(header.height, header.width, max_pixels)
    if header.bits > _BITS:
        raise ImageRefusedError(
            Reason.BIT_DEPTH,
            f"it has {header.bits} bits per channel and only {_BITS} would be left in the output",
        )


def _check_pixels(height: int, width: int, limit: int) -> None:
    pixels = height * width
    if pixels > limit:
        raise ImageRefusedError(
            Reason.TOO_MANY_PIXELS,
            f"the picture has {width} x {height} = {pixels / _MEGA:.2f} megapixels and "
            f"{limit / _MEGA:g} are allowed; "
            f"set limits.max_megapixels to {-(-pixels // _MEGA)} or more to let it through",
            setting="limits.max_megapixels",
        )


def _decoded(data: bytes, header: Header, max_pixels: int) -> Picture:
    with Image.open(BytesIO(data), formats=[header.format]) as image:
        _check_pixels(image.height, image.width, max_pixels)
        _check_kind(image)
        encoding, encoding_notes = encodings.encoding_of(image, header)
        carried, carried_notes = metadata.read(header.format, image, data)
        pixels, alpha, pixel_notes = _pixels(image, header)
    return Picture(
        pixels=pixels,
        alpha=alpha,
        format=header.format,
        carried=carried,
        encoding=encoding,
        notes=pixel_notes + encoding_notes + carried_notes,
    )


def _check_kind(image: ImageFile.ImageFile) -> None:
    # A phone's JPEG with a second view or a gain map opens as MPO: its first picture is a still.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise ImageRefusedError(
            Reason.ANIMATED, "it has several frames; only still pictures are sharpened"
        )
    if image.mode not in _MODES:
        raise ImageRefusedError(
            Reason.COLOR_MODE,
            f"its colours are stored as {image.mode}; RGB, gray and palette pictures are sharpened",
        )


def _pixels(
    image: ImageFile.ImageFile, header: Header
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None, tuple[str, ...]]:
    """Pixels, alpha and notes; a palette becomes colours, a transparent colour an alpha channel."""
    upright = image.getexif().get(_ORIENTATION, 1) if header.format is Format.TIFF else 1
    image.load()
    mode, notes = _target_mode(image, header)
    if header.format is Format.PNG and image.mode == "L" and "transparency" in image.info:
        # Pillow widens 2 and 4 bit gray to 8, but not the gray value that is transparent.
        image.info["transparency"] *= 255 // (2**header.bits - 1)
    plain: Image.Image = image if mode == image.mode else image.convert(mode)
    if upright in _UNDO_TURN:  # Pillow turns TIFFs, and only those, while loading
        plain = plain.transpose(_UNDO_TURN[upright])
    values = np.asarray(plain).reshape(plain.height, plain.width, -1)
    if mode not in {"LA", "RGBA"}:
        return np.array(values), None, notes
    return np.array(values[..., :-1]), np.array(values[..., -1]), notes


def _target_mode(image: Image.Image, header: Header) -> tuple[str, tuple[str, ...]]:
    if header.gray:
        return ("LA" if image.mode == "RGBA" else "L"), ()
    if image.mode in {"P", "PA"}:
        mode = "RGBA" if image.has_transparency_data else "RGB"
        return mode, (f"its palette was written as {mode}",)
    if image.mode in {"L", "RGB"} and image.has_transparency_data:
        return {"L": "LA", "RGB": "RGBA"}[image.mode], (
            "its transparent colour was written as an alpha channel",
        )
    return image.mode, ()


def encode(picture: Picture, file: BinaryIO) -> None:
    """Write a picture in its own format with what it carries.

    The whole file is made in memory first, so an error of `file` is the disk's and of nothing else.

    Raises:
        ImageRefusedError: `internal` where the encoder fails.
        TransientError: `out_of_memory`.
        OSError: from `file`, as it comes.
    """
    options = {**picture.encoding, **metadata.save_options(picture.format, picture.carried)}
    buffer = BytesIO()
    with _encoding(picture):
        _image(picture).save(buffer, picture.format, **options)
    if picture.carried.tags is None:
        file.write(buffer.getbuffer())
        return
    written = bytearray(buffer.getbuffer())
    graft(written, picture.carried.tags)
    file.write(written)


def _image(picture: Picture) -> Image.Image:
    pixels = picture.pixels
    if picture.alpha is not None:
        pixels = np.dstack([pixels, picture.alpha])
    elif pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    return Image.fromarray(np.ascontiguousarray(pixels))


@contextmanager
def _reading() -> Iterator[None]:
    """Tell a file that cannot be read from one that is bad."""
    try:
        yield
    except OSError as error:
        raise TransientError(Reason.IO_ERROR, f"reading failed: {error.strerror}") from error
    except MemoryError as error:
        raise _out_of_memory() from error


@contextmanager
def _decoding(max_pixels: int) -> Iterator[None]:
    """Put Pillow under our limit and translate whatever it raises on bad data."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", DecompressionBombWarning)
            yield
    except SharpendError:
        raise
    except MemoryError as error:
        raise _out_of_memory() from error
    except Exception as error:  # plugins raise any class on damaged data
        raise _refusal(error) from error
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _refusal(error: Exception) -> ImageRefusedError:
    if isinstance(error, DecompressionBombError | DecompressionBombWarning):
        return ImageRefusedError(
            Reason.TOO_MANY_PIXELS, str(error), setting="limits.max_megapixels"
        )
    if isinstance(error, UnidentifiedImageError):
        return damaged("it is broken, or of a variant that cannot be read")
    if isinstance(error, EOFError) or "truncated" in str(error).lower():
        return truncated()
    return damaged(str(error) or type(error).__name__)


@contextmanager
def _encoding(picture: Picture) -> Iterator[None]:
    """Give libjpeg room for the whole file, and translate what encoders raise."""
    height, width, _ = picture.pixels.shape
    before = ImageFile.MAXBLOCK
    # Progressive files are written in one piece; noise needs more than Pillow's guess of 2 bytes
    # per pixel (4.2 measured at quality 100).
    ImageFile.MAXBLOCK = max(
        before, 6 * height * width if picture.encoding.get("progressive") else 0
    )
    try:
        yield
    except MemoryError as error:
        raise _out_of_memory() from error
    except Exception as error:  # encoders raise any class
        raise ImageRefusedError(
            Reason.INTERNAL, f"writing it as {picture.format} failed: {error}"
        ) from error
    finally:
        ImageFile.MAXBLOCK = before


def _out_of_memory() -> TransientError:
    return TransientError(Reason.OUT_OF_MEMORY, "there was not enough memory for this picture")
