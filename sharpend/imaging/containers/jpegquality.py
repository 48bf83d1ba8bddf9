"""JPEG quality: libjpeg's quantisation tables of each quality, 1 to 100.

An output gets the tables of its input, see `jpeg`: at such a quality, or as they are.

Source: ITU-T T.81 (JPEG), tables K.1 and K.2; libjpeg's jcparam.c (their scaling by quality).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Table = tuple[int, ...]

_LUMINANCE = (
    *(16, 11, 10, 16, 24, 40, 51, 61),
    *(12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77),
    *(24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101),
    *(72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMINANCE = (
    *(17, 18, 24, 47, 99, 99, 99, 99),
    *(18, 21, 26, 66, 99, 99, 99, 99),
    *(24, 26, 56, 99, 99, 99, 99, 99),
    *(47, 66, 99, 99, 99, 99, 99, 99),
    *(99,) * 32,
)
_LARGEST = 255


@cache
def luminance_tables() -> Sequence[Table]:
    """First table of each quality from 1, row by row."""
    return [_scaled(_LUMINANCE, quality) for quality in range(1, 101)]


def quality_of(tables: Sequence[Sequence[int]]) -> int | None:
    """Find the quality of which these are exactly libjpeg's tables.

    Args:
        tables: of gray or luminance, and of both chrominances together; row by row.

    Returns:
        1 to 100, or None.
    """
    return _qualities().get(tuple(tuple(each) for each in tables))


@cache
def _qualities() -> Mapping[tuple[Table, ...], int]:
    found: dict[tuple[Table, ...], int] = {}
    for quality, luminance in enumerate(luminance_tables(), start=1):
        found[(luminance,)] = quality
        found[(luminance, _scaled(_CHROMINANCE, quality))] = quality
    return found


def _scaled(table: Table, quality: int) -> Table:
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality  # noqa: PLR2004 - libjpeg's
    return tuple(min(max(1, (each * percent + 50) // 100), _LARGEST) for each in table)
