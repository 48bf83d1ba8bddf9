"""Section on `pictures.compression`: what `small` files cost and save beside `fast` ones."""

from __future__ import annotations

import time
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

from sharpend.benchmark.figures import Cell, Figure, Table, ratio
from sharpend.benchmark.rounds import in_turn, timed
from sharpend.imaging import codec
from sharpend.imaging.formats import Format
from sharpend.imaging.picture import Frame, Picture
from sharpend.policies import Compression, Policies

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

_FORMS: Mapping[str, tuple[Format, dict[str, Any]]] = {
    "PNG": (Format.PNG, {}),
    "TIFF, deflate": (Format.TIFF, {"compression": 8, "predictor": 2}),
    "WebP, lossless": (Format.WEBP, {"lossless": True, "exact": True}),
    "WebP, quality 90": (Format.WEBP, {"quality": 90}),
    "JPEG XL, lossless": (Format.JXL, {"lossless": True}),
}
"""By title: format, and options of its writer for the source."""
_MEGA = 1e6
_MOST = 10**10


def compression(photographs: Sequence[NDArray[np.uint8]], rounds: int) -> Table:
    """Measure writing with each value of the setting, in turn.

    Args:
        photographs: H x W x 3 each; at least one.
        rounds: see `in_turn`.
    """
    rows = {row: _row(photographs, form, rounds) for row, form in _FORMS.items()}
    notes = [
        "Processor time of writing a megapixel, all threads together, so that other programs count"
        " little. The other formats write the same either way."
    ]
    columns = ("fast, s/MP", "small, s/MP", "times as long", "bytes against fast")
    return Table("Small files", columns, rows, notes)


def _row(
    photographs: Sequence[NDArray[np.uint8]], form: tuple[Format, dict[str, Any]], rounds: int
) -> dict[str, Cell]:
    sources = [_encoded(_picture(pixels, *form)) for pixels in photographs]
    fast, small = ([_decoded(each, effort) for each in sources] for effort in Compression)
    written = {"fast": partial(_bytes, fast), "small": partial(_bytes, small)}
    work = {name: timed(one, time.process_time) for name, one in written.items()}
    seconds = in_turn(work, rounds)
    megapixels = sum(pixels.shape[0] * pixels.shape[1] for pixels in photographs) / _MEGA
    return {
        "fast, s/MP": Figure.of(each / megapixels for each in seconds["fast"]),
        "small, s/MP": Figure.of(each / megapixels for each in seconds["small"]),
        "times as long": ratio(seconds, "fast", against="small"),
        "bytes against fast": _bytes(small) / _bytes(fast),
    }


def _picture(pixels: NDArray[np.uint8], form: Format, options: dict[str, Any]) -> Picture:
    return Picture((Frame(pixels, encoding=options),), form)


def _decoded(data: bytes, effort: Compression) -> Picture:
    policies = Policies(compression=effort)
    return codec.decode(BytesIO(data), max_pixels=_MOST, max_bytes=_MOST, policies=policies)


def _bytes(pictures: Sequence[Picture]) -> int:
    """Encode pictures and count their bytes."""
    return sum(len(_encoded(each)) for each in pictures)


def _encoded(picture: Picture) -> bytes:
    buffer = BytesIO()
    codec.encode(picture, buffer)
    return buffer.getvalue()
