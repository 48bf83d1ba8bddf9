"""Adoption of existing outputs that the ledger does not know, so that they are not made again.

Owns the criteria: an output has the name that the folder's template gives, and either its source's
modification time, or a provenance record with its source's digest. Refuses to adopt a plain copy of
the source (a file of the same size) by its time. Never disposes of the source of an adopted output.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sharpend.commit.destination import Destination, output_names
from sharpend.errors import ImageRefusedError
from sharpend.files.beneath import directory, fingerprint_at
from sharpend.files.digest import input_digests
from sharpend.ledger.records import Product

if TYPE_CHECKING:
    from sharpend.files.fingerprint import Fingerprint

_GRAINS_NS = (100, 1_000, 1_000_000, 10_000_000, 1_000_000_000, 2_000_000_000)
"""Resolutions of times on file systems: NTFS and SMB, ext3 and FAT among them."""


@dataclass(frozen=True, slots=True)
class Existing:
    """A file with an output's name that no input in the ledger has made."""

    found: tuple[bytes, Fingerprint]
    """Path of the input below its root, and its fingerprint."""
    product: Product
    is_certain: bool
    """True if its time shows that it was made from this input; else its record may."""

    def made_of(self, digest: str | None) -> Existing:
        """Return the same with the SHA-256 of the input."""
        return replace(self, product=replace(self.product, input_digest=digest))


def existing_output(destination: Destination, found: tuple[bytes, Fingerprint]) -> Existing | None:
    """Look up the file that may be the output of a settled input.

    Args:
        destination: of the input's folder.
        found: path of the input below its root, and its fingerprint.

    Raises:
        OSError: the output folder cannot be read.
    """
    relative, source = found
    try:
        output = next(output_names(destination, relative))
        parent, name = os.path.split(output)
        with directory(destination.output_root, parent) as fd:
            there = fingerprint_at(fd, name)
    except (FileNotFoundError, ImageRefusedError):
        return None
    if there is None:
        return None
    is_certain = there.size != source.size and _same_time(source.mtime_ns, there.mtime_ns)
    return Existing(found, Product(output, there), is_certain)


def is_made_from(existing: Existing, destination: Destination, digest: str) -> bool:
    """Return whether an output's own record names the input with this digest; raise OSError."""
    records = input_digests(destination.output_root, existing.product.output)
    return digest.encode() in records


def _same_time(source_ns: int, output_ns: int) -> bool:
    """Compare two times as exactly as the output's file system stores them."""
    return source_ns == output_ns or any(
        output_ns == source_ns - source_ns % grain_ns for grain_ns in _GRAINS_NS
    )
