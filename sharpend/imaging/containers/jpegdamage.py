"""JPEG damage: judge libjpeg's warnings about the compressed data, which Pillow keeps to itself.

Source: libjpeg's jerror.h (JWRN_...).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sharpend.imaging.containers import jpegwalk, surplus
from sharpend.imaging.containers.jpegpixels import (
    COMPONENT_BYTES,
    COMPONENTS_AT,
    SEQUENTIAL,
    WHOLE_BLOCK,
)
from sharpend.imaging.containers.jpegwalk import CORRUPT, EXTRANEOUS
from sharpend.imaging.reading import damaged, truncated

if TYPE_CHECKING:
    from sharpend.imaging.containers.jpeglayout import Parts

_MOST_STRAY = 64
"""Bytes behind a scan that some cameras leave there; a bad copy leaves some hundreds."""
_UNCHECKED = (
    "its compressed data could not be checked for damage: it is progressive and of a rare sampling"
)
_INCOMPLETE = "some of its scans are missing: it is coarser than it was, and may be damaged"


class Checked(NamedTuple):
    """Compressed data that is read although its decoder may have warned."""

    notes: tuple[str, ...] = ()
    surplus: int = 0
    """Bytes behind a scan that no pixel is made of, without padding."""


def check(parts: Parts, warning: str | None) -> Checked:
    """Check the compressed data of a JPEG.

    Args:
        parts: the JPEG.
        warning: libjpeg's, as `jpegpixels.decoded` tells it.

    Raises:
        ImageRefusedError: `damaged`; `truncated` for any warning about a file without end mark.
    """
    if warning is None:
        warning = jpegwalk.warning(parts)
    if not parts.has_end_mark and (warning != "" or not _is_complete(parts)):
        raise truncated()  # nothing else tells that all was written
    if warning is None:
        return Checked((_UNCHECKED,))
    extraneous = EXTRANEOUS.match(warning)
    if extraneous:
        return _of_extraneous(parts, int(extraneous[1]), int(extraneous[2], 16))
    if warning.startswith(CORRUPT):
        raise damaged(f"its compressed data is corrupt ({warning.removeprefix(CORRUPT)})")
    return Checked(() if _is_complete(parts) else (_INCOMPLETE,))


def _of_extraneous(parts: Parts, count: int, marker: int) -> Checked:
    """Tell padding behind a scan, which does no harm, from data that was not understood."""
    ends = [
        parts.data[scan.coded_end - count : scan.coded_end]
        for scan in parts.scans
        if scan.coded_end == len(parts.data) or parts.data[scan.coded_end + 1] in {marker, 0xFF}
    ]
    if count > _MOST_STRAY and not any(len(set(end)) == 1 for end in ends):
        raise damaged(f"{count} surplus bytes in its compressed data")
    note = f"{count} surplus bytes in its compressed data: it may be damaged"
    return Checked((note,), max(map(surplus.count, ends), default=count))


def _is_complete(parts: Parts) -> bool:
    """Return whether scans hold every coefficient of every component at full precision."""
    frame, scans = parts.body(parts.frame), [parts.body(scan) for scan in parts.scans]
    missing = {
        (component, coefficient)
        for component in frame[COMPONENTS_AT::COMPONENT_BYTES]
        for coefficient in range(64)
    }
    for scan in scans:
        first, last, approximation = scan[-3:]
        if parts.frame.marker in SEQUENTIAL:
            first, last, approximation = WHOLE_BLOCK
        if not approximation & 15:
            components = scan[1 : 1 + 2 * scan[0] : 2]
            missing -= {(each, at) for each in components for at in range(first, last + 1)}
    return not missing
