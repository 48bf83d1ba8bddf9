"""Flags of items in AVIF and HEIF that some writers set wrongly: corrected for strict decoders.

Source: ISO/IEC 14496-12, 8.11.6 (infe); 23008-12, 6.4.2 (hidden images) and 9.3 (ipma); AV1 Image
File Format 2.3 (a1op, lsel).
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from sharpend.imaging.containers.isobmff import inside, meta_of
from sharpend.imaging.containers.items import associations, entries
from sharpend.imaging.reading import Reader

if TYPE_CHECKING:
    from sharpend.imaging.containers.items import Items

_ESSENTIAL = frozenset({b"clap", b"irot", b"imir", b"lsel", b"a1op"})
"""Properties that shall be marked as essential; libavif refuses a file where one is not."""
_FLAGS_END = 3
"""Offset of the last byte of an entry's flags; its lowest bit hides the item."""


def with_essential(data: bytes) -> bytes:
    """Mark the associations of properties as essential that have to be."""
    iprp = list(inside(dict(meta_of(Reader(BytesIO(data)))).get(b"iprp", b"")))
    kinds = [kind for name, body in iprp if name == b"ipco" for kind, _ in inside(body)]
    for name, body in iprp:
        marked = bytearray(body)
        for _, index, at in associations(body) if name == b"ipma" else ():
            marked[at] |= 0x80 * bool(_ESSENTIAL.intersection(kinds[index - 1 : index]))
        data = data.replace(body, marked, 1)
    return data


def with_shown_primary(data: bytes, items: Items) -> bytes:
    """Unhide the primary image, which libheif refuses to read where it is hidden.

    The standard forbids that a primary image is hidden; nothing else can be meant by one.
    """
    if items.primary not in items.items or not items.items[items.primary].is_hidden:
        return data
    iinf = dict(meta_of(Reader(BytesIO(data))))[b"iinf"]
    for number, body in entries(iinf):
        if number == items.primary:
            flags = body[_FLAGS_END] & ~1
            shown = body[:_FLAGS_END] + bytes((flags,)) + body[_FLAGS_END + 1 :]
            return data.replace(iinf, iinf.replace(body, shown, 1), 1)
    return data
