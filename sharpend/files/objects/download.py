"""Download of an input from object storage into a file of this machine.

Refuses an object with more bytes than are allowed, and one that is not the object that was listed.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from sharpend.errors import (
    ImageRefusedError,
    Reason,
    SourceChangedError,
    SourceVanishedError,
)
from sharpend.files.fingerprint import display
from sharpend.files.remote import STORE_FAULT

if TYPE_CHECKING:
    from pathlib import Path

    from sharpend.files.fingerprint import Fingerprint
    from sharpend.files.objects.bucket import Bucket

LONGEST_S = 3600.0
"""Longest time of one download."""
_INPUT = "input"
_LONGEST_SUFFIX = 16
_MEGA = 1_000_000


def download(
    bucket: Bucket, relative: bytes, meant: Fingerprint, folder: Path, max_bytes: int
) -> Path:
    """Write an object to a file with the object's time and suffix.

    Args:
        bucket: with the input folder.
        relative: path of the object below that.
        meant: fingerprint that the object must have.
        folder: where the file is made; the caller deletes it.
        max_bytes: limit of its size.

    Returns:
        The path of the file.

    Raises:
        ImageRefusedError: it has more bytes than the limit.
        SourceChangedError: it is another object than the one that was listed.
        SourceVanishedError: it is there no more.
        OSError: the store, or the disk of the folder.
    """
    _require_at_most(max_bytes, meant.size)
    path = folder / (_INPUT + _suffix(relative))
    with ExitStack() as stack:
        try:
            opened = bucket.opened(bucket.address.key(relative))
            found, chunks = stack.enter_context(opened)
        except FileNotFoundError as error:
            raise SourceVanishedError(f"{display(relative)} is gone") from error
        if found.as_input != meant:
            raise SourceChangedError("it was replaced after it was listed")
        until_s = time.monotonic() + LONGEST_S
        with path.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
                if time.monotonic() > until_s:
                    raise TimeoutError(STORE_FAULT, "the store sends too slowly")
    os.utime(path, (found.modified_s, found.modified_s))
    return path


def _require_at_most(max_bytes: int, size: int) -> None:
    if size > max_bytes:
        raise ImageRefusedError(
            Reason.TOO_MANY_BYTES,
            f"the object has {size / _MEGA:.1f} megabytes and {max_bytes / _MEGA:g} are"
            f" allowed; set limits.max_megabytes to {-(-size // _MEGA)} or more to"
            " let it through",
            setting="limits.max_megabytes",
        )


def _suffix(relative: bytes) -> str:
    suffix = os.fsdecode(os.path.splitext(relative)[1])
    return suffix if len(suffix) <= _LONGEST_SUFFIX else ""
