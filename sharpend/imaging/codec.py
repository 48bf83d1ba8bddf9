"""Decode and encode image files: the single entry point to all formats.

Owns the order of the checks (limits before memory, wholeness before decoding), who reads and writes
which format, and the translation of everything that decoders raise into refusals. Not for several
threads at once: Pillow's pixel limit and stderr are global, and set here for each image.
"""

from __future__ import annotations

import os
import re
import warnings
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image, PngImagePlugin, UnidentifiedImageError
from PIL.Image import DecompressionBombError, DecompressionBombWarning

from sharpend.errors import ImageRefusedError, Reason, SharpendError, TransientError
from sharpend.imaging.detection import CONTAINERS, HEAD_BYTES, identify
from sharpend.imaging.reading import (
    LARGEST,
    SETTLE,
    STILL_WRITTEN,
    Reader,
    damaged,
    truncated,
    unsupported,
)
from sharpend.imaging.source import MOST_SCANS, Source, check_pixels
from sharpend.policies import Policies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sharpend.imaging.picture import Picture
    from sharpend.imaging.source import Header

_MEGA = 1_000_000
_DEFAULT = Policies()
_STDERR = 2
_UNSUPPORTED = re.compile(r"unsupported|not supported|not implemented", re.IGNORECASE)
"""In a decoder's error: the file is sound."""
_CUT = re.compile(r"truncated|not enough image data|need_more_input", re.IGNORECASE)
"""In a decoder's error: the file ends too early."""
_CHECKSUM = re.compile(r"checksum|crc|data check", re.IGNORECASE)
"""In a decoder's error: all data is there, but not as it was."""
_UNKNOWN = "its header is none that its format has"
_UNREADABLE = "its pixels cannot be decoded"
_WRONG_CHECKSUM = "the checksum of its compressed pixels is wrong"


def probe(file: BinaryIO) -> Header:
    """Read the header of a seekable file: small reads, no decoder.

    Raises:
        ImageRefusedError: not an image, not an allowed format, truncated or damaged.
    """
    file.seek(0)
    found = identify(file.read(HEAD_BYTES))
    header = CONTAINERS[found].probe(Reader(file))
    if not header.height or not header.width:
        raise damaged("it declares an image without pixels", may_settle=False)
    return header


def examine(file: BinaryIO, *, max_pixels: int, max_bytes: int) -> Header:
    """Read the header of an image and check it against the limits, before memory is allocated.

    Raises:
        ImageRefusedError: as `probe`, or the image is over a limit.
        TransientError: `io_error` where the file could not be read.
    """
    with _reading():
        _check_bytes(file.seek(0, os.SEEK_END), max_bytes)
        header = probe(file)
        check_pixels(header.height, header.width, max_pixels)
    return header


def decode(
    file: BinaryIO,
    *,
    max_pixels: int,
    max_bytes: int,
    max_scans: int = MOST_SCANS,
    policies: Policies = _DEFAULT,
) -> Picture:
    """Read one image; the format is detected from its content, not from its name.

    Args:
        file: seekable, positioned anywhere; read, not closed.
        max_pixels: the most pixels that are decoded, all frames together (`limits.max_megapixels`).
        max_bytes: the largest file that is read (`limits.max_megabytes`).
        max_scans: the most scans of a JPEG that are decoded (`limits.max_scans`).
        policies: what is done with animations, CMYK and pure black and white.

    Raises:
        ImageRefusedError: with the reason, and the setting where one would let it through.
        TransientError: `io_error` where the file could not be read, or `out_of_memory`.
    """
    header = examine(file, max_pixels=max_pixels, max_bytes=max_bytes)
    with _reading():
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        data = file.read(min(size, max_bytes))
    with _decoding(max_pixels):
        container = CONTAINERS[header.format]
        container.check_whole(data)
        picture = container.read(Source(data, header, policies, max_pixels, max_scans))
        return replace(picture, lossy=header.lossy)


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


def is_lossy(picture: Picture) -> bool:
    """Return whether an image with alpha is written by an encoder that changes its colours."""
    return bool(picture.frames) and CONTAINERS[picture.format].is_lossy(picture.frames[0])


def encode(picture: Picture, file: BinaryIO) -> None:
    """Write an image in its own format, with its metadata.

    The whole file is made in memory first, so an error of `file` is the disk's and of nothing else.

    Raises:
        ImageRefusedError: `internal` where the encoder fails.
        TransientError: `out_of_memory`.
        OSError: from `file`, as it comes.
    """
    with _encoding(picture):
        data = picture.as_it_is or CONTAINERS[picture.format].write(picture)
    file.write(data)


@contextmanager
def _reading() -> Iterator[None]:
    """Tell read errors of the file system from damaged files."""
    try:
        yield
    except OSError as error:
        raise TransientError(Reason.IO_ERROR, f"reading failed: {error.strerror}") from error
    except MemoryError as error:
        raise _out_of_memory() from error


@contextmanager
def _decoding(max_pixels: int) -> Iterator[None]:
    """Set Pillow's pixel limit and translate decoder errors."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
    PngImagePlugin.MAX_TEXT_CHUNK = LARGEST  # Pillow's own megabyte is less than profiles have
    try:
        with warnings.catch_warnings(), _quiet_libraries():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", DecompressionBombWarning)
            yield
    except SharpendError:
        raise
    except Exception as error:  # plugins raise any class on damaged data
        if _is_out_of_memory(error):
            raise _out_of_memory() from error
        raise _refusal(error) from error
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _refusal(error: Exception) -> ImageRefusedError:
    if isinstance(error, DecompressionBombError | DecompressionBombWarning):
        return ImageRefusedError(
            Reason.TOO_MANY_PIXELS,
            "its decoder finds more pixels in it than are allowed; "
            "raise limits.max_megapixels to let it through",
            setting="limits.max_megapixels",
        )
    if "MAX_TEXT" in str(error):  # Pillow's limits, of which one is ours: see `_decoding`
        return ImageRefusedError(
            Reason.DAMAGED, "its text or its profile inflates to more than any image needs"
        )
    text = str(error)  # of a library: its kind is told, not its words
    if isinstance(error, EOFError) or _CUT.search(text):
        return truncated()
    if isinstance(error, NotImplementedError) or _UNSUPPORTED.search(text):
        return unsupported("it is of a variant that its decoder does not know")
    # Headers have been checked, so what is wrong is inside; bytes still to come look like that too.
    if isinstance(error, UnidentifiedImageError):
        return damaged(_UNKNOWN)
    return damaged(_WRONG_CHECKSUM if _CHECKSUM.search(text) else _UNREADABLE)


@contextmanager
def _encoding(picture: Picture) -> Iterator[None]:
    """Translate encoder errors."""
    try:
        with _quiet_libraries():
            yield
    except Exception as error:  # encoders raise any class
        if _is_out_of_memory(error):
            raise _out_of_memory() from error
        raise ImageRefusedError(
            Reason.INTERNAL, f"writing it as {picture.format} failed: {error}"
        ) from error


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Keep warnings that libpng and libjpeg print out of the log, which is JSON lines."""
    kept, nowhere = os.dup(_STDERR), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDERR)
    try:
        yield
    finally:
        os.dup2(kept, _STDERR)
        os.close(kept)
        os.close(nowhere)


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "out of memory" in str(error).lower()


def _out_of_memory() -> TransientError:
    return TransientError(Reason.OUT_OF_MEMORY, "there was not enough memory for this image")
