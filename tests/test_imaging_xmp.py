"""XMP packets lose positions and gain our record; all other bytes stay as they are."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpend.imaging.metadata import xmp
from sharpend.imaging.metadata.provenance import Provenance

PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="a > b">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <!-- <exif:GPSLatitude/> in a comment is none -->
  <rdf:Description rdf:about=""
    xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:gps="urn:gps"
    xmlns:drone-dji = 'http://www.dji.com/drone-dji/1.0/'
    exif:ExposureTime="1/250" GPSATTRIBUTE
    gps:kept='"äöü" &amp; 日本'>
   GPSELEMENT
   <exif:Flash rdf:parseType="Resource"><exif:Fired>True</exif:Fired></exif:Flash>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
   \n<?xpacket end="w"?>\0"""
DOCTYPE = b'<!DOCTYPE a [<!ENTITY b "GPS">]><a>&b;</a>'
FIELDS = {"Model": 'a "b" <c> & d\n', "Digest": "00ff"}


def packet(attribute: str = "", element: str = "") -> bytes:
    """A packet as a camera writes it, with something in it; `attribute` begins with a space."""
    return PACKET.replace(" GPSATTRIBUTE", attribute).replace("GPSELEMENT", element).encode()


@pytest.mark.parametrize(
    "attribute",
    [
        ' exif:GPSLatitude="52,30.5N"',
        " exif:gpsLongitude = '13,4E'",
        '\n    drone-dji:GpsLatitude="&#53;2>"',
        ' drone-dji:Longtitude="13.4"\texif:GPSVersionID="2.3.0.0"',
        ' exif:GPSAltitude=""',
    ],
)
def test_attributes_with_a_position_go(attribute: str) -> None:
    """With the space before them; not a byte else."""
    assert xmp.without_gps(packet(attribute)) == packet()


@pytest.mark.parametrize(
    "element",
    [
        "<exif:GPSLatitude>52,30.5N</exif:GPSLatitude>",
        "<exif:GPSLatitude/><drone-dji:GpsLatitude rdf:a='/>'  />",
        "<drone-dji:GPS><rdf:Seq><rdf:li exif:GPSTrack='1'>x</rdf:li></rdf:Seq></drone-dji:GPS >",
        "<gps:GPSInfo><gps:GPSInfo/></gps:GPSInfo>",
    ],
)
def test_elements_with_a_position_go(element: str) -> None:
    """With all that is in them; not a byte else."""
    assert xmp.without_gps(packet(element=element)) == packet()


@pytest.mark.parametrize(
    "name", ["drone-dji:AbsoluteAltitude", "drone-dji:HdrPlusMakernote", "drone-dji:ShotLogData"]
)
def test_altitudes_go_and_what_a_maker_alone_understands(name: str) -> None:
    """As in EXIF."""
    assert xmp.without_gps(packet(f' {name}="+103.5"')) == packet()


def test_a_packet_without_a_position_stays_equal() -> None:
    """Byte for byte, an empty one too."""
    assert xmp.without_gps(packet()) == packet()
    assert xmp.without_gps(b"") == b""


NAMESPACES = {
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "HDRGainMap": "http://ns.apple.com/HDRGainMap/1.0/",
    "GCamera": "http://ns.google.com/photos/1.0/camera/",
    "Container": "http://ns.google.com/photos/1.0/container/",
    "Item": "http://ns.google.com/photos/1.0/container/item/",
    "Dynamic": "http://ns.google.com/photos/dd/1.0/container/",
    "Device": "http://ns.google.com/photos/dd/1.0/device/",
    "OpCamera": "http://ns.oplus.com/photos/1.0/camera/",
    "MiCamera": "http://ns.xiaomi.com/photos/1.0/camera/",
    "dcterms": "http://purl.org/dc/terms/",
    "mine": "urn:mine",
}
DIRECTORY = """<{0}:Directory><rdf:Seq><rdf:li rdf:parseType="Resource">
 <{0}:Item Item:Mime="video/mp4" Item:Semantic="MotionPhoto" Item:Length="3987"/>
</rdf:li></rdf:Seq></{0}:Directory>"""


def announcing(attribute: str = "", element: str = "") -> bytes:
    """The packet of `packet` with the namespaces of the announcements."""
    declared = "".join(f' xmlns:{name}="{value}"' for name, value in NAMESPACES.items())
    return packet(f"{declared}{attribute}", element)


@pytest.mark.parametrize(
    ("attribute", "element"),
    [
        (' hdrgm:Version="1.0"', "<hdrgm:GainMapMax>2.5</hdrgm:GainMapMax>"),
        (' HDRGainMap:HDRGainMapVersion="65536"', "<HDRGainMap:HDRGainMapHeadroom/>"),
        (' GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1"', ""),
        (' GCamera:MotionPhotoPresentationTimestampUs="5"', DIRECTORY.format("Container")),
        (' GCamera:MicroVideo="1" GCamera:MicroVideoOffset="99"', DIRECTORY.format("Dynamic")),
        (' OpCamera:OLivePhotoVersion="2" OpCamera:VideoLength="9"', "<Device:Profiles/>"),
        (' MiCamera:XMPMeta="&lt;depthmap offset=&quot;9&quot;/>"', ""),
        (' dcterms:provenance="self#jumbf=c2pa/urn:uuid:1"', ""),
    ],
)
def test_announcements_go(attribute: str, element: str) -> None:
    """With all that is in them; not a byte else."""
    assert xmp.without_announcements(announcing(attribute, element)) == announcing()


@pytest.mark.parametrize("data", [b"no XML", b"<a/>\0<a/>", b"<a>\xe4</a>", DOCTYPE])
def test_announcements_in_what_is_not_understood(data: bytes) -> None:
    """Nobody can say what it announces: an error, as with positions."""
    with pytest.raises(ValueError):  # noqa: PT011 - it is the documented class that counts
        xmp.without_announcements(data)


def test_what_announces_nothing_stays() -> None:
    """The same names elsewhere, and other names of the same makers."""
    attribute = ' mine:MotionPhoto="1" GCamera:BurstID="2" dcterms:created="2020" mine:Version="1"'
    kept = announcing(attribute, "<mine:Directory><mine:XMPMeta/></mine:Directory>")
    assert xmp.without_announcements(kept) == kept
    assert xmp.without_announcements(b"") == b""


NOT_UNDERSTOOD = [
    b"no XML",
    b"<a><b></a>",
    b"<a b:GPSLatitude='1'/>",
    b"<?packet begin?><GPSInfo/>",
    b"\0",
    packet().decode().rstrip("\0").encode("utf-16"),
    packet().decode().rstrip("\0").encode("utf-16-be"),
    b"<a>\xe4</a>",
    DOCTYPE,
    b"<a>" * 200 + b"</a>" * 200,
    b"<a>" + bytes(17 << 20) + b"</a>",
]


@pytest.mark.parametrize("data", NOT_UNDERSTOOD, ids=range(len(NOT_UNDERSTOOD)))
def test_what_is_not_understood_is_not_passed_on(data: bytes) -> None:
    """Nobody can say that it holds no position: an error, so that the packet is dropped."""
    with pytest.raises(ValueError):  # noqa: PT011 - it is the documented class that counts
        xmp.without_gps(data)
    assert xmp.record_of(data) == {}


@pytest.mark.parametrize("before", [b"", packet(), packet(' exif:GPSLatitude="1"')])
def test_a_record_goes_in_and_comes_out(before: bytes) -> None:
    """A packet gains our properties and keeps all that it had; without one, one is made."""
    after = xmp.with_record(before, FIELDS)
    assert xmp.record_of(after) == FIELDS
    start = after.rindex(b"<rdf:Description")
    end = after.index(b"/>", start) + 2
    if before:
        assert after[:start] + after[end:] == before
        assert after[end:].startswith(b"</rdf:RDF>")
    assert b'xmlns:sharpend="https://sharpend.dev/ns/1.0/"' in after[start:end]


def test_a_new_record_takes_the_old_ones_place() -> None:
    """However often an image is sharpened, there is one record: the last."""
    once = xmp.with_record(packet(), {"Model": "first", "Extra": "x"})
    assert xmp.with_record(once, FIELDS) == xmp.with_record(packet(), FIELDS)


def test_a_record_that_another_program_rewrote_is_found() -> None:
    """Under another prefix, as elements, among others' properties."""
    element = f'<s:Model xmlns:s="{xmp.NAMESPACE}">lite</s:Model>'
    assert xmp.record_of(packet(element=element)) == {"Model": "lite"}
    assert xmp.with_record(packet(element=element), FIELDS) == xmp.with_record(packet(), FIELDS)


@pytest.mark.parametrize(
    "rdf",
    [
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/>',
        '<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"></r:RDF>',
        '<RDF xmlns="http://www.w3.org/1999/02/22-rdf-syntax-ns#" />',
    ],
)
def test_a_record_fits_every_way_of_writing_rdf(rdf: str) -> None:
    """Empty, under another prefix, under none."""
    after = xmp.with_record(rdf.encode(), FIELDS)
    assert xmp.record_of(after) == FIELDS
    assert xmp.without_gps(after) == after


@pytest.mark.parametrize("data", [b"no XML", b"<a/>", DOCTYPE])
def test_no_record_where_it_has_no_place(data: bytes) -> None:
    """A packet without RDF is not made one."""
    with pytest.raises(ValueError, match="XMP"):
        xmp.with_record(data, FIELDS)


def test_what_xml_cannot_hold_is_replaced() -> None:
    """A name with control characters or bytes that are no text does not spoil the packet."""
    after = xmp.with_record(b"", {"Model": "a\0b\x1b\udcffc\ttab"})
    assert xmp.record_of(after) == {"Model": "a\ufffdb\ufffd\ufffdc\ttab"}


@given(
    st.text(
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"),
        max_size=50,
    )
)
def test_any_text_comes_back(value: str) -> None:
    """Whatever a value holds, it is read as it was written."""
    assert xmp.record_of(xmp.with_record(packet(), {"Model": value})) == {"Model": value}


@given(st.binary(), st.integers(0, len(packet())), st.integers(0, 40))
def test_damaged_packets_are_survived(data: bytes, at: int, cut: int) -> None:
    """Whatever the bytes, the only error is the documented one."""
    damaged = packet(' exif:GPSLatitude="1"')
    for each in (data, damaged[:at] + data + damaged[at + cut :]):
        xmp.record_of(each)
        with suppress(ValueError):
            xmp.without_gps(each)
        with suppress(ValueError):
            xmp.with_record(each, FIELDS)


def parts(whole: bytes, *cuts: int, digest: bytes = b"A" * 32) -> list[bytes]:
    """Extended XMP as JPEG's segments hold it."""
    places = zip((0, *cuts), (*cuts, len(whole)), strict=True)
    return [
        xmp.EXTENSION + struct.pack(">32sII", digest, len(whole), start) + whole[start:end]
        for start, end in places
    ]


TELLING, SILENT = packet(' exif:GPSLatitude="1"'), packet()


@pytest.mark.parametrize(
    ("segments", "holds"),
    [
        ([], False),
        (parts(SILENT, 300, 600), False),
        (parts(SILENT, 300)[::-1], False),
        (parts(TELLING, TELLING.index(b"GPSLat") + 2), True),
        ([*parts(SILENT), *parts(TELLING, digest=b"B" * 32)], True),
        (parts(SILENT, 300)[:1], True),
        (parts(SILENT, 300)[1:], True),
        (parts(b"no XML"), True),
        ([xmp.EXTENSION + b"short"], True),
        ([b"something else"], True),
    ],
)
def test_extended_xmp_is_put_together(segments: list[bytes], *, holds: bool) -> None:
    """A position cut in two by a segment's end is found; what cannot be read counts as one."""
    assert xmp.extension_holds_gps(segments) is holds


RECORD = Provenance("lite-x4", "1" * 64, "2" * 64, "3" * 64, "1.2.0")


def test_provenance_survives_the_packet() -> None:
    """The record that goes into a packet is the record that is read."""
    assert Provenance.of(xmp.record_of(xmp.with_record(packet(), RECORD.fields()))) == RECORD


@pytest.mark.parametrize(
    "wrong",
    [{"Model": ""}, {"ModelDigest": "1" * 63}, {"InputDigest": "G" * 64}, {"OptionsDigest": ""}],
)
def test_half_a_record_is_none(wrong: dict[str, str]) -> None:
    """What lacks a property, or whose digest is none, says nothing."""
    assert Provenance.of({**RECORD.fields(), **wrong}) is None
    assert Provenance.of({}) is None
