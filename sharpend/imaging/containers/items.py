"""Items of AVIF and HEIF: parse them, and find the primary image with its parts and properties.

Only the primary image decides over colour, depth, subsampling and turn, and its alpha channel over
depth; gain maps, depth maps and thumbnails have properties of their own.

Source: ISO/IEC 14496-12, 8.11.4 (pitm), 8.11.6 (iinf) and 8.11.12 (iref); 23008-12,
6.6 (derived images) and 9.3 (ipco, ipma).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sharpend.imaging.containers.isobmff import Fields, inside, meta_of
from sharpend.imaging.containers.itemplaces import IN_FILE, IN_META, entries_of
from sharpend.imaging.reading import Reader, damaged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import TypeVar

    from sharpend.imaging.containers.itemplaces import Place

    Thing = TypeVar("Thing")
    Property = tuple[bytes, bytes]
    """Type and content."""
    Boxes = list[Property]

_DERIVED = frozenset({b"grid", b"iovl", b"iden"})
"""Types of images that are made of the images they refer to."""
_OVERLAY = b"iovl"
_TONE_MAPPED = b"tmap"
"""A base image, the first that it refers to, with a gain map."""
_ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
_VERSION_BYTES = 4
_MOST = 65_536
"""Items, extents or references of a file: more than any image needs."""
_TYPED, _WIDE_IDS = 2, 3
"""The versions of infe from which on it has a type, and a number of 32 bits."""
_NCLX_BYTES = 8
_ESSENTIAL = 0x80
"""The highest bit of an association's index."""


class Item(NamedTuple):
    """An image or a block of metadata within a file."""

    kind: bytes
    """hvc1, av01, grid, Exif, mime, ..."""
    is_hidden: bool
    content: bytes
    """Content type of a mime item."""


class Reference(NamedTuple):
    """Relation of one item to others."""

    kind: bytes
    """dimg: made of; auxl: belonging to; thmb: smaller than; cdsc: describing; prem."""
    source: int
    targets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Items:
    """All items of a file."""

    primary: int
    items: Mapping[int, Item]
    properties: Mapping[int, tuple[Property, ...]]
    essential: Mapping[int, frozenset[bytes]]
    """Types of the properties without which an item must not be shown."""
    references: tuple[Reference, ...]
    places: Mapping[int, Place]
    inner: bytes
    """Content of idat, where items may lie."""

    def related(self, kind: bytes) -> dict[int, tuple[int, ...]]:
        """Return what each item refers to by a kind of reference."""
        return {each.source: each.targets for each in self.references if each.kind == kind}

    def kind_of(self, number: int) -> bytes:
        """Return the type of an item; b"" where there is none of this number."""
        return self.items[number].kind if number in self.items else b""

    def parts(self, number: int) -> list[int]:
        """Return an image and all the images that it is made of, the image first."""
        made_of, found, waiting = self.related(b"dimg"), dict[int, None](), [number]
        while waiting:
            part = waiting.pop(0)
            kind = self.kind_of(part)
            wanted = len(made_of.get(part, ())) if kind in _DERIVED else int(kind == _TONE_MAPPED)
            if part not in found:
                found[part] = None
                waiting += made_of.get(part, ())[:wanted]
        return list(found)

    def image(self, number: int) -> list[Property]:
        """Return the properties of an image, its own first, then those of its parts."""
        return [each for part in self.parts(number) for each in self.properties.get(part, ())]

    def auxiliary_type(self, number: int) -> bytes:
        """Return the name (URN) of an auxiliary image's use; b"" if it tells none."""
        bodies = (body for kind, body in self.properties.get(number, ()) if kind == b"auxC")
        return next(bodies, b"")[_VERSION_BYTES:].partition(b"\0")[0]

    def is_alpha(self, number: int) -> bool:
        """Return whether an auxiliary image is an alpha channel."""
        return self.auxiliary_type(number) in _ALPHA

    def alphas(self) -> list[int]:
        """Return the alpha channel of the primary image: an item, or one for each of its parts."""
        channels = {
            image: number
            for number, images in reversed(self.related(b"auxl").items())
            for image in images
            if self.is_alpha(number)
        }
        if self.primary in channels:
            return [channels[self.primary]]
        parts = [part for part in self.parts(self.primary) if self.kind_of(part) not in _DERIVED]
        if self.kind_of(self.primary) == _OVERLAY or not set(parts) <= channels.keys():
            return []
        return list(dict.fromkeys(channels[part] for part in parts))

    def metadata(self, kind: bytes, content: bytes = b"") -> int | None:
        """Return the first item of metadata of a kind that describes the primary image."""
        shown, described = set(self.parts(self.primary)), self.related(b"cdsc")
        for number, item in self.items.items():
            targets = described.get(number, ())
            if (item.kind, item.content) == (kind, content) and (
                not targets or shown & set(targets)
            ):
                return number
        return None

    def is_premultiplied(self) -> bool:
        """Return whether the primary image's colours are stored multiplied by alpha."""
        return any(each[:2] == (b"prem", self.primary) for each in self.references)

    def content(self, number: int | None, data: bytes) -> bytes:
        """Extract the bytes of an item from the whole file; b"" for none."""
        place = self.places.get(number) if number is not None else None
        if place is None:
            return b""
        if place.method not in {IN_FILE, IN_META}:
            raise damaged("its metadata is at an impossible offset")
        if sum(length for _, length in place.extents) > len(data):
            raise damaged("its items refer to more bytes than it has")
        source = self.inner if place.method == IN_META else data
        return b"".join(source[offset : offset + length] for offset, length in place.extents)


def items_of(reader: Reader) -> Items:
    """Parse all items of an AVIF or HEIF.

    Raises:
        ImageRefusedError: `truncated` or `damaged`.
    """
    meta = meta_of(reader)
    return items_in(meta, _primary(dict(meta).get(b"pitm", b"")))


def items_in(meta: Boxes, primary: int) -> Items:
    """Parse the items of a list, of which a track may have one of its own without a primary image.

    Args:
        meta: the boxes of the list.
        primary: number of its primary image; 0 for none.

    Raises:
        ImageRefusedError: `damaged`.
    """
    boxes = dict(meta)
    iprp = list(inside(boxes.get(b"iprp", b"")))
    return Items(
        primary,
        dict(_limited(_kinds(boxes.get(b"iinf", b"")))),
        _properties(iprp),
        _essential(iprp),
        tuple(_limited(relations(boxes.get(b"iref", b"")))),
        {one.item: one.place for one in _limited(entries_of(boxes.get(b"iloc", b"")))},
        boxes.get(b"idat", b""),
    )


def color_of(properties: Boxes, at: int) -> int | None:
    """Read a code point (H.273) of the nclx colour box: at 4 primaries, 6 transfer, 8 matrix."""
    for kind, body in properties:
        if kind == b"colr" and body[:4] == b"nclx" and len(body) >= _NCLX_BYTES:
            return int.from_bytes(body[at : at + 2])
    return None


def _limited(things: Iterable[Thing]) -> Iterator[Thing]:
    for count, thing in enumerate(things):
        if count == _MOST:
            raise damaged("it has more items than any image needs")
        yield thing


def _primary(pitm: bytes) -> int:
    if not pitm:
        raise damaged("it names no primary image")
    fields = Fields(pitm)
    return fields.number(4 if fields.number(_VERSION_BYTES) >> 24 else 2)


def entries(iinf: bytes) -> Iterator[tuple[int, bytes]]:
    """Iterate over the entries of items: number and content."""
    for _, body in inside(iinf[8 if iinf[:1] != b"\0" else 6 :]):
        fields = Fields(body)
        yield fields.number(4 if fields.number(_VERSION_BYTES) >> 24 >= _WIDE_IDS else 2), body


def _kinds(iinf: bytes) -> Iterator[tuple[int, Item]]:
    """Number and type of each item."""
    for number, body in entries(iinf):
        fields = Fields(body)
        word = fields.number(_VERSION_BYTES)
        version = word >> 24
        fields.octets(6 if version >= _WIDE_IDS else 4)  # the number, and protection
        kind = fields.octets(4) if version >= _TYPED else b""
        fields.text()  # a name
        content = fields.text() if kind in {b"mime", b"uri "} else b""
        yield number, Item(kind, bool(word & 1), content)


def _properties(iprp: Boxes) -> dict[int, tuple[Property, ...]]:
    """Properties of each item, in their order."""
    all_of_them = [each for kind, body in iprp if kind == b"ipco" for each in inside(body)]
    found: dict[int, tuple[Property, ...]] = {}
    for kind, body in iprp:
        for number, index, _ in associations(body) if kind == b"ipma" else ():
            own = all_of_them[index - 1 : index] if index else []
            found[number] = (*found.get(number, ()), *own)
    return found


def _essential(iprp: Boxes) -> dict[int, frozenset[bytes]]:
    """Types of the essential properties of each item that has any."""
    kinds = [kind for name, body in iprp if name == b"ipco" for kind, _ in inside(body)]
    found: dict[int, frozenset[bytes]] = {}
    for name, body in iprp:
        for number, index, at in associations(body) if name == b"ipma" else ():
            if body[at] & _ESSENTIAL and index:
                found[number] = found.get(number, frozenset()).union(kinds[index - 1 : index])
    return found


def associations(ipma: bytes) -> Iterator[tuple[int, int, int]]:
    """Iterate over item, index of its property from 1, and the offset of that index in the box."""
    fields = Fields(ipma)
    word = fields.number(_VERSION_BYTES)
    size = 2 if word & 1 else 1
    for _ in range(fields.number(4)):
        number = fields.number(4 if word >> 24 else 2)
        for _ in range(fields.number(1)):
            at = fields.at
            yield number, fields.number(size) & (0x7FFF if size > 1 else 0x7F), at


def relations(iref: bytes) -> Iterator[Reference]:
    """Iterate over the relations of items to each other."""
    if not iref:
        return
    size = 4 if iref[0] else 2
    for kind, body in inside(iref[_VERSION_BYTES:]):
        fields = Fields(body)
        source = fields.number(size)
        targets = tuple(fields.number(size) for _ in range(fields.number(2)))
        yield Reference(kind, source, targets)
