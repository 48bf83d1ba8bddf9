"""Last changes of files of the corpus, byte by byte: what no tool available writes."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.isofiles import box, coded, heif

if TYPE_CHECKING:
    from tests.isofiles import Made
    from tests.recipe import Edit

APPLE = "urn:com:apple:photo:2020:aux:hdrgainmap"
DEPTH = "urn:mpeg:hevc:2015:auxid:2"
PIXI = box(b"pixi", bytes(4), b"\3\x08\x08\x08")
MP4 = box(b"ftyp", b"isom\0\0\2\0isommp42") + box(b"mdat", bytes(range(256)) * 4)


def appended(behind: bytes) -> Edit:
    """Put bytes behind the end."""
    return lambda data: data + behind


def cut(count: int) -> Edit:
    """Take bytes from the end: a mark, or padding."""
    return lambda data: data[:-count]


def both(first: Edit, second: Edit) -> Edit:
    """Make one change after another."""
    return lambda data: second(first(data))


def after_start(segment: bytes) -> Edit:
    """Put a segment behind a JPEG's first, which is JFIF's."""
    return lambda data: data[:20] + segment + data[20:]


def without_segment(start: bytes) -> Edit:
    """Take the segment out of a JPEG that begins so, behind its length."""

    def edited(data: bytes) -> bytes:
        at = data.index(start) - 4
        return data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4]) :]

    return edited


def chunk(kind: bytes, body: bytes) -> Edit:
    """Put a chunk behind a PNG's header."""
    return lambda data: data[:33] + _chunk(kind, body) + data[33:]


def _chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)


def wrong_checksum(kind: bytes, body: bytes) -> Edit:
    """Put a chunk behind a PNG's header whose checksum is wrong, as GIMP 2.10 wrote some."""
    made = _chunk(kind, body)
    return lambda data: data[:33] + made[:-1] + bytes((made[-1] ^ 1,)) + data[33:]


def without_adler(data: bytes) -> bytes:
    """Take the checksum of the pixels out of a PNG's last IDAT, which is whole itself."""
    at = data.rindex(b"IDAT") - 4
    length = int.from_bytes(data[at : at + 4])
    body, rest = data[at + 8 : at + 4 + length], data[at + 12 + length :]
    return data[:at] + _chunk(b"IDAT", body) + rest


def behind_pixels(hidden: bytes) -> Edit:
    """Put bytes behind the compressed pixels of a PNG, into its last IDAT."""

    def edited(data: bytes) -> bytes:
        at = data.rindex(b"IDAT") - 4
        length = int.from_bytes(data[at : at + 4])
        body = data[at + 8 : at + 8 + length] + hidden
        return data[:at] + _chunk(b"IDAT", body) + data[at + 12 + length :]

    return edited


def behind_codes(hidden: bytes) -> Edit:
    """Put a sub-block behind the pixels of a GIF."""
    return lambda data: data[:-2] + bytes((len(hidden),)) + hidden + data[-2:]


def behind_strip(hidden: bytes) -> Edit:
    """Put bytes behind the only strip of a little-endian TIFF, which then is at its end."""

    def edited(data: bytes) -> bytes:
        made = bytearray(data)
        (at,) = struct.unpack_from("<I", data, 4)
        (rows,) = struct.unpack_from("<H", data, at)
        places = {
            struct.unpack_from("<H", data, place)[0]: place + 8
            for place in range(at + 2, at + 2 + 12 * rows, 12)
        }
        offset, count = (int.from_bytes(data[places[tag] :][:4], "little") for tag in (273, 279))
        made[offset : offset + count] = bytes(count)
        for tag, value in ((273, len(data)), (279, count + len(hidden))):
            struct.pack_into("<I", made, places[tag], value)
        return bytes(made) + data[offset : offset + count] + hidden

    return edited


def late_height(data: bytes) -> bytes:
    """Tell the height of a JPEG of one scan behind that (DNL), and 0 in its header."""
    at = data.index(b"\xff\xc0") + 5
    height = data[at : at + 2]
    return data[:at] + bytes(2) + data[at + 2 : -2] + b"\xff\xdc\0\4" + height + data[-2:]


def top_down(data: bytes) -> bytes:
    """A bitmap's rows from the top: the height is negative."""
    height = int.from_bytes(data[22:26], "little", signed=True)
    return data[:22] + (-height).to_bytes(4, "little", signed=True) + data[26:]


def riff(kind: bytes, body: bytes) -> Edit:
    """Put a chunk behind a WebP's last."""
    made = struct.pack("<4sI", kind, len(body)) + body + bytes(len(body) % 2)
    return lambda data: b"RIFF" + struct.pack("<I", len(data) - 8 + len(made)) + data[8:] + made


def without_flags(data: bytes) -> bytes:
    """Say in a WebP's header that there is no profile, EXIF and XMP."""
    return data[:20] + bytes((data[20] & 0x12,)) + data[21:]


def tagged(*entries: tuple[int, int, int, bytes | int]) -> Edit:
    """Put tags into the first directory of a little-endian TIFF, which then is at its end.

    Args:
        entries: number, type, count, and the values or an offset that may lead anywhere.
    """

    def edited(data: bytes) -> bytes:
        assert data.startswith(b"II*\0")
        made = bytearray(data + bytes(len(data) % 2))
        (at,) = struct.unpack_from("<I", data, 4)
        (count,) = struct.unpack_from("<H", data, at)
        rows = [data[at + 2 + 12 * each : at + 14 + 12 * each] for each in range(count)]
        link = data[at + 2 + 12 * count :][:4]
        for tag, kind, number, value in entries:
            place = value if isinstance(value, int) else len(made)
            if not isinstance(value, int):
                made += value + bytes(len(value) % 2)
            rows.append(struct.pack("<HHII", tag, kind, number, place))
        struct.pack_into("<I", made, 4, len(made))
        rows.sort(key=lambda row: struct.unpack_from("<H", row))
        return bytes(made) + struct.pack("<H", len(rows)) + b"".join(rows) + link

    return edited


def auxiliary(use: str) -> Edit:
    """Put an image beside that of an AVIF or HEIC, for a use like that of gain maps."""
    told = box(b"auxC", bytes(4), use.encode(), b"\0")

    def edited(data: bytes) -> bytes:
        main = _image(data)
        other = replace(
            main, properties=(*main.properties, told), references=((b"auxl", (1,)),), hidden=True
        )
        return heif([main, other], brand=data[8:12])

    return edited


def further(data: bytes) -> bytes:
    """Put an image beside that of an AVIF or HEIC, and make it the one that is shown."""
    return heif([_image(data)] * 2, brand=data[8:12], primary=2)


def with_box(made: bytes) -> Edit:
    """Put a box behind all others of an AVIF or HEIC."""
    return lambda data: heif([_image(data)], brand=data[8:12], behind=made)


def _image(data: bytes) -> Made:
    """The image of a file, of 8 bits in each of three channels."""
    main = coded(data)
    return replace(main, properties=(*main.properties, PIXI))
