"""Container interface: the functions that each format's module provides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpend.imaging.metadata.blocks import Block, Carried
    from sharpend.imaging.picture import Frame, Picture
    from sharpend.imaging.reading import Reader
    from sharpend.imaging.source import Header, Source


def _no_check(_data: bytes) -> None:
    """Skip the check for formats whose reader detects truncation itself."""


def _unless_empty(block: Block) -> list[Block]:
    """Keep a block unchanged in a format without size limits; drop it if it is empty."""
    return [block] if block.data else []


def _never(_frame: Frame) -> bool:
    """Return False, for formats that write no alpha with a lossy encoder."""
    return False


@dataclass(frozen=True, slots=True)
class Container:
    """Functions that probe, check, read and write one format; each raises `ImageRefusedError`.

    Whatever else `read` and `write` raise, the codec translates.
    """

    probe: Callable[[Reader], Header]
    """The header, by small reads, before any decoder."""
    read: Callable[[Source], Picture]
    """The frames that policy wants, what they carry, and notes."""
    write: Callable[[Picture], bytes]
    """The whole file, with what is carried, at the quality that the save options tell."""
    check_whole: Callable[[bytes], None] = _no_check
    """Refuses a file that ends early or whose checksums are wrong."""
    is_lossy: Callable[[Frame], bool] = _never
    """Returns whether a frame with alpha is written by an encoder that changes its colours."""
    xmp_at: bytes | None = None
    """Place of an XMP packet of ours (a block's `where`); None: it cannot hold one."""
    fitting: Callable[[Block], list[Block]] = _unless_empty
    """A changed block as the format can hold it; ValueError where it cannot."""
    edited: Callable[[bytes, Callable[[Carried], Carried]], tuple[bytes, list[str]]] | None = None
    """A whole file, which loses no content when it is written again, with its metadata changed by a
    function and its compressed pixels as they are; and notes. ValueError where that cannot be."""
