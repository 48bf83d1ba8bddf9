"""Metadata blocks: the raw bytes of one kind of metadata and its place in the container.

Owns the kinds of block and what a policy lets through. Bytes are passed on as they are, so that
maker notes stay valid; the orientation among them, because pixels are never rotated. How a format
stores its blocks is that format's business; TIFF's many tags stay together in `tags`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sharpend.imaging.metadata.ifd import Ifd


class Kind(Enum):
    """Type of a metadata block."""

    EXIF = auto()
    """A TIFF structure, without the "Exif\\0\\0" that JPEG puts before it."""
    XMP = auto()
    EXTENDED_XMP = auto()
    """JPEG's continuation of an XMP packet that is too large for one segment."""
    ICC = auto()
    """A colour profile, or one of JPEG's pieces of it."""
    COLOR = auto()
    """Numbers that say how colours are meant: gamma, primaries."""
    DENSITY = auto()
    """Pixels per inch."""
    PHOTOSHOP = auto()
    """Image resources, IPTC among them."""
    IPTC = auto()
    TEXT = auto()
    """Comments, text chunks, times."""
    OTHER = auto()
    """Vendor data of unknown layout."""


NEEDED = frozenset({Kind.ICC, Kind.COLOR, Kind.DENSITY})
"""Without these an image would look different, or be printed at another size."""
TRAILER = b"trailer"
"""Place (a block's `where`) of data behind the end of a JPEG or PNG, as a motion photo's video. Its
readers count from the end of the file. Kind.OTHER."""
CREDENTIALS = "its content credentials (JUMBF) were removed: they certify the original pixels"
"""Name for notes, whatever the container."""
NOTE_MOVED = "its maker note (MakerNote) moved: programs may not find all that it refers to"
"""Likewise."""


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of metadata and its location in the container."""

    kind: Kind
    data: bytes
    where: bytes = b""
    """PNG's chunk type; JPEG's marker and the signature that the payload begins with."""


@dataclass(frozen=True, slots=True)
class Carried:
    """Metadata of one image, as blocks; empty if it has none."""

    blocks: tuple[Block, ...] = ()
    """In the order of the file."""
    tags: Ifd | None = None
    """TIFF only: the tags that are no block, with their EXIF and GPS directories."""

    def block(self, kind: Kind) -> Block | None:
        """Return the first block of a kind."""
        return next((block for block in self.blocks if block.kind is kind), None)

    def data(self, kind: Kind) -> bytes:
        """Return the bytes of the first block of a kind, b"" if there is none."""
        block = self.block(kind)
        return b"" if block is None else block.data

    def without(self, *kinds: Kind) -> Carried:
        """Return all blocks except those of these kinds."""
        return replace(
            self, blocks=tuple(block for block in self.blocks if block.kind not in kinds)
        )
