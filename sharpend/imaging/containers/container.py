"""What each format's module ends in: all that the rest has to know of a container."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpend.imaging.metadata.blocks import Block
    from sharpend.imaging.picture import Picture
    from sharpend.imaging.reading import Reader
    from sharpend.imaging.source import Header, Source


def _seen_while_read(_data: bytes) -> None:
    """The check of formats whose reader sees whether they are whole."""


def _unless_empty(block: Block) -> list[Block]:
    """A block as it is, in a format that sets no limit; none where nothing is left in it."""
    return [block] if block.data else []


@dataclass(frozen=True, slots=True)
class Container:
    """How one format is probed, checked, read and written; each refuses with `ImageRefusedError`.

    Whatever else `read` and `write` raise, the codec translates.
    """

    probe: Callable[[Reader], Header]
    """The header, by small reads, before any decoder."""
    read: Callable[[Source], Picture]
    """The frames that policy wants, what they carry, and notes."""
    write: Callable[[Picture], bytes]
    """The whole file, with what is carried, at the quality that the save options tell."""
    check_whole: Callable[[bytes], None] = _seen_while_read
    """Refuses a file that ends early or whose checksums are wrong."""
    xmp_at: bytes | None = None
    """Where an XMP packet of ours goes (a block's `where`); None: it cannot hold one."""
    fitting: Callable[[Block], list[Block]] = _unless_empty
    """A changed block as the format can hold it; ValueError where it cannot."""
