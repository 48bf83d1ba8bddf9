"""XMP packets: remove GPS data and announcements, add our record, leave all other bytes unchanged.

Owns what counts as a position in XMP, which properties announce another part of the file, and the
namespace of our own record. A parser only tells
where things lie, and the bytes are cut there: a packet that was written anew would lose its order,
its padding and what its writer meant. Neither document types nor entities are accepted.

Source: ISO 16684-1 (XMP), XMP specification part 3, 1.1.3.1 (extended XMP in JPEG).
"""

from __future__ import annotations

import html
import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn
from xml.parsers.expat import ExpatError, ParserCreate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

NAMESPACE = "https://sharpend.dev/ns/1.0/"
"""Of our record's properties. Like every namespace it is a name, not a page to fetch."""
EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
"""Prefix of a JPEG segment with a part of extended XMP begins with."""

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    f'<rdf:RDF xmlns:rdf="{_RDF}"></rdf:RDF>\n'
    '</x:xmpmeta>\n<?xpacket end="w"?>'
).encode()
_SEPARATOR = "\n"
"""Between a namespace and a name, as the parser gives them; no namespace holds a line break."""
_LARGEST = 4 << 20
"""Of a packet that is looked through: one made to be slow takes a second a megabyte."""
_DEEPEST = 100
"""Real packets nest some ten elements."""

_POSITION = re.compile(
    r"gps.*|.*(latitude|longt?itude|altitude|coordinates|maker_?note|shotlogdata).*"
    r"|lat|long|lat_long|point",
    re.IGNORECASE,
)
"""Names, without prefix, of properties that say where an image was taken: exif:GPSLatitude,
drone-dji:AbsoluteAltitude, geo:lat; or may say it to their maker: GCamera:ShotLogData."""
_MOTION = r"(Motion|Micro|OLive)(Photo|Video).*|VideoLength"
_ANNOUNCING = {
    namespace: re.compile(names)
    for namespace, names in {
        "http://ns.adobe.com/hdr-gain-map/1.0/": ".*",
        "http://ns.apple.com/HDRGainMap/1.0/": ".*",
        "http://ns.google.com/photos/1.0/container/": "Directory",
        "http://ns.google.com/photos/dd/1.0/container/": "Directory",
        "http://ns.google.com/photos/dd/1.0/device/": "Container|Profiles",
        "http://ns.google.com/photos/1.0/camera/": _MOTION,
        "http://ns.oplus.com/photos/1.0/camera/": _MOTION,
        "http://ns.xiaomi.com/photos/1.0/camera/": "XMPMeta",
        "http://purl.org/dc/terms/": "provenance",
    }.items()
}
"""Names, by namespace, of properties that tell of another part of the same file: gain map, motion
video, depth map, content credentials. Google's directory has the parts' lengths."""
ANNOUNCEMENTS_REMOVED = (
    "entries of its XMP were removed: they announce a gain map, a video, a depth map or content"
    " credentials, which the output does not hold"
)
"""Name for notes, whatever the container."""

_VALUE = rb"""\s*=\s*(?:"[^"]*"|'[^']*')"""
_ATTRIBUTE = re.compile(rb"\s+([^\s=/>]+)" + _VALUE)
_TAG = re.compile(rb"<([^\s/>]+)((?:\s+[^\s=/>]+" + _VALUE + rb")*)\s*(/?)>")
"""A start tag, of which the parser has already said that it is well-formed."""
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PART = struct.Struct(">32sII")
"""Of extended XMP: the whole's digest, its length, and where this part begins."""


def without_gps(xmp: bytes) -> bytes:
    """Remove every property that holds GPS data from the packet.

    Attributes and elements with all that is in them, under whatever prefix; the rest stays equal.

    Args:
        xmp: a packet in UTF-8, with or without its xpacket wrapper; empty is allowed.

    Raises:
        ValueError: it cannot be understood (not UTF-8, not XML, with a document type), so nobody
            can say that it holds no position.
    """
    return _cut(xmp, lambda _, name: bool(_POSITION.fullmatch(name)))


def without_announcements(xmp: bytes) -> bytes:
    """Remove every property that describes another part of the file; otherwise as `without_gps`.

    Source: Ultra HDR 1.1, Motion photo format 1.0, Dynamic Depth 1.0 (Google); C2PA 2.1, 11.5
        (dcterms:provenance).
    """
    return _cut(xmp, _announces)


def without_orientation(xmp: bytes) -> bytes:
    """Remove the property that turns the image; otherwise as `without_gps`."""
    return _cut(xmp, lambda *name: name == ("http://ns.adobe.com/tiff/1.0/", "Orientation"))


def _announces(namespace: str, name: str) -> bool:
    names = _ANNOUNCING.get(namespace)
    return names is not None and bool(names.fullmatch(name))


def extension_holds_gps(segments: Iterable[bytes]) -> bool:
    """Return whether extended XMP holds GPS data, or may, because it is unreadable.

    Args:
        segments: payloads of JPEG's APP1 segments that begin with `EXTENSION`, in any order.
    """
    try:
        return any(without_gps(whole) != whole for whole in _assembled(segments))
    except ValueError:
        return True


def with_record(xmp: bytes, fields: Mapping[str, str]) -> bytes:
    """Add our record to the packet, replacing an earlier one; the rest stays equal.

    Args:
        xmp: a packet in UTF-8; where it is empty, a new one is made.
        fields: names (of XML, without prefix) and values of our properties.

    Raises:
        ValueError: the packet cannot be understood, or has no rdf:RDF to put a record in.
    """
    packet = _without(xmp, _find(xmp, _is_ours)) or _PACKET
    places = _find(packet, lambda namespace, name: (namespace, name) == (_RDF, "RDF"))
    if not places:
        raise ValueError("the XMP has no rdf:RDF")
    start, end = places[-1].start, places[-1].end
    name = re.split(rb"[\s/>]", packet[start + 1 : end], maxsplit=1)[0]
    prefix, whole = name.removesuffix(b"RDF").decode(), packet[start:end]
    if whole.endswith(b"/>"):
        whole = whole[:-2] + b"></" + name + b">"
    at = whole.rindex(b"</")
    others = whole[:at].replace(_description(prefix, {}), b"")  # what is left of an earlier record
    return packet[:start] + others + _description(prefix, fields) + whole[at:] + packet[end:]


def record_of(xmp: bytes) -> dict[str, str]:
    """Read our record's properties by name; empty if there is none or the packet is unreadable."""
    try:
        return {found.name: found.value for found in _find(xmp, _is_ours)}
    except ValueError:
        return {}


def _is_ours(namespace: str, _name: str) -> bool:
    return namespace == NAMESPACE


def _description(prefix: str, fields: Mapping[str, str]) -> bytes:
    """Our record as RDF; `prefix` stands for RDF's namespace, colon included."""
    properties = "".join(f' sharpend:{name}="{_escaped(fields[name])}"' for name in fields)
    start = f'<{prefix}Description {prefix}about="" xmlns:sharpend="{NAMESPACE}"'
    return f"{start}{properties}/>".encode()


def _escaped(value: str) -> str:
    """Escape a value for an attribute; characters that XML forbids are replaced."""
    escaped = html.escape(_NOT_XML.sub("\ufffd", value))
    return re.sub("[\t\n\r]", lambda space: f"&#{ord(space[0])};", escaped)


def _assembled(segments: Iterable[bytes]) -> list[bytes]:
    """Join the parts of extended XMP to packets, by their digests."""
    wholes: dict[bytes, dict[int, bytes]] = {}
    lengths: dict[bytes, int] = {}
    for segment in segments:
        head = segment[len(EXTENSION) :][: _PART.size]
        if not segment.startswith(EXTENSION) or len(head) < _PART.size:
            raise ValueError("not a part of extended XMP")
        digest, lengths[digest], offset = _PART.unpack(head)
        wholes.setdefault(digest, {})[offset] = segment[len(EXTENSION) + _PART.size :]
    for digest, parts in wholes.items():
        ends = [0, *(offset + len(part) for offset, part in sorted(parts.items()))]
        if sorted(parts) != ends[:-1] or ends[-1] != lengths[digest]:
            raise ValueError("parts of extended XMP are missing")
    return [b"".join(part for _, part in sorted(parts.items())) for parts in wholes.values()]


@dataclass(frozen=True, slots=True)
class _Found:
    """A property or another element: its name without prefix, its value, and its byte range."""

    name: str
    value: str
    start: int
    end: int


@dataclass(slots=True)
class _Open:
    """An element whose end tag has not come yet."""

    start: int
    end: int | None
    """Known already where the element is a single tag."""
    wanted: bool
    text: list[str] = field(default_factory=list)


def _find(packet: bytes, wanted: Callable[[str, str], bool]) -> list[_Found]:
    """Find the attributes and elements whose namespace and name are `wanted`, sorted by their ends.

    Raises:
        ValueError: not XML in UTF-8, with a document type, or absurdly large or deep.
    """
    if not packet:
        return []
    content = packet.rstrip(b"\0")  # some writers pad with zeros, which are no XML
    if len(content) > _LARGEST or b"\0" in content:
        raise ValueError("the XMP is too large, or not in UTF-8")
    content.decode()
    search = _Search(content, wanted)
    try:
        search.parser.Parse(content, True)
    except ExpatError as error:
        raise ValueError("the XMP is not XML") from error
    return search.found


def _cut(packet: bytes, wanted: Callable[[str, str], bool]) -> bytes:
    """Remove the wanted attributes and elements."""
    rest = _without(packet, _find(packet, wanted))
    _find(rest, lambda *_: False)  # what was wanted as a whole is no packet any more
    return rest


def _without(packet: bytes, found: Iterable[_Found]) -> bytes:
    """Cut out what was found; ranges may be nested."""
    rest, at = [], 0
    for start, end in sorted((each.start, each.end) for each in found):
        rest.append(packet[at:start])
        at = max(at, end)
    return b"".join([*rest, packet[at:]])


class _Search:
    """Event handler of one parser pass, which finds wanted properties and their byte ranges."""

    def __init__(self, packet: bytes, wanted: Callable[[str, str], bool]) -> None:
        self.found: list[_Found] = []
        self._packet, self._wanted = packet, wanted
        self._open: list[_Open] = []
        self.parser = parser = ParserCreate("utf-8", _SEPARATOR)
        parser.ordered_attributes = True
        parser.StartDoctypeDeclHandler = _refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text

    def _is_wanted(self, name: str) -> bool:
        namespace, _, local = name.rpartition(_SEPARATOR)
        return self._wanted(namespace, local)

    def _start(self, name: str, attributes: list[str]) -> None:
        start = self.parser.CurrentByteIndex
        tag = _TAG.match(self._packet, start)
        if not tag or len(self._open) == _DEEPEST:
            raise ValueError("the XMP is too deep, or not understood")
        self._open.append(_Open(start, tag.end() if tag[3] else None, self._is_wanted(name)))
        places = [
            place
            for place in _ATTRIBUTE.finditer(self._packet, tag.start(2), tag.end(2))
            if place[1] != b"xmlns" and not place[1].startswith(b"xmlns:")
        ]
        for place, attribute, value in zip(places, attributes[::2], attributes[1::2], strict=True):
            if self._is_wanted(attribute):
                self.found.append(_Found(_local(attribute), value, *place.span()))

    def _end(self, name: str) -> None:
        element = self._open.pop()
        if element.wanted:
            end = element.end or self._packet.index(b">", self.parser.CurrentByteIndex) + 1
            text = "".join(element.text)
            self.found.append(_Found(_local(name), text, element.start, end))

    def _text(self, text: str) -> None:
        if self._open and self._open[-1].wanted:
            self._open[-1].text.append(text)


def _local(name: str) -> str:
    return name.rpartition(_SEPARATOR)[2]


def _refuse(*_: object) -> NoReturn:
    raise ValueError("the XMP has a document type")
