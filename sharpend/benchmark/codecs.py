"""Section on codecs: decoding and encoding against Pillow, or imagecodecs for 16 bits."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from sharpend.benchmark import plain
from sharpend.benchmark.figures import Cell, Figure, Table, ratio
from sharpend.benchmark.rounds import in_turn, timed
from sharpend.imaging import codec
from sharpend.imaging.formats import Format

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sharpend.imaging.picture import Picture

_COLUMNS = ("decode, ms", "times plain, decode", "encode, ms", "times plain, encode")
_MS = 1000
_MOST_PIXELS, _MOST_BYTES = 200_000_000, 2_000_000_000


def codecs(files: Mapping[str, Path], rounds: int) -> Table:
    """Measure decoding with all checks, and encoding, in turn with the plain codecs.

    Args:
        files: JPEGs and PNGs by row.
        rounds: see `in_turn`.
    """
    rows = {row: _row(path.read_bytes(), rounds) for row, path in files.items()}
    notes = [
        "One thread. Plain are Pillow, at level 3 for a PNG, and imagecodecs for 16 bits; sharpend"
        " checks the file besides. `pixels`: whether both decode to equal ones,"
        " and an encoded PNG to the same again."
    ]
    return Table("Codecs", (*_COLUMNS, "size against plain", "pixels"), rows, notes)


def _row(data: bytes, rounds: int) -> dict[str, Cell]:
    picture = _decoded(data)
    bits = 8 * picture.pixels.itemsize
    pixels, made = plain.decoded(data, bits=bits), _encoded(picture)
    again = pixels if picture.format is Format.JPEG else _decoded(made).pixels
    work: dict[str, Callable[[], object]] = {
        "decode": partial(_decoded, data),
        "plain decode": partial(plain.decoded, data, bits=bits),
        "encode": partial(_encoded, picture),
        "plain encode": partial(plain.encoded, pixels, data),
    }
    seconds = in_turn({name: timed(one) for name, one in work.items()}, rounds)
    are_equal = all(np.array_equal(picture.pixels, each) for each in (pixels, again))
    cells: dict[str, Cell] = {
        "size against plain": len(made) / len(plain.encoded(pixels, data)),
        "pixels": "equal" if are_equal else "not equal",
    }
    for what in ("decode", "encode"):
        cells[f"{what}, ms"] = Figure.of(_MS * one for one in seconds[what])
        cells[f"times plain, {what}"] = ratio(seconds, what, against=f"plain {what}")
    return cells


def _decoded(data: bytes) -> Picture:
    return codec.decode(BytesIO(data), max_pixels=_MOST_PIXELS, max_bytes=_MOST_BYTES)


def _encoded(picture: Picture) -> bytes:
    buffer = BytesIO()
    codec.encode(picture, buffer)
    return buffer.getvalue()
