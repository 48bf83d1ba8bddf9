"""Data behind the end of a JPEG or PNG: tell what stays valid when the image before it changes.

Videos of motion photos, Samsung's trailer and ZIP archives are found from the end of the file, and
can be appended to another image as they are. Refuses to guess at anything else.

Source: Motion photo format 1.0 (Google); ExifTool's Samsung.pm (SEFH, SEFT),
OnePlus.pm and Vivo.pm; APPNOTE.TXT (ZIP)
4.3.16; ISO/IEC 14496-12 section 4.2 (boxes).
"""

from __future__ import annotations

import re
import struct

_SEF_ENTRY_BYTES, _SEF_HEAD_BYTES, _SEF_END_BYTES = 12, 12, 8
_TYPE_BOX = re.compile(rb"ftyp")
"""Behind its length."""
_VENDORS_END = re.compile(
    rb"(?:LIVE_\d{1,15} *|jxrs...\0|\xff{4}\x1b\*9HWfu\x84\x93\xa2\xb1)\Z", re.DOTALL
)
"""End of a trailer behind the video, which counts from there: Huawei's, OnePlus's, Vivo's."""
_LONGEST_VENDORS_END, _LONGEST_TYPE_BOX = 32, 1024
_ZIP_START = b"PK\3\4"
_ZIP_END = struct.Struct("<4s4H2IH")
_ZIP_COMMENT_MOST = 0xFFFF
_ZIP64_END_BYTES = 76
"""Size of ZIP64's end record and locator, which may lie before the end record."""


def unknown(lost: bytes | bytearray, place: str = "behind its end") -> list[str]:
    """List the loss of data that is not carried; padding is none."""
    count = len(lost.strip(b"\0"))
    return [f"{count} bytes of unknown data {place} are not in the output"] * bool(count)


def samsung(data: bytes) -> int:
    """Return the offset at which Samsung's trailer begins; the length of `data` without one."""
    if not data.endswith(b"SEFT"):
        return len(data)
    length = int.from_bytes(data[-8:-4], "little")
    head = len(data) - _SEF_END_BYTES - length
    if head < 0 or data[head : head + 4] != b"SEFH":
        return len(data)
    count = int.from_bytes(data[head + 8 : head + 12], "little")
    entries = data[head + _SEF_HEAD_BYTES : len(data) - _SEF_END_BYTES]
    # Each entry has the distance from the head back to its block.
    back = [
        int.from_bytes(entries[at + 4 : at + 8], "little")
        for at in range(0, min(count * _SEF_ENTRY_BYTES, len(entries) - 7), _SEF_ENTRY_BYTES)
    ]
    start = head - max(back, default=0)
    return start if start >= 0 else len(data)


def video_or_samsung(data: bytes, start: int = 0) -> int:
    """Return the offset of a video at the end, or of Samsung's trailer; the length without one.

    Args:
        data: the whole file.
        start: offset behind the image, where that is known.
    """
    end = max(samsung(data), start)
    has_vendors_end = _VENDORS_END.search(data[max(start, end - _LONGEST_VENDORS_END) : end])
    for name in _TYPE_BOX.finditer(data, start + 4, end):
        at = name.start() - 4
        is_short = int.from_bytes(data[at : at + 4]) <= _LONGEST_TYPE_BOX
        if (has_vendors_end and is_short) or _is_chain_of_boxes(data, at, end):
            return at
    return end


def kept_from(data: bytes, start: int) -> int:
    """Return the offset from which data behind an image can be appended to another one.

    Args:
        data: the whole file.
        start: offset behind the image.
    """
    end = video_or_samsung(data, start)
    end = _zip(data, start) if end == len(data) else end
    is_padding = end < len(data) and not data[start:end].strip(b"\0")
    return start if is_padding else end


def _is_chain_of_boxes(data: bytes, at: int, end: int) -> bool:
    """Return whether boxes, one behind the other, reach to the end exactly, padding excepted."""
    while at + 8 <= end:
        size = int.from_bytes(data[at : at + 4])
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16])
        if size == 0:  # the last one, to the end; or zeros as padding
            return bool(data[at + 4 : at + 8].strip(b"\0")) or not data[at:end].strip(b"\0")
        if size < 8:  # noqa: PLR2004 - its own head
            return False
        at += size
    return at <= end and not data[at:end].strip(b"\0")


def _zip(data: bytes, start: int) -> int:
    """Offset at which a ZIP archive begins that ends where the data does."""
    at = data.rfind(b"PK\5\6", max(start, len(data) - _ZIP_END.size - _ZIP_COMMENT_MOST))
    if at < 0 or at + _ZIP_END.size > len(data):
        return len(data)
    *_, size, offset, comment = _ZIP_END.unpack_from(data, at)
    first = data.find(_ZIP_START, start, at)
    if at + _ZIP_END.size + comment != len(data) or first < 0:
        return len(data)
    # Offsets count from the archive's start; where they count from the file's, readers see by how
    # much the archive has moved.
    spare = at - size - offset
    return first if spare in {0, _ZIP64_END_BYTES} or spare >= start else len(data)
