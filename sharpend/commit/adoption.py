"""After the ledger was lost: outputs that already stand are taken as made, not made again.

Owns the evidence: our outputs carry their source's modification time to the nanosecond and lie
under the name that the folder's template gives. Refuses to adopt a plain copy of the source (one
of the same size) and what another input has adopted, and never lets a source go on evidence alone.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sharpend.commit.destination import Destination, output_names
from sharpend.errors import ImageRefusedError
from sharpend.files.beneath import directory, fingerprint_at
from sharpend.ledger.records import Product

if TYPE_CHECKING:
    from sharpend.files.fingerprint import Fingerprint
    from sharpend.ledger.ledger import Ledger


def adopt(
    ledger: Ledger, destination: Destination, found: tuple[bytes, Fingerprint], now_s: float
) -> bool:
    """Record a settled input as finished if its output stands; call where `ledger.rebuilt`.

    Returns:
        True where it was recorded; False where the input is to be sharpened like any other.

    Raises:
        OSError: the output folder cannot be looked at.
    """
    relative, source = found
    try:
        output = next(output_names(destination, relative))
        parent, name = os.path.split(output)
        with directory(destination.output_root, parent) as fd:
            existing = fingerprint_at(fd, name)
    except (FileNotFoundError, ImageRefusedError):
        return False
    if existing is None or existing.mtime_ns != source.mtime_ns or existing.size == source.size:
        return False
    if ledger.output_owner(destination.folder, existing) is not None:
        return False  # another input with this name and time has it already
    ledger.adopt(destination.folder, found, Product(output, existing), now_s)
    return True
