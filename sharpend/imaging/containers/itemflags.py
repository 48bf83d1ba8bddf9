"""Items of AVIF and HEIF that some writers describe wrongly: corrected for strict decoders.

Source: ISO/IEC 14496-12, 8.11.6 (infe) and 8.11.12 (iref); 23008-12, 6.4.2 (hidden images), 6.5.8
(auxC) and 9.3 (ipma); AV1 Image File Format 2.3 (a1op, lsel).
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from sharpend.imaging.containers.isobmff import box_of, inside, meta_of
from sharpend.imaging.containers.items import associations, entries, relations
from sharpend.imaging.reading import Reader

if TYPE_CHECKING:
    from sharpend.imaging.containers.items import Items

_ESSENTIAL = frozenset({b"clap", b"irot", b"imir", b"lsel", b"a1op"})
"""Properties that shall be marked as essential; libavif refuses a file where one is not."""
_NONE = b"free"
"""Type of a reference, or of a property, that no decoder follows."""
_VERSION_BYTES = 4
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


def without_useless(data: bytes, items: Items) -> bytes:
    """Hide that items belong to an image which tell no use, or are alpha that is not used.

    libheif refuses a file for an auxiliary image without `auxC`, and for a grid of which some tiles
    alone have alpha; libavif for an empty `auxC`.
    """
    alphas = items.alphas()
    useless = {
        number
        for number in items.related(b"auxl")
        if not items.auxiliary_type(number) or (items.is_alpha(number) and number not in alphas)
    }
    if not useless:
        return data
    meta = dict(meta_of(Reader(BytesIO(data))))
    iref = meta[b"iref"]
    hidden = [
        (_NONE if kind == b"auxl" and one.source in useless else kind, body)
        for one, (kind, body) in zip(relations(iref), inside(iref[_VERSION_BYTES:]), strict=True)
    ]
    changed = iref[:_VERSION_BYTES] + b"".join(box_of(*each) for each in hidden)
    data = data.replace(iref, changed, 1) if len(changed) == len(iref) else data
    for number in useless:
        for kind, body in items.properties.get(number, ()):
            if kind == b"auxC" and not items.auxiliary_type(number):
                data = data.replace(kind + body, _NONE + body, 1)
    return data
