"""AVIF, HEIC and JPEG XL by the rules of their boxes: list parts, and make files."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CODED = frozenset(
    b"ftyp hdlr pitm iloc iinf iref ipma mdat idat dinf hvcC av1C ispe pixi irot imir clap free"
    b" skip jxlc jxlp jxll".split(b" ")
) | {b"JXL "}
"""Boxes that only say how the image is stored or shown."""
_NESTED = {b"iprp": 0, b"ipco": 0, b"grpl": 0}
"""Boxes that are opened, and the bytes before what is in them."""
_ALPHA = {b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1"}


def box(kind: bytes, *parts: bytes) -> bytes:
    """One box."""
    body = b"".join(parts)
    return (8 + len(body)).to_bytes(4) + kind + body


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and content of consecutive boxes."""
    at = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4]) or len(data) - at
        yield data[at + 4 : at + 8], data[at + 8 : at + length]
        at += length


def parts_of(data: bytes) -> set[tuple[str, bytes]]:
    """All parts of a file but those that say how the image is stored: name and what tells it."""
    parts = [] if data.startswith(b"\xff\x0a") else _parts(data)
    return {(kind.decode("latin-1"), told) for kind, told in parts if kind not in _CODED}


def _parts(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    for kind, body in boxes(data):
        if kind == b"meta":
            yield from _items(dict(boxes(body[4:])))
            yield from _parts(body[4:])
        elif kind in _NESTED:
            yield from _parts(body[_NESTED[kind] :])
        elif kind == b"auxC":
            use = body[4:].partition(b"\0")[0]
            yield kind, b"alpha" if use in _ALPHA else use
        else:
            yield kind, body[:8] if kind == b"colr" else body


def _items(meta: dict[bytes, bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Images beside the primary one and its tiles, and metadata, by their kind."""
    references = [
        (kind, *struct.unpack(f">{len(body) // 2}H", body))
        for kind, body in boxes(meta.get(b"iref", b"")[4:])
    ]
    primary = int.from_bytes(meta[b"pitm"][4:6])
    shown = {primary}
    for kind, source, _, *targets in references:
        shown |= set(targets) if (kind, source) == (b"dimg", primary) else set()
    for _, entry in boxes(meta[b"iinf"][6:]):
        number, kind = int.from_bytes(entry[4:6]), entry[8:12]
        related = [each[0] for each in references if each[1] == number]
        describes = {
            one for each in references if each[:2] == (b"cdsc", number) for one in each[3:]
        }
        if kind in {b"hvc1", b"av01", b"grid"}:
            if number not in shown:
                yield b"image", b"".join(sorted({b"auxl", b"thmb"} & set(related)))
        elif not describes or describes & shown:
            yield kind, entry[12:].partition(b"\0")[2].strip(b"\0")  # behind its name: its type


@dataclass(frozen=True)
class Made:
    """An item of a file that is made."""

    kind: bytes
    data: bytes = b""
    properties: tuple[bytes, ...] = ()
    """Whole boxes."""
    references: tuple[tuple[bytes, tuple[int, ...]], ...] = ()
    """Type, and the items that it refers to, from 1."""
    hidden: bool = False
    content: bytes = b""
    """Content type of a mime item."""


def heif(made: Sequence[Made], *, brand: bytes, primary: int = 1, behind: bytes = b"") -> bytes:
    """A file of these items."""
    entries = [
        box(b"infe", bytes((2, 0, 0, item.hidden)), struct.pack(">HH", number, 0), item.kind, b"\0",
            item.content + b"\0" if item.content else b"")
        for number, item in enumerate(made, start=1)
    ]  # fmt: skip
    references = [
        box(kind, struct.pack(f">HH{len(targets)}H", number, len(targets), *targets))
        for number, item in enumerate(made, start=1)
        for kind, targets in item.references
    ]
    properties = list(dict.fromkeys(each for item in made for each in item.properties))
    associated = b"".join(
        struct.pack(">HB", number, len(item.properties))
        + bytes(0x80 * (each[4:8] in {b"hvcC", b"av1C", b"irot"}) | properties.index(each) + 1
                for each in item.properties)
        for number, item in enumerate(made, start=1)
    )  # fmt: skip
    told = [
        box(b"hdlr", bytes(8), b"pict", bytes(13)),
        box(b"pitm", bytes(4), primary.to_bytes(2)),
        box(b"iinf", bytes(4), len(made).to_bytes(2), *entries),
        box(b"iref", bytes(4), *references) if references else b"",
        box(b"iprp", box(b"ipco", *properties),
            box(b"ipma", bytes(4), len(made).to_bytes(4), associated)),
    ]  # fmt: skip
    head = box(b"ftyp", brand, bytes(4), brand, b"mif1")

    def meta(at: int) -> bytes:
        places = []
        for number, item in enumerate(made, start=1):
            places.append(struct.pack(">HHHII", number, 0, 1, at, len(item.data)))
            at += len(item.data)
        iloc = box(b"iloc", bytes(4), b"\x44\0", len(made).to_bytes(2), *places)
        return box(b"meta", bytes(4), *told, iloc)

    start = len(head) + len(meta(0)) + 8
    return head + meta(start) + box(b"mdat", *(item.data for item in made)) + behind


def coded(data: bytes) -> Made:
    """The image of a file that an encoder wrote with nothing else in it."""
    top = dict(boxes(data))
    meta = dict(boxes(top[b"meta"][4:]))
    found = dict(boxes(dict(boxes(meta[b"iprp"]))[b"ipco"]))
    coding, kind = (b"hvcC", b"hvc1") if b"hvcC" in found else (b"av1C", b"av01")
    return Made(kind, top[b"mdat"], (box(coding, found[coding]), box(b"ispe", found[b"ispe"])))
