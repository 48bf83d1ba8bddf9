"""LZW streams of TIFF and GIF: count the values that they hold, and find their end.

Codes tell the lengths of what they stand for, so nothing is decoded. Compiled code (`_lzwwalk.c`)
walks through them, where a C compiler was at installation, and slower code otherwise. Of a damaged
stream it says only whether a code stands for nothing; decoders judge the rest.

Source: TIFF 6.0 section 13; GIF89a specification, appendix F.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sharpend.imaging.compiled import compiled
from sharpend.imaging.containers.surplus import Held, count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

_MOST_BITS = 12
"""Of a code."""
_TABLE = 1 << _MOST_BITS
_FEW = 512
"""Codes that are read at first; where no clear code is among them, as many as make a table."""
_FLAW = -2
COMPILED = compiled("sharpend.imaging.containers._lzwwalk")


def has_flaw(data: bytes, wanted: int) -> bool:
    """Return whether a code of a TIFF's stream stands for nothing before it has enough values."""
    walk = _walk if COMPILED is None else COMPILED.walk
    decoded, _, end = walk(data, wanted, 8, not _is_old(data))
    return bool(decoded < wanted and end == _FLAW)


def _is_old(data: bytes) -> bool:
    """Return whether the first code, which clears, has its lowest bit first, as in early TIFFs."""
    return len(data) > 1 and data[0] == 0 and data[1] & 1 == 1


def held(data: bytes, wanted: int, padded: int = 0, *, bits: int = 8, is_tiff: bool = True) -> Held:
    """Count the values of a stream.

    Args:
        data: the stream and what follows.
        wanted: values of the image.
        padded: values of the image with those that pad its last strip; 0 where nothing does.
        bits: of a value: 8 but for the small palettes of GIFs.
        is_tiff: as in TIFF, and not as in GIF.
    """
    is_tiff = is_tiff and not _is_old(data)
    most, walk = max(wanted, padded), _walk if COMPILED is None else COMPILED.walk
    decoded, full_at, end = walk(data, most, bits, is_tiff)
    if decoded < wanted:
        return Held(decoded, 0)
    if end < 0:
        return Held(decoded, count(data[-(-full_at // 8) :]))
    return Held(decoded, max(0, decoded - most) + count(data[-(-end // 8) :]))


def _walk(
    data: bytes,
    most: int,
    bits: int,
    is_tiff: bool,  # noqa: FBT001 - as the compiled one
) -> tuple[int, int, int]:
    """Count the values of a stream, as `_lzwwalk.c` does.

    Returns:
        The values, the bit behind the code with which there are `most`, and the bit behind the end
        code; in its place -1 where there is none, and -2 where a code stands for nothing.
    """
    stream = _Stream(data, bits, is_tiff=is_tiff)
    at, full_at, decoded = 0, 0, 0
    entries: Numbers | None = None
    while at < stream.size:
        codes, starts = stream.read(at, is_first=entries is None)
        is_marked = len(codes) > 0 and bool(codes[-1] | 1 == stream.end)
        run = codes[: len(codes) - is_marked]
        lengths, entries = _lengths(run, entries, stream.end + 1)
        if decoded < most:
            ends = decoded + np.cumsum(lengths)
            full_at = int(starts[min(int(np.searchsorted(ends, most)) + 1, len(lengths))])
        decoded += int(lengths.sum())
        at = int(starts[len(lengths)])
        if len(lengths) < len(run):
            return decoded, full_at, _FLAW
        if not is_marked and len(codes) < _TABLE:
            break
        if is_marked and codes[-1] == stream.end:
            return decoded, full_at, int(starts[-1])
        if is_marked:
            at, entries = int(starts[-1]), None
            full_at = at if decoded < most else full_at
    return decoded, full_at, -1


class _Stream:
    """Reader of codes.

    Args:
        data: the stream and what follows.
        bits: of a value.
        is_tiff: codes begin with their highest bit, and grow one code early.
    """

    def __init__(self, data: bytes, bits: int, *, is_tiff: bool) -> None:
        self._data = np.frombuffer(data + bytes(2), np.uint8)
        self.size = 8 * len(data)
        """In bits."""
        self._is_tiff = is_tiff
        self.end = (1 << bits) + 1
        """The end code; the one before it clears the table."""
        free = self.end + np.arange(_TABLE)
        widths = np.ceil(np.log2(free + 1 + is_tiff)).astype(np.int64)
        widths[0] = 0
        self._widths = widths.clip(bits + 1, _MOST_BITS)
        """In bits, of each code behind a clear code."""

    def read(self, at: int, *, is_first: bool) -> tuple[Numbers, Numbers]:
        """Read codes up to a clear or end code, or up to as many as make a table.

        Args:
            at: in bits.
            is_first: a clear code, or nothing, is before them.

        Returns:
            The codes, and where each of them begins; at last where they end.
        """
        widths = self._widths if is_first else np.full(_TABLE, _MOST_BITS)
        codes, starts = self._upto(at, widths[:_FEW])
        if len(codes) == _FEW and codes[-1] | 1 != self.end:
            codes, starts = self._upto(at, widths)
        return codes, starts

    def _upto(self, at: int, widths: Numbers) -> tuple[Numbers, Numbers]:
        """Read codes of these widths, as `read` does."""
        starts = np.concatenate([[at], at + np.cumsum(widths)])
        fitting = int(np.searchsorted(starts[1:], self.size, "right"))
        codes = self._values(starts[:fitting], widths[:fitting])
        marks = np.flatnonzero((codes | 1) == self.end)
        fitting = int(marks[0]) + 1 if len(marks) else fitting
        return codes[:fitting], starts[: fitting + 1]

    def _values(self, starts: Numbers, widths: Numbers) -> Numbers:
        place, shift = starts >> 3, starts & 7
        first, second, third = (self._data[place + offset].astype(np.int64) for offset in range(3))
        if self._is_tiff:
            values = (first << 16 | second << 8 | third) >> (24 - shift - widths)
        else:
            values = (first | second << 8 | third << 16) >> shift
        masked: Numbers = values & ((1 << widths) - 1)
        return masked


def _lengths(run: Numbers, entries: Numbers | None, first: int) -> tuple[Numbers, Numbers]:
    """Count the values that each code stands for, up to one that stands for nothing.

    Args:
        run: codes.
        entries: lengths of the table's entries; None where these codes make it.
        first: the code of the first entry.

    Returns:
        The lengths of the codes, and those of the entries.
    """
    index = run - first
    if entries is None:
        before = np.arange(len(run))
        known = index < before
        entries = _entries(np.where(known, index, -1)[: _TABLE - first])
    else:
        known = index < len(entries)
    unknown = np.flatnonzero(~known & (index >= 0))
    index = index[: unknown[0]] if len(unknown) else index
    return np.where(index < 0, 1, entries[index.clip(0)] if len(entries) else 1), entries


def _entries(index: Numbers) -> Numbers:
    """Lengths of a table's entries, each of which is one value longer than a code.

    Args:
        index: of each code the entry that it stands for, one that came before; negative for one
            value.
    """
    lengths = np.where(index < 0, 2, 1)
    while (index >= 0).any():  # each round doubles the way that is added up
        is_open = index >= 0
        lengths[is_open] += lengths[index[is_open]]
        index = np.where(is_open, index[index.clip(0)], -1)
    return lengths
