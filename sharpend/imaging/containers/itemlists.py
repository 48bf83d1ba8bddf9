"""Lists of items in AVIF and HEIF, built again without some of the items.

Source: ISO/IEC 14496-12, 8.11.3 (iloc), 8.11.6 (iinf) and 8.11.12 (iref); 23008-12, 9.3.2 (ipma).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.imaging.containers.isobmff import Fields, box_of, inside
from sharpend.imaging.containers.itemplaces import count_bytes, entries_of
from sharpend.imaging.containers.items import entries

if TYPE_CHECKING:
    from collections.abc import Collection

    from sharpend.imaging.containers.items import Boxes

_GONE = frozenset(b"grpl free skip".split())
"""Boxes that no image needs: groups of items, and padding."""
_VERSION_BYTES = 4
_SIZES_BYTES = 2
"""Of the sizes of fields in iloc, before the count."""


def without(described: Boxes, gone: Collection[int]) -> bytes:
    """Build the boxes of a list without some items, and without groups and padding.

    Args:
        described: the boxes of the list.
        gone: numbers of the items.

    Raises:
        ImageRefusedError: `damaged`.
    """
    return b"".join(
        box_of(kind, _without(kind, body, gone)) for kind, body in described if kind not in _GONE
    )


def _without(kind: bytes, body: bytes, gone: Collection[int]) -> bytes:
    if kind == b"iprp":
        return b"".join(box_of(name, _without(name, inner, gone)) for name, inner in inside(body))
    edit = {b"iinf": _names, b"iloc": _places, b"iref": _references, b"ipma": _associations}
    return edit[kind](body, gone) if kind in edit else body


def _names(iinf: bytes, gone: Collection[int]) -> bytes:
    kept = [box_of(b"infe", body) for number, body in entries(iinf) if number not in gone]
    return iinf[:_VERSION_BYTES] + len(kept).to_bytes(4 if iinf[0] else 2) + b"".join(kept)


def _places(iloc: bytes, gone: Collection[int]) -> bytes:
    head = iloc[: _VERSION_BYTES + _SIZES_BYTES]
    kept = [iloc[one.start : one.end] for one in entries_of(iloc) if one.item not in gone]
    return head + len(kept).to_bytes(count_bytes(iloc)) + b"".join(kept)


def _references(iref: bytes, gone: Collection[int]) -> bytes:
    size, kept = 4 if iref[0] else 2, iref[:_VERSION_BYTES]
    for kind, body in inside(iref[_VERSION_BYTES:]):
        fields = Fields(body)
        source, count = fields.number(size), fields.number(2)
        targets = [each for each in (fields.number(size) for _ in range(count)) if each not in gone]
        if targets and source not in gone:
            numbers = b"".join(each.to_bytes(size) for each in targets)
            kept += box_of(kind, source.to_bytes(size), len(targets).to_bytes(2), numbers)
    return kept


def _associations(ipma: bytes, gone: Collection[int]) -> bytes:
    fields, kept = Fields(ipma), []
    word = fields.number(_VERSION_BYTES)
    for _ in range(fields.number(4)):
        start = fields.at
        number = fields.number(4 if word >> 24 else 2)
        fields.octets(fields.number(1) * (2 if word & 1 else 1))
        kept += [ipma[start : fields.at]] * (number not in gone)
    return ipma[:_VERSION_BYTES] + len(kept).to_bytes(4) + b"".join(kept)
