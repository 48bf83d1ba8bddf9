"""JPEG scans, Huffman code by Huffman code: tell whether the compressed data fits the image.

For sequential JPEGs in samplings that libtiff refuses; much slower than libjpeg, and rarely needed.
Makes no pixels. Warnings have libjpeg's words.

Source: ITU-T T.81 (JPEG), A.2 (order of blocks), B.2.4.2 (tables), F.2.2 (decoding).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sharpend.imaging.containers.jpeglayout import SCAN

if TYPE_CHECKING:
    from sharpend.imaging.containers.jpeglayout import Parts, Segment

    Table = list[int]
    """By the next 16 bits: bits of a code and of the number behind it << 8, and how many
    coefficients of the block they stand for; 0 for no code."""

CORRUPT = "Corrupt JPEG data: "
_SEQUENTIAL = frozenset({0xC0, 0xC1})
_TABLES, _INTERVAL = 0xC4, 0xDD
_RESTART = re.compile(rb"\xff+[\xd0-\xd7]")
_BLOCK = 64
_WINDOW = 1 << 16
_ZEROS = 0xF0
"""Symbol of 16 zeros, after which a block goes on."""


def warning(parts: Parts) -> str | None:
    """Return the first warning, "" without one; None for a JPEG that is not sequential."""
    if parts.frame.marker not in _SEQUENTIAL:
        return None
    tables: dict[int, Table] = {}
    interval = 0
    for segment in parts.segments:
        if segment.marker == _TABLES:
            tables |= _tables(parts.body(segment))
        elif segment.marker == _INTERVAL:
            interval = int.from_bytes(parts.body(segment)[:2])
        elif segment.marker == SCAN:
            found = _of_scan(parts, segment, tables, interval)
            if found:
                return CORRUPT + found
    return ""


def _tables(body: bytes) -> dict[int, Table]:
    """Parse a DHT segment: tables by class (0 DC, 1 AC) << 4 and number."""
    found, at = {}, 0
    while at + 17 <= len(body):
        name, counts = body[at], body[at + 1 : at + 17]
        at += 17
        table: Table = []
        for length, count in enumerate(counts, start=1):
            for symbol in body[at : at + count]:  # codes follow each other, by length
                table += [_entry(name >> 4, length, symbol)] * (_WINDOW >> length)
            at += count
        found[name] = (table + [0] * _WINDOW)[:_WINDOW]
    return found


def _entry(kind: int, length: int, symbol: int) -> int:
    """Entry of a symbol: its bits, and the coefficients it stands for."""
    if kind == 0:
        return (length + symbol) << 8 | 1
    size, zeros = symbol & 15, symbol >> 4
    steps = zeros + 1 if size or symbol == _ZEROS else _BLOCK
    return (length + size) << 8 | steps


def _of_scan(parts: Parts, scan: Segment, tables: dict[int, Table], interval: int) -> str:
    """First warning about a scan."""
    head, coded = parts.body(scan), parts.data[scan.end : scan.coded_end]
    blocks, count = _blocks(parts, head, tables)
    pieces = _RESTART.split(coded) if interval else [coded]
    for piece in pieces:
        here = min(count, interval or count)
        flaw = _flaw(piece.replace(b"\xff\0", b"\xff"), blocks, here)
        if flaw:
            return flaw
        count -= here
    return "premature end of data segment" if count else ""


def _blocks(
    parts: Parts, head: bytes, tables: dict[int, Table]
) -> tuple[list[tuple[Table, Table]], int]:
    """DC and AC table of each block of an MCU, and the number of MCUs of a scan."""
    frame = parts.body(parts.frame)
    height, width = int.from_bytes(frame[1:3]), int.from_bytes(frame[3:5])
    factors = {
        frame[at]: (frame[at + 1] >> 4, frame[at + 1] & 15) for at in range(6, len(frame), 3)
    }
    most_across = max(across for across, _ in factors.values())
    most_down = max(down for _, down in factors.values())
    chosen = [(head[at], head[at + 1]) for at in range(1, 1 + 2 * head[0], 2)]
    made = []
    for component, numbers in chosen:
        across, down = factors[component] if len(chosen) > 1 else (1, 1)
        pair = tables[numbers >> 4], tables[0x10 | numbers & 15]
        made += [pair] * (across * down)
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
