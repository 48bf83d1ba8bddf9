"""Exact file reads, with errors for truncated and damaged files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError, Reason

if TYPE_CHECKING:
    from typing import BinaryIO

LARGEST = 16 << 20
"""No table of a header needs more bytes than this; what asks for more is damaged or an attack."""

SETTLE = "folder.settle_s"
STILL_WRITTEN = f"if it was still being written, raise {SETTLE}"
"""Setting that helps with files that were read before their writer was done."""


class Reader:
    """Exact reads at a position; a file that ends too early is truncated.

    Args:
        file: seekable.
        most: bytes that may be read in all, where tables could tell of the same bytes many times.
        largest: bytes that may be read at once.
    """

    def __init__(self, file: BinaryIO, most: int | None = None, *, largest: int = LARGEST) -> None:
        self._file = file
        self.size = file.seek(0, os.SEEK_END)
        self._remaining, self._largest = most, largest
        self.read: list[tuple[int, int]] = []
        """Start and end of all bytes that were read exactly."""

    def at(self, offset: int, count: int) -> bytes:
        """Read `count` bytes from `offset`.

        Raises:
            ImageRefusedError: `truncated` where the file has fewer, `damaged` for absurd wishes.
        """
        if count > self._largest:
            raise damaged("it declares a table larger than any image needs")
        if self._remaining is not None and count > self._remaining:
            raise damaged("its tables refer to more bytes than it has")
        data = self.up_to(offset, count)
        if len(data) < count:
            raise truncated()
        if self._remaining is not None:
            self._remaining -= count
        self.read.append((offset, offset + count))
        return data

    def up_to(self, offset: int, count: int) -> bytes:
        """Read at most `count` bytes from `offset`."""
        # Offsets beyond what the file system can hold would make `seek` raise OSError.
        self._file.seek(min(offset, self.size))
        return self._file.read(count)


def truncated() -> ImageRefusedError:
    """Error for a truncated file."""
    return ImageRefusedError(
        Reason.TRUNCATED,
        f"the file ends before its image does: copy it again; {STILL_WRITTEN}",
        setting=SETTLE,
    )


def damaged(what: str, *, may_settle: bool = True) -> ImageRefusedError:
    """Error for a file whose content contradicts its format.

    Args:
        what: the contradiction.
        may_settle: whether bytes that are not written yet would look the same.
    """
    text = f"the file is damaged: {what}"
    if not may_settle:
        return ImageRefusedError(Reason.DAMAGED, text)
    return ImageRefusedError(Reason.DAMAGED, f"{text}; {STILL_WRITTEN}", setting=SETTLE)


def unsupported(what: str) -> ImageRefusedError:
    """Error for a valid variant of a format that nothing here reads."""
    text = f"{what}, which is not sharpened; save it in a common form of its format, or as PNG"
    return ImageRefusedError(Reason.FORMAT_NOT_ALLOWED, text)
