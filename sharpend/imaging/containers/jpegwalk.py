"""JPEG scans, Huffman code by Huffman code: tell whether the compressed data fits the image.

For sequential JPEGs. Compiled code (`_jpegscan.c`), where a C compiler was at installation, says
whether all of it fits, in a fraction of the time of decoding. Warnings, in libjpeg's words, are
found here, much more slowly; they are rarely needed. Neither makes pixels.

Source: ITU-T T.81 (JPEG), A.2 (order of blocks), B.2.4.2 (tables), F.2.2 (decoding).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from sharpend.imaging.compiled import compiled
from sharpend.imaging.containers.jpeglayout import SCAN, is_metadata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from sharpend.imaging.containers.jpeglayout import Parts, Segment

    Table = list[int]
    """By the next 16 bits: bits of a code and of the number behind it << 8, and how many
    coefficients of the block they stand for; 0 for no code."""

    Records = dict[int, bytes]
    """By class (0 DC, 1 AC) << 4 and number of a table, the body of its DHT segment: 16 numbers of
    codes by length, and the symbols."""

CORRUPT = "Corrupt JPEG data: "
EXTRANEOUS = re.compile(rf"{CORRUPT}(\d+) extraneous bytes before marker 0x(?!d[0-7])(\w\w)")
"""Before a restart marker they mean that data was lost."""
_SEQUENTIAL = frozenset({0xC0, 0xC1})
_TABLES, _QUANTISERS, _INTERVAL = 0xC4, 0xDB, 0xDD
_ORDINARY = _SEQUENTIAL | {_TABLES, _QUANTISERS, _INTERVAL, SCAN}
_RESTART = re.compile(rb"\xff+[\xd0-\xd7]")
_BLOCK = 64
_READ_AHEAD = 8
"""Bytes that libjpeg may have read behind the last it needs, and does not count as surplus."""
_WINDOW = 1 << 16
_ZEROS = 0xF0
"""Symbol of 16 zeros, after which a block goes on."""
_LENGTHS, _RECORD_BYTES = 16, 16 + 256
_FRAME_BYTES, _MOST_FACTOR = 6, 4
_NAMES = (*range(4), *range(0x10, 0x14))
"""Of all tables that a file may have."""
COMPILED = compiled("sharpend.imaging.containers._jpegscan")


def is_sound(parts: Parts) -> bool:
    """Return whether libjpeg has nothing to warn of in the compressed data.

    False also where this cannot be told: without compiled code, for JPEGs that are not sequential,
    and for whatever is unusual.
    """
    if COMPILED is None or parts.stray_bytes or not _is_ordinary(parts):
        return False
    return all(
        _is_whole(COMPILED, parts, scan, records, interval)
        for scan, records, interval in _scans(parts)
    )


def _is_ordinary(parts: Parts) -> bool:
    """Return whether a JPEG has one sequential frame, and no segment of a rare kind."""
    markers = [one.marker for one in parts.segments if not is_metadata(one.marker)]
    if not _ORDINARY.issuperset(markers) or sum(one in _SEQUENTIAL for one in markers) != 1:
        return False
    frame = parts.body(parts.frame)
    if len(frame) < _FRAME_BYTES:
        return False
    sides = (side for pair in frame[7::3] for side in (pair >> 4, pair & 15))
    return len(frame) == 6 + 3 * frame[5] and all(1 <= side <= _MOST_FACTOR for side in sides)


def _is_whole(
    compiled: ModuleType, parts: Parts, scan: Segment, records: Records, interval: int
) -> bool:
    head = parts.body(scan)
    components = set(parts.body(parts.frame)[6::3])
    if (
        not head
        or len(head) != 4 + 2 * head[0]
        or not components.issuperset(head[1 : 1 + 2 * head[0] : 2])
    ):
        return False
    plan, count = _blocks(parts, head)
    if not records.keys() >= {name for pair in plan for name in pair}:
        return False
    tables = b"".join(records.get(name, b"").ljust(_RECORD_BYTES, b"\0") for name in _NAMES)
    numbers = bytes(_NAMES.index(name) for pair in plan for name in pair)
    coded = memoryview(parts.data)[scan.end : scan.coded_end]
    return bool(compiled.is_sound(coded, tables, numbers, count, interval))


def counted(parts: Parts, heard: str) -> str:
    """Replace libjpeg's first warning where it miscounts bytes behind a scan, or tells of none.

    It counts none of those that it had read ahead. Zeros that it did not tell of are padding.

    Args:
        parts: a JPEG.
        heard: the warning, "" for none.
    """
    told = EXTRANEOUS.match(heard)
    if COMPILED is None or not _is_ordinary(parts) or parts.stray_bytes or (heard and not told):
        return heard
    least = int(told[1]) if told else 1
    for scan, records, interval in _scans(parts):
        for count in (0, *range(least, least + _READ_AHEAD)):
            end = scan.coded_end - count
            if _is_whole(COMPILED, parts, replace(scan, coded_end=end), records, interval):
                break
        else:
            return heard
        if (told and count) or parts.data[end : scan.coded_end].strip(b"\0"):
            marker = parts.data[scan.coded_end + 1 : scan.coded_end + 2].hex()
            return f"{CORRUPT}{count} extraneous bytes before marker 0x{marker or 'd9'}"
    return heard


def warning(parts: Parts) -> str | None:
    """Return the first warning, "" without one; None for a JPEG that is not sequential."""
    if parts.frame.marker not in _SEQUENTIAL:
        return None
    if is_sound(parts):
        return ""
    for scan, records, interval in _scans(parts):
        found = _of_scan(parts, scan, records, interval)
        if found:
            return CORRUPT + found
    return ""


def _scans(parts: Parts) -> Iterator[tuple[Segment, Records, int]]:
    """Iterate over scans, with the tables and the restart interval that hold for each."""
    records: Records = {}
    interval = 0
    for segment in parts.segments:
        if segment.marker == _TABLES:
            records |= _records(parts.body(segment))
        elif segment.marker == _INTERVAL:
            interval = int.from_bytes(parts.body(segment)[:2])
        elif segment.marker == SCAN:
            yield segment, records, interval


def _records(body: bytes) -> Records:
    """Split a DHT segment into its tables."""
    found, at = {}, 0
    while at + 1 + _LENGTHS <= len(body):
        size = _LENGTHS + sum(body[at + 1 : at + 1 + _LENGTHS])
        found[body[at]] = body[at + 1 : at + 1 + size]
        at += 1 + size
    return found


def _table(name: int, record: bytes) -> Table:
    """Make the table of a record."""
    made: Table = []
    at = _LENGTHS
    for length, count in enumerate(record[:_LENGTHS], start=1):
        for symbol in record[at : at + count]:  # codes follow each other, by length
            made += [_entry(name >> 4, length, symbol)] * (_WINDOW >> length)
        at += count
    return (made + [0] * _WINDOW)[:_WINDOW]


def _entry(kind: int, length: int, symbol: int) -> int:
    """Entry of a symbol: its bits, and the coefficients it stands for."""
    if kind == 0:
        return (length + symbol) << 8 | 1
    size, zeros = symbol & 15, symbol >> 4
    steps = zeros + 1 if size or symbol == _ZEROS else _BLOCK
    return (length + size) << 8 | steps


def _of_scan(parts: Parts, scan: Segment, records: Records, interval: int) -> str:
    """First warning about a scan."""
    head, coded = parts.body(scan), parts.data[scan.end : scan.coded_end]
    plan, count = _blocks(parts, head)
    tables = {name: _table(name, record) for name, record in records.items()}
    blocks = [(tables[first], tables[following]) for first, following in plan]
    pieces = _RESTART.split(coded) if interval else [coded]
    for piece in pieces:
        here = min(count, interval or count)
        flaw = _flaw(piece.replace(b"\xff\0", b"\xff"), blocks, here)
        if flaw:
            return flaw
        count -= here
    return "premature end of data segment" if count else ""


def _blocks(parts: Parts, head: bytes) -> tuple[list[tuple[int, int]], int]:
    """Names of the DC and AC table of each block of an MCU, and the number of MCUs of a scan."""
    frame = parts.body(parts.frame)
    height, width = int.from_bytes(frame[1:3]), int.from_bytes(frame[3:5])
    factors = {
        frame[at]: (frame[at + 1] >> 4, frame[at + 1] & 15) for at in range(6, len(frame), 3)
    }
    most_across = max(across for across, _ in factors.values())
    most_down = max(down for _, down in factors.values())
    chosen = [(head[at], head[at + 1]) for at in range(1, 1 + 2 * head[0], 2)]
    made: list[tuple[int, int]] = []
    for component, numbers in chosen:
        across, down = factors[component] if len(chosen) > 1 else (1, 1)
        made += [(numbers >> 4, 0x10 | numbers & 15)] * (across * down)
    if len(chosen) > 1:
        return made, _ceil(width, 8 * most_across) * _ceil(height, 8 * most_down)
    across, down = factors[chosen[0][0]]
    columns, rows = _ceil(width * across, most_across), _ceil(height * down, most_down)
    return made, _ceil(columns, 8) * _ceil(rows, 8)


def _ceil(number: int, unit: int) -> int:
    return -(-number // unit)


def _flaw(coded: bytes, blocks: list[tuple[Table, Table]], count: int) -> str:
    """First warning about so many MCUs."""
    at, end, window = 0, 8 * len(coded), coded + bytes(4)
    for _ in range(count):
        for table, following in blocks:
            codes, filled = table, 0
            while filled < _BLOCK:
                byte = at >> 3
                bits = int.from_bytes(window[byte : byte + 3]) >> 8 - (at & 7) & 0xFFFF
                entry = codes[bits]
                if not entry and at + 16 <= end:
                    return "bad Huffman code"
                at += entry >> 8
                filled += entry & 0xFF
                codes = following
                if at > end or not entry:
                    return "premature end of data segment"
    spare = (end - at) // 8
    return f"{spare} extraneous bytes before marker 0xd9" if spare else ""
