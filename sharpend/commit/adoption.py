"""Adoption of existing outputs after the ledger was lost, so that they are not made again.

Owns the criteria: an output has its source's modification time to the nanosecond, and the name that
the folder's template gives. Refuses to adopt a plain copy of the source (a file of the same size)
and an output that another input has adopted. Never disposes of the source of an adopted output.
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
    """Record a settled input as finished if its output exists; call while `ledger.rebuilt`.

    Args:
        ledger: records it.
        destination: of the input's folder.
        found: path of the input below its root, and its fingerprint.
        now_s: wall clock in seconds.

    Returns:
        True if it was recorded; False if the input has to be sharpened.

    Raises:
        OSError: the output folder cannot be read.
        LedgerError: the ledger cannot be written.
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
        return False  # another input with this name and time has adopted it
    ledger.adopt(destination.folder, found, Product(output, existing), now_s)
    return True
