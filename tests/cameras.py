"""EXIF blocks as cameras write them, in both byte orders, for tests of what is done to them."""

from __future__ import annotations

import struct
from io import BytesIO

from PIL import Image

from sharpend.imaging.metadata.exifblock import PREFIX

EXIF, GPS, MAKER_NOTE, XMP, PHOTOSHOP = 0x8769, 0x8825, 0x927C, 0x02BC, 0x8649
ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 2, 3, 4, 5, 7
WIDTHS = {ASCII: 1, SHORT: 2, LONG: 4, RATIONAL: 8, UNDEFINED: 1}
POSITION = struct.pack(">6I", 52, 1, 30, 1, 77, 1)
NOTE = b"\1\2\3" * 5
ORIENTED = {"<": b"\6\0", ">": b"\0\6"}


def jpeg(side: int, **options: object) -> bytes:
    """A small JPEG."""
    file = BytesIO()
    Image.new("RGB", (side, side), "teal").save(file, "JPEG", **options)
    return file.getvalue()


THUMBNAIL = jpeg(16)


class Camera:
    """Writes an EXIF block with a maker note that knows where it is, as cameras do."""

    def __init__(self, order: str = "<", prefix: bytes = PREFIX) -> None:
        self.order, self.prefix = order, prefix
        self.data = bytearray(struct.pack(order + "2sHI", {"<": b"II", ">": b"MM"}[order], 42, 0))

    def place(self, value: bytes) -> int:
        """Append bytes and tell where they are."""
        self.data += value
        return len(self.data) - len(value)

    def directory(self, *entries: tuple[int, int, bytes | int]) -> int:
        """Append a directory and, before it, the values that do not fit into it."""
        rows = []
        for tag, kind, value in entries:
            data = struct.pack(self.order + "I", value) if isinstance(value, int) else value
            count = len(data) // WIDTHS[kind]
            if len(data) > 4:
                data = struct.pack(self.order + "I", self.place(data))
            rows.append(struct.pack(self.order + "HHI", tag, kind, count) + data.ljust(4, b"\0"))
        return self.place(b"".join([struct.pack(self.order + "H", len(rows)), *rows, bytes(4)]))

    def block(
        self,
        *more: tuple[int, int, bytes | int],
        gps: bool = True,
        note: bool = True,
        thumbnail: bytes = THUMBNAIL,
    ) -> bytes:
        """The whole block, its thumbnail last."""
        taken = (0x9003, ASCII, b"2024:05:01 10:00:00\0")
        told = struct.pack(self.order + "4sI", b"Note", len(self.data)) + NOTE
        further = self.directory(taken, *[(MAKER_NOTE, UNDEFINED, told)] * note)
        entries = [(0x010F, ASCII, b"Canon\0"), (0x0112, SHORT, ORIENTED[self.order]), *more]
        entries.append((EXIF, LONG, further))
        if gps:
            where = self.directory((1, ASCII, b"N\0"), (2, RATIONAL, POSITION))
            entries.append((GPS, LONG, where))
        struct.pack_into(self.order + "I", self.data, 4, self.directory(*entries))
        if thumbnail:
            end = len(self.data)
            struct.pack_into(self.order + "I", self.data, end - 4, end)
            self.directory((0x201, LONG, end + 30), (0x202, LONG, len(thumbnail)))
            self.place(thumbnail)
        return self.prefix + bytes(self.data)
